"""Buckets as every stack here makes them, and what the lakehouse keeps its data in."""

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stedi.aws.cdk.acknowledgements import acknowledge
from stedi.aws.deployment import Deployment
from stedi.catalog.layout import LAYOUT_VERSION
from stedi.storage.paths import table_folder

if TYPE_CHECKING:
    from stedi.aws.cdk.foundation import Foundation

# A folder of the bucket, so that nothing else in it can be taken for a table.
WAREHOUSE = "lakehouse"
# Where all tables lie in it, beside runs and lock.
TABLES = f"{WAREHOUSE}/{table_folder('')}".rstrip("/")
# Results are copies of rows, for as long as somebody looks at them.
_RESULT_DAYS = 7
# An upload that broke off is paid for until it is removed.
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
    """A bucket that is encrypted, versioned, reached by TLS only and closed to the public.

    Replaced and deleted objects are gone after `undo_days`, current ones after `keep_days` where given.
    Without a key of our own, S3's own encrypts.
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
            # Apart from the first rule, because S3 takes one or the other in one rule.
            *([] if keep_days else [s3.LifecycleRule(id="forget-markers", expired_object_delete_marker=True)]),
        ],
        removal_policy=removal,
    )


class Storage(Construct):
    """Landing files, tables, query results, the key that encrypts them and the secret that keys the pseudonyms.

    What holds people's data outlives the stack, so that no slip of a hand destroys it; `stedi aws destroy
    --delete-data` removes it too.
    """

    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, foundation: "Foundation") -> None:
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
        # Set here, because CDK's own way adds a Lambda function that may change every bucket.
        landing.notification_configuration = notifications
        self.lakehouse = bucket(
            self, "Lakehouse", key=self.key, access_logs=logs, undo_days=deployment.undo_days, removal=kept
        )
        self.results = bucket(self, "AthenaResults", key=self.key, access_logs=logs, undo_days=1, keep_days=_RESULT_DAYS)
        self.warehouse = f"s3://{self.lakehouse.bucket_name}/{WAREHOUSE}"
        self.pseudonym_key = secretsmanager.Secret(
            self,
            "PseudonymKey",
            description=f"{deployment.stack}: keys the pseudonyms; whoever has it can tell who is who",
            encryption_key=self.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=kept,
        )
        acknowledge(
            self.pseudonym_key,
            "SMG4",
            "Another key makes other pseudonyms: rotating it would break every model's and analyst's link to a row.",
        )
        # Empty default permissions close new tables to whom Lake Formation does not name.
        self.database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=deployment.database,
                description="STEDI: a consent-first sensor lakehouse",
                # As a run would make it, so that no job needs the right to change it.
                location_uri=self.warehouse,
                parameters={"layout_version": str(LAYOUT_VERSION)},
                create_table_default_permissions=[],
            ),
        )

    def table_objects(self, table: str) -> str:
        """ARN pattern of everything that a table keeps."""
        return str(self.lakehouse.arn_for_objects(f"{WAREHOUSE}/{table_folder(table)}/*"))

    def glue_arns(self, database: str, *tables: str) -> list[str]:
        """ARNs of tables in the Data Catalog, with the database and catalog that AWS asks for beside them."""
        resources = ["catalog", f"database/{database}", *(f"table/{database}/{table}" for table in tables)]
        stack = Stack.of(self)
        return [stack.format_arn(service="glue", resource=resource) for resource in resources]
