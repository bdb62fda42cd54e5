"""Buckets, KMS key, secrets and Glue database of the lakehouse."""

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stedi.aws.cdk.acknowledgements import acknowledge
from stedi.aws.parameters import DeploymentParameters
from stedi.aws.retention import OLD_VERSION_DAYS, RESULT_DAYS
from stedi.catalog.layout import LAYOUT_VERSION
from stedi.storage.paths import table_folder

if TYPE_CHECKING:
    from stedi.aws.cdk.foundation import Foundation

# A separate folder in the bucket, so that no other object is mistaken for a table.
WAREHOUSE = "lakehouse"
# Privacy folder: suppression list, certificates, journal. Beside the warehouse, so that a restored one does not replace it.
PRIVACY = f"{WAREHOUSE}-privacy"
# Folder of all tables. Run records and the lock are beside it.
TABLES = f"{WAREHOUSE}/{table_folder('')}".rstrip("/")
# An incomplete upload costs money until it is deleted.
_UPLOAD_DAYS = 2


def bucket(
    scope: Construct,
    name: str,
    *,
    key: kms.IKey | None,
    access_logs: s3.IBucket | None,
    undo_days: int,
    keep_days: int | None = None,
    removal: RemovalPolicy = RemovalPolicy.DESTROY,
) -> s3.Bucket:
    """Create a bucket that is encrypted, versioned, private, and reachable by TLS only.

    Args:
        scope: the construct that owns the bucket.
        name: name of the construct, and prefix of its access logs.
        key: KMS key; without one, S3's own key encrypts.
        access_logs: bucket for access logs.
        undo_days: days until replaced and deleted objects are gone for good.
        keep_days: days until current objects are deleted; by default never.
        removal: what happens to the bucket when its stack is deleted.
    """
    return s3.Bucket(
        scope,
        name,
        encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        bucket_key_enabled=True if key else None,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=f"{name}/" if access_logs else None,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="forget",
                noncurrent_version_expiration=Duration.days(undo_days),
                abort_incomplete_multipart_upload_after=Duration.days(_UPLOAD_DAYS),
                expiration=Duration.days(keep_days) if keep_days else None,
            ),
            # A rule of its own, because S3 does not allow both in one rule.
            *([] if keep_days else [s3.LifecycleRule(id="forget-markers", expired_object_delete_marker=True)]),
        ],
        removal_policy=removal,
    )


class Storage(Construct):
    """Buckets for landing files, tables and query results, their KMS key, and the secrets with other keys.

    Personal data outlives the stack, so that deleting the stack by mistake loses none. `stedi aws destroy
    --delete-data` deletes it.
    """

    def __init__(self, scope: Construct, name: str, *, deployment: DeploymentParameters, foundation: "Foundation") -> None:
        super().__init__(scope, name)
        kept = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        self.key = kms.Key(
            self,
            "Key",
            description=f"{deployment.stack}: landing files, tables, query results, pseudonym key",
            enable_key_rotation=True,
            removal_policy=kept,
        )
        logs = foundation.access_logs
        self.landing = bucket(self, "Landing", key=self.key, access_logs=logs, undo_days=deployment.undo_days, removal=kept)
        notifications = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        landing = self.landing.node.default_child
        assert isinstance(landing, s3.CfnBucket)
        # Set directly, because CDK's own method adds a Lambda function that may change every bucket.
        landing.notification_configuration = notifications
        self.lakehouse = bucket(
            self, "Lakehouse", key=self.key, access_logs=logs, undo_days=deployment.undo_days, removal=kept
        )
        self.results = bucket(
            self, "AthenaResults", key=self.key, access_logs=logs, undo_days=OLD_VERSION_DAYS, keep_days=RESULT_DAYS
        )
        self.warehouse = f"s3://{self.lakehouse.bucket_name}/{WAREHOUSE}"
        self.pseudonym_key = self._secret(
            "PseudonymKey",
            f"{deployment.stack}: pseudonym key; with it pseudonyms can be linked to people",
            "Another key gives other pseudonyms: rotation would break the link from models and analyses to rows.",
        )
        self.suppression_key = self._secret(
            "SuppressionKey",
            f"{deployment.stack}: key of the suppression list; with it erased people can be recognised",
            "With another key, nobody who was erased would be recognised.",
        )
        self.signing_key = self._secret(
            "SigningKey",
            f"{deployment.stack}: key that signs the certificates of erasure",
            "Certificates are checked with the public key for years.",
        )
        # Without default permissions, new tables can be read only with a grant of Lake Formation.
        self.database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=deployment.database,
                description="STEDI: a consent-first sensor lakehouse",
                # The values that a run would set, so that no job needs the right to change the database.
                location_uri=self.warehouse,
                parameters={"layout_version": str(LAYOUT_VERSION)},
                create_table_default_permissions=[],
            ),
        )

    def _secret(self, name: str, description: str, no_rotation: str) -> secretsmanager.Secret:
        """Create a random secret that outlives the stack. Its rotation is off, for a reason."""
        secret = secretsmanager.Secret(
            self,
            name,
            description=description,
            encryption_key=self.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        acknowledge(secret, "SMG4", no_rotation)
        return secret

    def table_objects(self, table: str) -> str:
        """Return the ARN pattern of all objects of a table."""
        return str(self.lakehouse.arn_for_objects(f"{WAREHOUSE}/{table_folder(table)}/*"))

    def glue_arns(self, database: str, *tables: str) -> list[str]:
        """Return the ARNs of tables in the Data Catalog, and of their database and catalog, which AWS also requires."""
        resources = ["catalog", f"database/{database}", *(f"table/{database}/{table}" for table in tables)]
        stack = Stack.of(self)
        return [stack.format_arn(service="glue", resource=resource) for resource in resources]
