"""The Glue jobs, and for each a role that reaches what it needs and nothing else."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.permissions import after_permissions, allow
from stedi.aws.cdk.storage import WAREHOUSE, Storage
from stedi.aws.deployment import Deployment
from stedi.aws.jobs import JOBS, Job

# Spark 4.1 and Iceberg 1.11, which the tests run on.
GLUE_VERSION = "6.0"
_READ, _WRITE = ("s3:GetObject",), ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


class GlueJobs(Construct):
    """A job a script of `deploy/jobs`, from a release in the artefacts bucket."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        foundation: Foundation,
        storage: Storage,
        topic: sns.Topic,
        release: str,
        modules: Sequence[str],
    ) -> None:
        """Make the jobs and their roles.

        `topic` gets the alarms of the publishing job. `release` is the prefix of the scripts and the wheel, `modules`
        what Python needs besides.
        """
        super().__init__(scope, name)
        self.deployment, self.foundation, self.storage, self.topic = deployment, foundation, storage, topic
        at = f"s3://{foundation.artefacts_name}/{release}"
        key = storage.key.key_arn
        self.security = glue.CfnSecurityConfiguration(
            self,
            "Security",
            name=f"{deployment.stack}-jobs",
            encryption_configuration=glue.CfnSecurityConfiguration.EncryptionConfigurationProperty(
                s3_encryptions=[
                    glue.CfnSecurityConfiguration.S3EncryptionProperty(s3_encryption_mode="SSE-KMS", kms_key_arn=key)
                ],
                cloud_watch_encryption=glue.CfnSecurityConfiguration.CloudWatchEncryptionProperty(
                    cloud_watch_encryption_mode="SSE-KMS", kms_key_arn=foundation.key.key_arn
                ),
                job_bookmarks_encryption=glue.CfnSecurityConfiguration.JobBookmarksEncryptionProperty(
                    job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=key
                ),
            ),
        )
        self.roles = {job.name: self._role(job, release) for job in JOBS}
        self.jobs = {job.name: self._job(job, at, modules) for job in JOBS}

    def _job(self, job: Job, release: str, modules: Sequence[str]) -> glue.CfnJob:
        chosen = self.deployment
        made = glue.CfnJob(
            self,
            job.name,
            name=f"{chosen.stack}-{job.name}",
            description=f"brings up to date: {', '.join(job.tables) or 'everything, and publishes the run'}",
            role=self.roles[job.name].role_arn,
            glue_version=GLUE_VERSION,
            worker_type=chosen.worker_type,
            number_of_workers=chosen.workers,
            timeout=chosen.timeout_minutes,
            # The state machine tries again; a job that did so by itself would do it unseen.
            max_retries=0,
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=1),
            security_configuration=self.security.name,
            command=glue.CfnJob.JobCommandProperty(
                name="glueetl", python_version="3", script_location=f"{release}/jobs/{job.name}.py"
            ),
            default_arguments={
                "--landing": f"s3://{self.storage.landing.bucket_name}",
                "--warehouse": self.storage.warehouse,
                "--database": chosen.database,
                "--policy": chosen.policy,
                "--alarm_drop": str(chosen.alarm_drop),
                "--owners_confidence": str(chosen.owners_confidence),
                "--match_tolerance_ms": str(chosen.match_tolerance_ms),
                "--engine": "spark",
                "--pseudonym_secret": self.storage.pseudonym_key.secret_arn,
                "--datalake-formats": "iceberg",
                "--additional-python-modules": ",".join((f"{release}/{modules[0]}", *modules[1:])),
                "--enable-continuous-cloudwatch-log": "true",
                "--enable-metrics": "true",
                **({"--alarm_topic": self.topic.topic_arn} if job.publishes else {}),
            },
        )
        after_permissions(made, self.roles[job.name])
        return made

    def _role(self, job: Job, release: str) -> iam.Role:
        storage, database = self.storage, self.deployment.database
        role = iam.Role(
            self,
            f"{job.name}_role",
            assumed_by=iam.ServicePrincipal(
                "glue.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description=f"{self.deployment.stack}: the job {job.name}",
        )
        tables = [table.name for table in job.reach]
        # The names of objects hold no data of people, and without the right to list, S3 says of an object
        # that is not there that access is denied.
        allow(role, "s3:ListBucket", "s3:GetBucketLocation", on=[storage.landing.bucket_arn, storage.lakehouse.bucket_arn])
        allow(
            role,
            *_READ,
            on=[storage.landing.arn_for_objects(f"{folder}/*") for feed in job.feeds for folder in feed.folders],
            wide="Landing files come under any name; only this job's feeds are open.",
        )
        allow(
            role,
            *_READ,
            *_WRITE,
            on=[storage.table_objects(table) for table in tables],
            wide="A table's files are named by chance; only this job's tables and what they are built from are open.",
        )
        allow(role, *_READ, *_WRITE, on=[storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/.lock")])
        allow(
            role,
            *_READ,
            *(_WRITE if job.publishes else ()),
            on=[storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/runs/*")],
            wide="A finished run is named by its time; only the publishing job writes one.",
        )
        allow(
            role,
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:CreateTable",
            "glue:UpdateTable",
            on=storage.glue_arns(database, *tables),
        )
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
        # The key of the pseudonyms is part of what a table's rows follow from, so every job needs it.
        allow(role, "secretsmanager:GetSecretValue", on=[storage.pseudonym_key.secret_arn])
        if job.publishes:
            allow(role, "sns:Publish", on=[self.topic.topic_arn])
            allow(
                role,
                "kms:Decrypt",
                "kms:GenerateDataKey",
                on=[self.foundation.key.key_arn],
                where={"StringEquals": {"kms:ViaService": f"sns.{Aws.REGION}.amazonaws.com"}},
            )
        self._runtime(role, release)
        return role

    def _runtime(self, role: iam.Role, release: str) -> None:
        """What Glue itself does in the job's name: fetch the code, write logs and metrics."""
        artefacts = f"arn:{Aws.PARTITION}:s3:::{self.foundation.artefacts_name}"
        allow(role, *_READ, on=[f"{artefacts}/{release}/*"], wide="The files of one release.")
        allow(role, "kms:Decrypt", on=[self.foundation.key.key_arn])
        allow(
            role,
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "logs:AssociateKmsKey",
            on=[
                Stack.of(self).format_arn(
                    service="logs",
                    resource="log-group",
                    arn_format=ArnFormat.COLON_RESOURCE_NAME,
                    resource_name="/aws-glue/*",
                )
            ],
            wide="Glue names its log groups after the security configuration and the role.",
        )
        allow(
            role,
            "cloudwatch:PutMetricData",
            on=["*"],
            where={"StringEquals": {"cloudwatch:namespace": "Glue"}},
            wide="AWS knows no resource for it; the namespace limits it.",
        )
