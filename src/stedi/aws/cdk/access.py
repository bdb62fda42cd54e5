"""Lake Formation grants by column, and the data scientists' role."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Aws, CfnParameter, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from stedi.aws.cdk.permissions import after_permissions, allow
from stedi.aws.cdk.storage import TABLES, Storage
from stedi.aws.parameters import DeploymentParameters
from stedi.tables.registry import ALL

_OPEN_ZONE = "curated"


class Access(Construct):
    """Lake Formation settings, location and grants. A table can't be read without a grant, whatever IAM allows."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: DeploymentParameters,
        storage: Storage,
        administrator: CfnParameter,
    ) -> None:
        super().__init__(scope, name)
        self.deployment, self.storage = deployment, storage
        self.settings = lakeformation.CfnDataLakeSettings(
            self,
            "Settings",
            # Keeps the administrators that the account already has.
            mutation_type="APPEND",
            admins=[
                lakeformation.CfnDataLakeSettings.DataLakePrincipalProperty(
                    data_lake_principal_identifier=administrator.value_as_string
                )
            ],
        )
        self.location = self._location()
        self.scientists = self._scientists()
        all_permissions = ["SELECT", "INSERT", "DELETE", "DESCRIBE", "ALTER"]
        self._grant("Administrator", administrator.value_as_string, all_permissions)
        self._grant_database("ScientistsDatabase", self.scientists.role_arn, ["DESCRIBE"])

    @property
    def column_grants(self) -> Sequence[Mapping[str, Any]]:
        """For each curated table, the columns to grant to the data scientists, and the personal columns to revoke."""
        return [
            {
                "principal": self.scientists.role_arn,
                "database": self.deployment.database,
                "table": table.name,
                "granted": [column.name for column in table.columns if not column.personal],
                "revoked": [column.name for column in table.columns if column.personal],
                "on_demand": table.on_demand,
            }
            for table in ALL
            if table.zone == _OPEN_ZONE
        ]

    def grant_write(self, name: str, role: iam.Role) -> None:
        """Grant a job the right to create and change tables. Its IAM permissions limit it to its own tables."""
        self._grant_database(f"{name}Database", role.role_arn, ["CREATE_TABLE", "DESCRIBE"])
        self._grant_tables(name, role)

    def grant_update(self, name: str, role: iam.Role) -> None:
        """Grant a role the right to change existing tables. Its IAM permissions limit it to its own tables."""
        self._grant_database(f"{name}Database", role.role_arn, ["DESCRIBE"])
        self._grant_tables(name, role)

    def _grant_tables(self, name: str, role: iam.Role) -> None:
        self._grant(f"{name}Tables", role.role_arn, ["SELECT", "INSERT", "DELETE", "DESCRIBE", "ALTER"])
        self._permit(
            f"{name}Location",
            role.role_arn,
            ["DATA_LOCATION_ACCESS"],
            lakeformation.CfnPrincipalPermissions.ResourceProperty(
                data_location=lakeformation.CfnPrincipalPermissions.DataLocationResourceProperty(
                    catalog_id=Aws.ACCOUNT_ID, resource_arn=self.location.resource_arn
                )
            ),
        )

    def allow_column_grants(self, role: iam.Role) -> None:
        """Allow a role to grant columns to the data scientists after the tables are created."""
        self._grant("Opener", role.role_arn, ["SELECT", "DESCRIBE"], grantable=["SELECT"])
        allow(
            role,
            "lakeformation:GrantPermissions",
            "lakeformation:RevokePermissions",
            on=["*"],
            wildcard_reason="These actions have no resource. Lake Formation limits them to grantable permissions.",
        )
        allow(
            role,
            "glue:GetTable",
            "glue:GetDatabase",
            on=self.storage.glue_arns(self.deployment.database, *(grants["table"] for grants in self.column_grants)),
        )

    def _location(self) -> lakeformation.CfnResource:
        """Register the tables' location with a role, with which Lake Formation reads and writes it for queries."""
        role = iam.Role(
            self,
            "LocationRole",
            assumed_by=iam.ServicePrincipal(
                "lakeformation.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description=f"{self.deployment.stack}: reads and writes tables for queries",
        )
        lakehouse = self.storage.lakehouse
        allow(role, "s3:ListBucket", on=[lakehouse.bucket_arn])
        allow(
            role,
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            on=[lakehouse.arn_for_objects(f"{TABLES}/*")],
            wildcard_reason="All tables: Lake Formation limits each query to its own.",
        )
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[self.storage.key.key_arn])
        location = lakeformation.CfnResource(
            self,
            "Location",
            resource_arn=lakehouse.arn_for_objects(TABLES),
            role_arn=role.role_arn,
            use_service_linked_role=False,
        )
        after_permissions(location, role)
        location.add_resource_dependency(self.settings)
        return location

    def _scientists(self) -> iam.Role:
        """Create a role that can query Athena and has no access to data files. Lake Formation decides what it may read."""
        stack, storage = Stack.of(self), self.storage
        role = iam.Role(
            self,
            "DataScience",
            role_name=f"{self.deployment.stack}-data-science",
            assumed_by=iam.AccountPrincipal(Aws.ACCOUNT_ID),
            description=f"{self.deployment.stack}: reads columns of curated tables that are not personal",
        )
        allow(
            role,
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:GetQueryResultsStream",
            "athena:ListQueryExecutions",
            "athena:GetWorkGroup",
            "athena:GetNamedQuery",
            "athena:ListNamedQueries",
            "athena:BatchGetNamedQuery",
            on=[stack.format_arn(service="athena", resource="workgroup", resource_name=self.deployment.stack)],
        )
        opened = [table.name for table in ALL if table.zone == _OPEN_ZONE]
        allow(
            role,
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:GetTables",
            on=storage.glue_arns(self.deployment.database, *opened),
        )
        allow(role, "s3:GetBucketLocation", "s3:ListBucket", on=[storage.results.bucket_arn])
        allow(
            role,
            "s3:GetObject",
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            on=[storage.results.arn_for_objects("results/*")],
            wildcard_reason="Results have random names, and Athena writes and reads them with the caller's role.",
        )
        allow(
            role,
            "kms:Decrypt",
            "kms:GenerateDataKey",
            on=[storage.key.key_arn],
            where={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
        )
        allow(
            role,
            "lakeformation:GetDataAccess",
            on=["*"],
            wildcard_reason="The action has no resource. Lake Formation's grants limit it to columns.",
        )
        return role

    def _grant(self, name: str, principal: str, permissions: list[str], grantable: Sequence[str] = ()) -> None:
        """Grant permissions on all tables of the database, present and future."""
        tables = lakeformation.CfnPrincipalPermissions.TableResourceProperty(
            catalog_id=Aws.ACCOUNT_ID, database_name=self.deployment.database, table_wildcard={}
        )
        self._permit(
            name,
            principal,
            permissions,
            lakeformation.CfnPrincipalPermissions.ResourceProperty(table=tables),
            grantable,
        )

    def _grant_database(self, name: str, principal: str, permissions: list[str]) -> None:
        database = lakeformation.CfnPrincipalPermissions.DatabaseResourceProperty(
            catalog_id=Aws.ACCOUNT_ID, name=self.deployment.database
        )
        self._permit(name, principal, permissions, lakeformation.CfnPrincipalPermissions.ResourceProperty(database=database))

    def _permit(
        self,
        name: str,
        principal: str,
        permissions: list[str],
        resource: lakeformation.CfnPrincipalPermissions.ResourceProperty,
        grantable: Sequence[str] = (),
    ) -> None:
        grant = lakeformation.CfnPrincipalPermissions(
            self,
            name,
            catalog=Aws.ACCOUNT_ID,
            principal=lakeformation.CfnPrincipalPermissions.DataLakePrincipalProperty(
                data_lake_principal_identifier=principal
            ),
            permissions=permissions,
            permissions_with_grant_option=list(grantable),
            resource=resource,
        )
        grant.add_resource_dependency(self.settings)
        grant.add_resource_dependency(self.location)
        grant.add_resource_dependency(self.storage.database)
