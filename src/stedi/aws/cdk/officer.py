"""The privacy officer's role, and who may read and write the privacy folder."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from constructs import Construct

from stedi.aws.cdk.access import Access
from stedi.aws.cdk.permissions import allow
from stedi.aws.cdk.storage import PRIVACY, WAREHOUSE, Storage
from stedi.aws.parameters import DeploymentParameters
from stedi.ingest.suppression import LIST_FILE
from stedi.privacy.certificate import FOLDER
from stedi.privacy.erasures import JOURNAL
from stedi.privacy.privacy_log import LOG_FOLDER
from stedi.tables.registry import ALL

_READ = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
_DELETE = ("s3:DeleteObject", "s3:DeleteObjectVersion")
# The longest that IAM allows. A person who assumes the role from another role gets one hour.
_SESSION = Duration.hours(12)


class Officer(Construct):
    """A role that erases people, which only named principals may assume. Others can't write the privacy folder.

    Without named principals there is no role, and nobody can write the folder.
    """

    def __init__(
        self, scope: Construct, name: str, *, deployment: DeploymentParameters, storage: Storage, access: Access
    ) -> None:
        super().__init__(scope, name)
        self._storage = storage
        self.role = self._role(deployment, access) if deployment.officers else None
        self._protect()

    def _role(self, deployment: DeploymentParameters, access: Access) -> iam.Role:
        storage = self._storage
        role = iam.Role(
            self,
            "Role",
            role_name=f"{deployment.stack}-privacy-officer",
            assumed_by=iam.CompositePrincipal(*map(iam.ArnPrincipal, deployment.officer_arns)),
            max_session_duration=_SESSION,
            description=f"{deployment.stack}: erases people, and answers their questions",
        )
        allow(
            role,
            "s3:ListBucket",
            "s3:ListBucketVersions",
            "s3:ListBucketMultipartUploads",
            on=[bucket.bucket_arn for bucket in (storage.landing, storage.lakehouse, storage.results)],
        )
        allow(
            role,
            *(*_READ, "s3:GetObjectTagging", *_WRITE, "s3:PutObjectTagging", *_DELETE),
            on=[storage.landing.arn_for_objects("*")],
            wildcard_reason="Any landing file may contain records of the people.",
        )
        allow(
            role,
            *(*_READ, *_WRITE, *_DELETE),
            on=[storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/*")],
            wildcard_reason="Every table, run record and log is rewritten without the people.",
        )
        allow(
            role,
            *(*_READ, *_WRITE, *_DELETE),
            on=[storage.lakehouse.arn_for_objects(f"{PRIVACY}/*")],
            wildcard_reason="The privacy folder. The bucket's policy keeps certificates and suppression list from deletion.",
        )
        allow(
            role,
            *("s3:AbortMultipartUpload", *_DELETE),
            on=[storage.results.arn_for_objects("results/*")],
            wildcard_reason="Query results are copies of rows, with random names.",
        )
        tables = [table.name for table in ALL]
        allow(
            role,
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:UpdateTable",
            on=storage.glue_arns(deployment.database, *tables),
        )
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
        keys = (storage.pseudonym_key, storage.suppression_key, storage.signing_key)
        allow(role, "secretsmanager:GetSecretValue", on=[key.secret_arn for key in keys])
        access.grant_update("Officer", role)
        return role

    def _protect(self) -> None:
        """Deny everybody else in the bucket's policy, whatever IAM allows."""
        others: Mapping[str, Any] = {"ArnNotEquals": {"aws:PrincipalArn": self.role.role_arn}} if self.role else {}
        self._deny("OnlyOfficerWrites", [*_WRITE, *_DELETE], [f"{PRIVACY}/*"], others)
        secret = [f"{PRIVACY}/{FOLDER}/*", f"{PRIVACY}/{JOURNAL}", f"{WAREHOUSE}/{LOG_FOLDER}/*"]
        self._deny("OnlyOfficerReads", [*_READ], secret, others)
        # A proof that its author can delete is none, and without the list a backup would bring erased people back.
        self._deny("NobodyDeletes", [*_DELETE], [f"{PRIVACY}/{FOLDER}/*", f"{PRIVACY}/{LIST_FILE}"], {})

    def _deny(self, name: str, actions: list[str], keys: list[str], conditions: Mapping[str, Any]) -> None:
        lakehouse = self._storage.lakehouse
        lakehouse.add_to_resource_policy(
            iam.PolicyStatement(
                sid=name,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=actions,
                resources=[lakehouse.arn_for_objects(key) for key in keys],
                conditions=dict(conditions),
            )
        )
