"""What the scripts of `deploy/jobs` have in common: a run of some tables, with the arguments of a Glue job."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing

from stedi import pipeline
from stedi.cli.render import print_json, run_json
from stedi.config import Settings, load_settings
from stedi.errors import DeploymentError, StediError, UsageError
from stedi.model.alarms import Alarm

# Each is the setting of the same name.
_SETTINGS = ("landing", "warehouse", "database", "policy", "alarm_drop", "owners_confidence", "match_tolerance_ms", "engine")
_ARGUMENTS = (*_SETTINGS, "pseudonym_secret", "alarm_topic")


def main(*tables: str, publish: bool = False) -> None:
    """Bring some tables up to date, and what they are built from (all tables where none is named), and report as JSON.

    Only the job that publishes lets readers see what the jobs before it committed. It sends alarms to the topic
    `--alarm_topic`, before it publishes: an alarm that can't be sent fails the job, and the next try sends it.
    A job with alarms succeeds.

    Raises:
        SystemExit: it failed; the message says how, in one line. Glue shows it as the run's error.
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
        # Its text may quote data, so only its kind is named.
        raise SystemExit(f"stedi: unexpected {type(error).__name__}; run again, and report it if it stays so") from None


def _parsed(arguments: Sequence[str]) -> Namespace:
    """A job's arguments; Glue adds arguments of its own, which are not ours to judge."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for name in _ARGUMENTS:
        parser.add_argument(f"--{name}")
    try:
        given, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UsageError(f"job argument {error.argument_name}: {error.message}") from None
    return given


def _settings(arguments: Namespace) -> Settings:
    """The settings that a job's arguments ask for."""
    options = {name: getattr(arguments, name) for name in _SETTINGS}
    options["engine"] = options["engine"] or "spark"
    if arguments.pseudonym_secret:
        options["pseudonym_key"] = _secret(arguments.pseudonym_secret)
    return load_settings(None, options)


def _send(topic: str, alarm: Alarm) -> None:
    """Send an alarm to a topic of SNS; it counts people and names nobody.

    Raises:
        DeploymentError: SNS refuses.
    """
    from stedi.storage.aws_client import AWS_ERRORS, advice, connect

    refusals = {
        "AuthorizationError": "access is denied; grant sns:Publish on it, and use of its KMS key",
        "NotFound": "there is none of that name; check --alarm_topic",
    }
    with closing(connect("sns", DeploymentError)) as client:
        try:
            client.publish(TopicArn=topic, Subject=f"STEDI: alarm {alarm.name}", Message=alarm.message)
        except AWS_ERRORS as error:
            raise DeploymentError(f"alarm {alarm.name} can't be sent to its topic: {advice(error, refusals)}") from error


def _secret(name: str) -> str:
    """The text of a secret by its name or ARN."""
    from stedi.storage.aws_client import AWS_ERRORS, advice, connect

    denied = "access is denied; grant secretsmanager:GetSecretValue on it, and use of its KMS key"
    refusals = {
        "AccessDeniedException": denied,
        "ResourceNotFoundException": "there is none of that name in this region; check --pseudonym_secret",
    }
    with closing(connect("secretsmanager", UsageError)) as client:
        try:
            found = client.get_secret_value(SecretId=name)
        except AWS_ERRORS as error:
            raise UsageError(f"the secret of the pseudonyms can't be read: {advice(error, refusals)}") from error
    text: str | None = found.get("SecretString")
    if not text:
        raise UsageError("the secret of the pseudonyms holds no text; put one there")
    return text
