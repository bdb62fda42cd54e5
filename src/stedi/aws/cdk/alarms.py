"""SNS topic, and CloudWatch alarms for failed runs, missing runs, unprocessed arrivals, and cost.

The publishing job sends the alarms of a run to the same topic.
"""

from aws_cdk import Aws, Duration
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stedi.aws.cdk.foundation import Foundation
from stedi.aws.parameters import DeploymentParameters

_NOTICES = ((80, "ACTUAL"), (100, "FORECASTED"), (100, "ACTUAL"))


class Alarms(Construct):
    """The topic, the alarms, and a budget for the account."""

    def __init__(self, scope: Construct, name: str, *, deployment: DeploymentParameters, foundation: Foundation) -> None:
        super().__init__(scope, name)
        self.stack_name = deployment.stack
        self.topic = sns.Topic(self, "Topic", master_key=foundation.key, enforce_ssl=True)
        if deployment.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(deployment.alarm_email))
        # A topic with a policy has to allow even the alarms of its own account.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com") for service in ("cloudwatch", "budgets")],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=self.topic.topic_arn)
        budgets.CfnBudget(
            self,
            "Budget",
            # For the cost of the whole account. A budget by tag would never send an alarm before somebody activates the
            # tag for billing.
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"{deployment.stack}-monthly",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=deployment.budget_usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=notification_type,
                        threshold=threshold,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for threshold, notification_type in _NOTICES
            ],
        )

    def watch(self, machine: sfn.StateMachine, unsent: sqs.Queue) -> None:
        """Add alarms for a failed run, two days without a successful run, and arrivals that could not start a run."""
        for state, metric in (
            ("failed", machine.metric_failed()),
            ("timed-out", machine.metric_timed_out()),
            ("aborted", machine.metric_aborted()),
        ):
            self._alarm(f"run-{state}", metric.with_(period=Duration.minutes(5), statistic="Sum"), "a run did not succeed")
        self._alarm(
            "no-run",
            machine.metric_succeeded(period=Duration.days(1), statistic="Sum"),
            "no run succeeded in two days",
            alarm_below=1,
            periods=2,
        )
        self._alarm(
            "arrival-unsent",
            unsent.metric_approximate_number_of_messages_visible(period=Duration.minutes(5), statistic="Maximum"),
            "files arrived and no run could be started for them; the next scheduled run ingests them",
        )

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, meaning: str, *, alarm_below: int | None = None, periods: int = 1
    ) -> None:
        below = alarm_below is not None
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self.stack_name}-{name}",
            alarm_description=meaning,
            metric=metric,
            threshold=alarm_below or 1,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
            if below
            else cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING if below else cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
