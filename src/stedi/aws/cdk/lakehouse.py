"""Stack of the lakehouse: storage, Glue jobs, orchestration, access, Athena, alarms."""

from typing import Any

from aws_cdk import CfnOutput, CfnParameter, Stack
from constructs import Construct

from stedi.aws.cdk.access import Access
from stedi.aws.cdk.alarms import Alarms
from stedi.aws.cdk.athena import Athena
from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.glue_jobs import GlueJobs
from stedi.aws.cdk.officer import Officer
from stedi.aws.cdk.orchestration import Orchestration
from stedi.aws.cdk.python_modules import python_modules
from stedi.aws.cdk.storage import Storage
from stedi.aws.parameters import DeploymentParameters


class Lakehouse(Stack):
    """All resources of a deployment that store, process or show data."""

    def __init__(
        self, scope: Construct, name: str, *, deployment: DeploymentParameters, foundation: Foundation, **options: Any
    ) -> None:
        super().__init__(scope, name, description="STEDI: a consent-first sensor lakehouse", **options)
        administrator = CfnParameter(
            self,
            "Administrator",
            description="ARN of the IAM role or user that administers Lake Formation here and may read every table",
            allowed_pattern="^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/.+$",
        )
        release = CfnParameter(
            self,
            "Release",
            description="name of the release of scripts and wheel in the artefacts bucket that the jobs run",
            allowed_pattern="^[0-9a-f]{16}$",
        )
        storage = Storage(self, "Storage", deployment=deployment, foundation=foundation)
        alarms = Alarms(self, "Alarms", deployment=deployment, foundation=foundation)
        access = Access(self, "Access", deployment=deployment, storage=storage, administrator=administrator)
        jobs = GlueJobs(
            self,
            "Jobs",
            deployment=deployment,
            foundation=foundation,
            storage=storage,
            topic=alarms.topic,
            release=f"releases/{release.value_as_string}",
            modules=python_modules(),
        )
        for job, role in jobs.roles.items():
            access.grant_write(job, role)
        runs = Orchestration(
            self,
            "Runs",
            deployment=deployment,
            foundation=foundation,
            storage=storage,
            jobs=jobs,
            access=access,
            topic=alarms.topic,
        )
        alarms.watch(runs.machine, runs.unsent)
        officer = Officer(self, "Officer", deployment=deployment, storage=storage, access=access)
        athena = Athena(self, "Athena", deployment=deployment, storage=storage)
        for output, value in {
            "LandingBucket": storage.landing.bucket_name,
            "LakehouseBucket": storage.lakehouse.bucket_name,
            "ResultsBucket": storage.results.bucket_name,
            "Warehouse": storage.warehouse,
            "Database": deployment.database,
            "WorkGroup": athena.workgroup.name,
            "StateMachine": runs.machine.state_machine_arn,
            "DataScienceRole": access.scientists.role_arn,
            "PseudonymKey": storage.pseudonym_key.secret_arn,
            "SuppressionKey": storage.suppression_key.secret_arn,
            "SigningKey": storage.signing_key.secret_arn,
            **({"OfficerRole": officer.role.role_arn} if officer.role else {}),
            "DataKey": storage.key.key_id,
            "AlarmTopic": alarms.topic.topic_arn,
            # The next deployment reads them as its defaults.
            "Parameters": deployment.model_dump_json(exclude_none=True),
        }.items():
            CfnOutput(self, output, value=value)
