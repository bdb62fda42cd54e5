"""Main function of the Glue jobs in `deploy/jobs`: run the pipeline for some tables."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing

from stedi import pipeline
from stedi.cli.run_report import run_json
from stedi.cli.terminal import print_json
from stedi.config import Settings, load_settings
from stedi.errors import DeploymentError, StediError, UsageError
from stedi.model.alarms import Alarm

# Each is the setting of the same name.
_SETTINGS = ("landing", "warehouse", "database", "policy", "alarm_drop", "owners_confidence", "match_tolerance_ms", "engine")
_ARGUMENTS = (*_SETTINGS, "pseudonym_secret", "alarm_topic")


def main(*tables: str, publish: bool = False) -> None:
    """Refresh some tables and their inputs, and print the report as JSON.

    Readers see the commits of all jobs only after the job that publishes. Before it publishes, that job sends alarms
    to the topic `--alarm_topic`. An alarm that can't be sent fails the job, and the next attempt sends it.
    A job with alarms succeeds.

    Args:
        tables: names of the tables; all tables if there is none.
        publish: record a finished run.

    Raises:
        SystemExit: the job failed, with the error in one line. Glue shows it as the run's error.
    """
    try:
        arguments = _parsed(sys.argv[1:])

        def send(alarm: Alarm) -> None:
            if arguments.alarm_topic:
                _send(arguments.alarm_topic, alarm)

        report = pipeline.run(_settings(arguments), select=tables, publish=publish, on_alarm=send)
        print_json(run_json(report))
        report.refuse_failures()
    except StediError as error:
        raise SystemExit(f"stedi: {error}") from None
    except Exception as error:
        # The error's text may quote data. Print its type only.
        raise SystemExit(f"stedi: unexpected {type(error).__name__}; run again, and report it if it stays so") from None


def _parsed(arguments: Sequence[str]) -> Namespace:
    """Parse a job's arguments. Glue adds arguments of its own, which are ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for name in _ARGUMENTS:
        parser.add_argument(f"--{name}")
    try:
        given, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UsageError(f"job argument {error.argument_name}: {error.message}") from None
    return given


def _settings(arguments: Namespace) -> Settings:
    """Load the settings of a job from its arguments."""
    options = {name: getattr(arguments, name) for name in _SETTINGS}
    options["engine"] = options["engine"] or "spark"
    if arguments.pseudonym_secret:
        options["pseudonym_key"] = _secret(arguments.pseudonym_secret)
    return load_settings(None, options)


def _send(topic: str, alarm: Alarm) -> None:
    """Send an alarm to an SNS topic. Its message counts people and contains no personal data.

    Raises:
        DeploymentError: SNS refuses the request.
    """
    from stedi.storage.aws_client import AWS_ERRORS, advice, connect

    refusals = {
        "AuthorizationError": "access is denied; grant sns:Publish on the topic and use of its KMS key",
        "NotFound": "no such topic; check --alarm_topic",
    }
    with closing(connect("sns", DeploymentError)) as client:
        try:
            client.publish(TopicArn=topic, Subject=f"STEDI: alarm {alarm.name}", Message=alarm.message)
        except AWS_ERRORS as error:
            raise DeploymentError(f"alarm {alarm.name} can't be sent to its topic: {advice(error, refusals)}") from error


def _secret(name: str) -> str:
    """Read the text of a secret by its name or ARN.

    Raises:
        UsageError: the secret can't be read, or is empty.
    """
    from stedi.storage.aws_client import AWS_ERRORS, advice, connect

    denied = "access is denied; grant secretsmanager:GetSecretValue on it, and use of its KMS key"
    refusals = {
        "AccessDeniedException": denied,
        "ResourceNotFoundException": "no such secret in this region; check --pseudonym_secret",
    }
    with closing(connect("secretsmanager", UsageError)) as client:
        try:
            found = client.get_secret_value(SecretId=name)
        except AWS_ERRORS as error:
            raise UsageError(f"the pseudonym secret can't be read: {advice(error, refusals)}") from error
    text: str | None = found.get("SecretString")
    if not text:
        raise UsageError("the pseudonym secret is empty; set its text")
    return text
