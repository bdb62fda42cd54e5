"""Athena workgroup with a scan limit, and the named queries."""

from aws_cdk import aws_athena as athena
from constructs import Construct

from stedi.aws.cdk.storage import Storage
from stedi.aws.named_queries import NAMED_QUERIES
from stedi.aws.parameters import DeploymentParameters

_BYTES_PER_GB = 1_000_000_000


class Athena(Construct):
    """One workgroup. Its users can't override its limit, its encryption or its result location."""

    def __init__(self, scope: Construct, name: str, *, deployment: DeploymentParameters, storage: Storage) -> None:
        super().__init__(scope, name)
        self.workgroup = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=deployment.stack,
            description=f"STEDI's tables; a query scans at most {deployment.scan_limit_gb} GB",
            # Deletes its queries and their history, too.
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                requester_pays_enabled=False,
                bytes_scanned_cutoff_per_query=deployment.scan_limit_gb * _BYTES_PER_GB,
                engine_version=athena.CfnWorkGroup.EngineVersionProperty(selected_engine_version="Athena engine version 3"),
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{storage.results.bucket_name}/results/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=storage.key.key_arn
                    ),
                ),
            ),
        )
        for named in NAMED_QUERIES:
            query = athena.CfnNamedQuery(
                self,
                named.name,
                name=named.name,
                description=named.meaning,
                database=deployment.database,
                work_group=deployment.stack,
                query_string=f"{named.athena}\n",
            )
            query.add_resource_dependency(self.workgroup)
            query.add_resource_dependency(storage.database)
