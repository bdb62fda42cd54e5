"""Main function of the scripts in `deploy/jobs`: run the pipeline for some tables, with the arguments of a Glue job."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing

from stedi import pipeline
from stedi.cli.run_report import run_json
from stedi.cli.terminal import print_json
from stedi.config import OPTIONS_OF_SECTIONS, Settings, load_settings
from stedi.errors import DeploymentError, StediError, UsageError
from stedi.model.alarms import Alarm

# Job arguments that are settings of the same name.
_SETTINGS = ("landing", "warehouse", "database", "engine", *OPTIONS_OF_SECTIONS)
_ARGUMENTS = (*_SETTINGS, "pseudonym_secret", "suppression_secret", "alarm_topic")


def main(*tables: str, publish: bool = False) -> None:
    """Refresh some tables and their inputs, and print the run's report as JSON.

    Alarms are sent to the SNS topic in the argument `--alarm_topic` before the run is published. If an alarm can't be
    sent, the job fails, and its retry sends the alarm again. An alarm does not fail the job.

    Args:
        tables: names of the tables; without any, all tables.
        publish: whether to publish the run. Only the last job publishes; this includes the commits of the earlier jobs.

    Raises:
        SystemExit: the job failed. The message is one line, which Glue shows as the error of the job run.
    """
    try:
        arguments = _parse(sys.argv[1:])

        def send(alarm: Alarm) -> None:
            if arguments.alarm_topic:
                _send(arguments.alarm_topic, alarm)

        report = pipeline.run(_settings(arguments), select=tables, publish=publish, on_alarm=send)
        print_json(run_json(report))
        report.raise_failures()
    except StediError as error:
        raise SystemExit(f"stedi: {error}") from None
    except Exception as error:
        # The error's text may quote data, so only its type is printed.
        raise SystemExit(
            f"stedi: unexpected {type(error).__name__}; start the job again, and report the error if it occurs again"
        ) from None


def _parse(arguments: Sequence[str]) -> Namespace:
    """Parse a job's arguments; ignore those that Glue adds."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for name in _ARGUMENTS:
        parser.add_argument(f"--{name}")
    try:
        known, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UsageError(f"job argument {error.argument_name}: {error.message}") from None
    return known


def _settings(arguments: Namespace) -> Settings:
    options = {name: getattr(arguments, name) for name in _SETTINGS}
    options["engine"] = options["engine"] or "spark"
    if arguments.pseudonym_secret:
        options["pseudonym_key"] = _read_secret(arguments.pseudonym_secret, "pseudonym key", "--pseudonym_secret")
    if arguments.suppression_secret:
        key = _read_secret(arguments.suppression_secret, "suppression key", "--suppression_secret")
        options["privacy"] = {"suppression_key": key}
    return load_settings(None, options)


def _send(topic: str, alarm: Alarm) -> None:
    """Send an alarm to an SNS topic. Its text contains counts of people and no names."""
    from stedi.storage.aws_client import create_client
    from stedi.storage.aws_errors import translate_aws_errors

    hints = {
        "AuthorizationError": "access is denied; grant sns:Publish on it, and use of its KMS key",
        "NotFound": "the topic does not exist; check --alarm_topic",
    }
    with (
        closing(create_client("sns", DeploymentError)) as client,
        translate_aws_errors(f"alarm {alarm.name} can't be sent to its topic", DeploymentError, hints),
    ):
        client.publish(TopicArn=topic, Subject=f"STEDI: alarm {alarm.name}", Message=alarm.message)


def _read_secret(name: str, what: str, argument: str) -> str:
    """Read the text of a secret from Secrets Manager, by its name or ARN."""
    from stedi.storage.aws_client import create_client
    from stedi.storage.aws_errors import translate_aws_errors

    hints = {
        "AccessDeniedException": "access is denied; grant secretsmanager:GetSecretValue on it, and use of its KMS key",
        "ResourceNotFoundException": f"no secret has this name in this region; check {argument}",
    }
    with (
        closing(create_client("secretsmanager", UsageError)) as client,
        translate_aws_errors(f"the {what}'s secret can't be read", UsageError, hints),
    ):
        secret = client.get_secret_value(SecretId=name)
    text: str | None = secret.get("SecretString")
    if not text:
        raise UsageError(f"the {what}'s secret contains no text; put a key into it")
    return text
