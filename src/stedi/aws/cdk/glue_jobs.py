"""Glue jobs, each with a role that is limited to the job's tables and feeds."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.permissions import after_permissions, allow
from stedi.aws.cdk.storage import PRIVACY, WAREHOUSE, Storage
from stedi.aws.jobs import JOBS, Job
from stedi.aws.parameters import DeploymentParameters
from stedi.ingest.applied_erasures import APPLIED_FILE, MARKS_FILE
from stedi.ingest.retention_marks import JOURNAL as RETENTION_JOURNAL
from stedi.ingest.suppression import LIST_FOLDER
from stedi.pipeline.pseudonym_key import STATE_FILE

# Spark 4.1 and Iceberg 1.11, which the tests run on.
GLUE_VERSION = "6.0"
_READ, _WRITE = ("s3:GetObject",), ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


class GlueJobs(Construct):
    """One Glue job for each of `stedi.aws.jobs.JOBS`."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: DeploymentParameters,
        foundation: Foundation,
        storage: Storage,
        topic: sns.Topic,
        release: str,
        modules: Sequence[str],
    ) -> None:
        """Create the jobs and their roles.

        Args:
            scope: the stack.
            name: name of this construct.
            deployment: the parameters.
            foundation: the stack with the artefacts bucket.
            storage: buckets, database and secret.
            topic: topic for the alarms of the publishing job.
            release: prefix of scripts and wheel in the artefacts bucket.
            modules: Python modules of the jobs; the first is the wheel's file name.
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
        deployment = self.deployment
        glue_job = glue.CfnJob(
            self,
            job.name,
            name=f"{deployment.stack}-{job.name}",
            description=f"refreshes {', '.join(job.tables) or 'all tables, and publishes the run'}",
            role=self.roles[job.name].role_arn,
            glue_version=GLUE_VERSION,
            worker_type=deployment.worker_type,
            number_of_workers=deployment.workers,
            timeout=deployment.timeout_minutes,
            # The state machine retries. It would not see retries by Glue.
            max_retries=0,
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=1),
            security_configuration=self.security.name,
            command=glue.CfnJob.JobCommandProperty(
                name="glueetl", python_version="3", script_location=f"{release}/jobs/{job.name}.py"
            ),
            default_arguments={
                "--landing": f"s3://{self.storage.landing.bucket_name}",
                "--warehouse": self.storage.warehouse,
                "--database": deployment.database,
                "--policy": deployment.policy,
                "--alarm_drop": str(deployment.alarm_drop),
                "--owners_confidence": str(deployment.owners_confidence),
                "--match_tolerance_ms": str(deployment.match_tolerance_ms),
                "--engine": "spark",
                "--pseudonym_secret": self.storage.pseudonym_key.secret_arn,
                "--suppression_secret": self.storage.suppression_key.secret_arn,
                "--datalake-formats": "iceberg",
                "--additional-python-modules": ",".join((f"{release}/{modules[0]}", *modules[1:])),
                "--enable-continuous-cloudwatch-log": "true",
                "--enable-metrics": "true",
                **({"--alarm_topic": self.topic.topic_arn} if job.publishes else {}),
            },
        )
        after_permissions(glue_job, self.roles[job.name])
        return glue_job

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
        tables = [table.name for table in job.accessible_tables]
        # Object names contain no personal data. Without the right to list, S3 answers AccessDenied for a missing object.
        allow(role, "s3:ListBucket", "s3:GetBucketLocation", on=[storage.landing.bucket_arn, storage.lakehouse.bucket_arn])
        allow(
            role,
            *_READ,
            on=[storage.landing.arn_for_objects(f"{folder}/*") for feed in job.feeds for folder in feed.folders],
            wildcard_reason="Landing files have arbitrary names; only this job's feeds are readable.",
        )
        allow(
            role,
            *_READ,
            *_WRITE,
            on=[storage.table_objects(table) for table in tables],
            wildcard_reason="Table files have random names; only this job's tables and their inputs are accessible.",
        )
        # A first run records that it stops everybody who was erased.
        allow(
            role,
            *_READ,
            *_WRITE,
            on=[storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/{name}") for name in (".lock", APPLIED_FILE, MARKS_FILE)],
        )
        allow(
            role,
            *_READ,
            on=[
                # The suppression list, and whose records are too old to be kept.
                storage.lakehouse.arn_for_objects(f"{PRIVACY}/{LIST_FOLDER}/*"),
                storage.lakehouse.arn_for_objects(f"{PRIVACY}/{RETENTION_JOURNAL}"),
                storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/{STATE_FILE}"),
            ],
            wildcard_reason="Marks of retention are in files with random names.",
        )
        allow(
            role,
            *_READ,
            *(_WRITE if job.publishes else ()),
            on=[storage.lakehouse.arn_for_objects(f"{WAREHOUSE}/runs/*")],
            wildcard_reason="Run records are numbered; only the publishing job writes them.",
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
        # A table's fingerprint includes the pseudonym key, so every job needs it. Every job stops erased people.
        secrets = [storage.pseudonym_key.secret_arn, storage.suppression_key.secret_arn]
        allow(role, "secretsmanager:GetSecretValue", on=secrets)
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
        """Allow what Glue itself does with the job's role: read code, write logs and metrics."""
        artefacts = f"arn:{Aws.PARTITION}:s3:::{self.foundation.artefacts_name}"
        allow(role, *_READ, on=[f"{artefacts}/{release}/*"], wildcard_reason="The files of one release.")
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
            wildcard_reason="Glue names its log groups after the security configuration and the role.",
        )
        allow(
            role,
            "cloudwatch:PutMetricData",
            on=["*"],
            where={"StringEquals": {"cloudwatch:namespace": "Glue"}},
            wildcard_reason="The action has no resource. The namespace limits it.",
        )
