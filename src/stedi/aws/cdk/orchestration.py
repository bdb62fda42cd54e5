"""State machine that runs the jobs, its schedule, and its start when files arrive."""

import json

from aws_cdk import ArnFormat, Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_pipes as pipes
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stedi.aws.cdk.access import Access
from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.glue_jobs import GlueJobs
from stedi.aws.cdk.permissions import after_permissions, allow
from stedi.aws.cdk.state_machine import definition
from stedi.aws.cdk.storage import Storage
from stedi.aws.parameters import DeploymentParameters

# The files of one upload start one run: arrivals within five minutes, the longest batching window of a pipe, are a batch.
_BATCH_SECONDS = 300
_BATCH = 10_000


class Orchestration(Construct):
    """Runs, one at a time, started by the schedule or by arriving files."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: DeploymentParameters,
        foundation: Foundation,
        storage: Storage,
        jobs: GlueJobs,
        access: Access,
        topic: sns.Topic,
    ) -> None:
        super().__init__(scope, name)
        self.deployment = deployment
        machine_name = f"{deployment.stack}-run"
        arn = Stack.of(self).format_arn(
            service="states", resource="stateMachine", resource_name=machine_name, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        role = self._role(jobs, topic, arn, foundation)
        access.allow_column_grants(role)
        asl = definition(
            {job: f"{deployment.stack}-{job}" for job in jobs.jobs},
            machine=arn,
            topic=topic.topic_arn,
            column_grants=access.column_grants,
        )
        self.machine = sfn.StateMachine(
            self,
            "Run",
            state_machine_name=machine_name,
            definition_body=sfn.DefinitionBody.from_string(json.dumps(asl)),
            role=role.without_policy_updates(),
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "RunLog",
                    log_group_name=f"/aws/vendedlogs/states/{machine_name}",
                    encryption_key=foundation.key,
                    retention=logs.RetentionDays.THREE_MONTHS,
                    removal_policy=RemovalPolicy.DESTROY,
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,
            ),
        )
        self.machine.node.add_dependency(*jobs.jobs.values())
        after_permissions(self.machine, role)
        self._on_schedule()
        self.unsent = self._on_arrival(storage)

    def _role(self, jobs: GlueJobs, topic: sns.Topic, machine: str, foundation: Foundation) -> iam.Role:
        role = iam.Role(
            self,
            "RunRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description=f"{self.deployment.stack}: runs the jobs in order",
        )
        stack = Stack.of(self)
        allow(
            role,
            "glue:StartJobRun",
            "glue:GetJobRun",
            "glue:GetJobRuns",
            "glue:BatchStopJobRun",
            on=[
                stack.format_arn(service="glue", resource="job", resource_name=f"{self.deployment.stack}-{job}")
                for job in jobs.jobs
            ],
        )
        allow(role, "states:ListExecutions", on=[machine])
        allow(role, "sns:Publish", on=[topic.topic_arn])
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[foundation.key.key_arn])
        allow(
            role,
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            on=["*"],
            wildcard_reason="The delivery of logs and traces has no resource.",
        )
        return role

    def _on_schedule(self) -> None:
        events.Rule(
            self,
            "Schedule",
            description="starts a run even if no files arrived, so that maintenance and consent changes are not late",
            schedule=events.Schedule.expression(self.deployment.schedule),
            targets=[
                targets.SfnStateMachine(
                    self.machine, input=events.RuleTargetInput.from_object({"cause": "schedule"}), retry_attempts=3
                )
            ],
        )

    def _on_arrival(self, storage: Storage) -> sqs.Queue:
        """Batch arriving files in a queue and start one run per batch. Return the dead-letter queue."""
        unsent = sqs.Queue(
            self,
            "ArrivalsUnsent",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        arrivals = sqs.Queue(
            self,
            "Arrivals",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            # Longer than a batch's window, or messages become visible again before the batch starts.
            visibility_timeout=Duration.seconds(2 * _BATCH_SECONDS),
            dead_letter_queue=sqs.DeadLetterQueue(queue=unsent, max_receive_count=5),
        )
        events.Rule(
            self,
            "Arrival",
            description="a landing file arrived",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [storage.landing.bucket_name]}},
            ),
            targets=[targets.SqsQueue(arrivals)],
        )
        role = iam.Role(
            self,
            "ArrivalRole",
            assumed_by=iam.ServicePrincipal(
                "pipes.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description=f"{self.deployment.stack}: starts a run when files arrive",
        )
        allow(role, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", on=[arrivals.queue_arn])
        allow(role, "states:StartExecution", on=[self.machine.state_machine_arn])
        pipe = pipes.CfnPipe(
            self,
            "ArrivalPipe",
            name=f"{self.deployment.stack}-arrivals",
            description="one run for all files that arrive together",
            role_arn=role.role_arn,
            source=arrivals.queue_arn,
            source_parameters=pipes.CfnPipe.PipeSourceParametersProperty(
                sqs_queue_parameters=pipes.CfnPipe.PipeSourceSqsQueueParametersProperty(
                    batch_size=_BATCH, maximum_batching_window_in_seconds=_BATCH_SECONDS
                )
            ),
            target=self.machine.state_machine_arn,
            target_parameters=pipes.CfnPipe.PipeTargetParametersProperty(
                # The smallest possible input for each message, because an execution's input is limited to 256 KiB.
                input_template="{}",
                step_function_state_machine_parameters=pipes.CfnPipe.PipeTargetStateMachineParametersProperty(
                    invocation_type="FIRE_AND_FORGET"
                ),
            ),
        )
        after_permissions(pipe, role)
        return unsent
