"""Foundation stack: buckets for code and access logs, used by the lakehouse's stack."""

from typing import Any

from aws_cdk import Aws, CfnOutput, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stedi.aws.cdk.acknowledgements import acknowledge
from stedi.aws.cdk.storage import bucket
from stedi.aws.retention import ACCESS_LOG_DAYS, OLD_VERSION_DAYS

_OLD_CODE_DAYS = 30


class Foundation(Stack):
    """Buckets for code and access logs, and a KMS key for everything that contains no personal data."""

    def __init__(self, scope: Construct, name: str, **options: Any) -> None:
        super().__init__(scope, name, description="STEDI: code and access logs", **options)
        self.key = kms.Key(self, "Key", description=f"{name}: code, logs, alarms", enable_key_rotation=True)
        ours = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        for service, condition in (
            (f"logs.{Aws.REGION}.amazonaws.com", _OWN_LOGS),
            ("cloudwatch.amazonaws.com", ours),
            ("budgets.amazonaws.com", ours),
        ):
            self.key.grant_encrypt_decrypt(iam.ServicePrincipal(service, conditions=condition))
        # S3 delivers access logs only to buckets that are encrypted with its own key.
        self.access_logs = bucket(
            self, "AccessLogs", key=None, access_logs=None, undo_days=OLD_VERSION_DAYS, keep_days=ACCESS_LOG_DAYS
        )
        acknowledge(
            self.access_logs, "S1", "It contains the access logs; logging access to it would create more logs without end."
        )
        self.artefacts = bucket(self, "Artefacts", key=self.key, access_logs=self.access_logs, undo_days=_OLD_CODE_DAYS)
        exported = f"{name}-artefacts"
        CfnOutput(self, "ArtefactsBucket", value=self.artefacts.bucket_name, export_name=exported)
        # The lakehouse's stack imports the bucket's name.
        self.artefacts_name = Fn.import_value(exported)
        CfnOutput(self, "AccessLogsBucket", value=self.access_logs.bucket_name)


_OWN_LOGS = {
    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:*"}
}
