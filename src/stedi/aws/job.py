"""What the scripts of `deploy/jobs` have in common: a run of some tables, with the arguments of a Glue job."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

from stedi import pipeline
from stedi.config import Settings, load_settings
from stedi.errors import StediError, UsageError
from stedi.report import print_json, run_json

# Each is the setting of the same name, but for the secret.
_ARGUMENTS = ("landing", "warehouse", "database", "policy", "engine")


def main(*tables: str, publish: bool = False) -> None:
    """Bring some tables up to date, and what they are built from (all tables where none is named), and report as JSON.

    Only the job that publishes lets readers see what the jobs before it committed.

    Raises:
        SystemExit: it failed; the message says how, in one line. Glue shows it as the run's error.
    """
    try:
        report = pipeline.run(_settings(sys.argv[1:]), select=tables, publish=publish)
        print_json(run_json(report))
        report.refuse_failures()
    except StediError as error:
        raise SystemExit(f"stedi: {error}") from None
    except Exception as error:
        # Its text may quote data, so only its kind is named.
        raise SystemExit(f"stedi: unexpected {type(error).__name__}; run again, and report it if it stays so") from None


def _settings(arguments: Sequence[str]) -> Settings:
    """The settings that a job's arguments ask for; Glue adds arguments of its own, which are not ours to judge."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for name in (*_ARGUMENTS, "pseudonym_secret"):
        parser.add_argument(f"--{name}")
    try:
        given, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UsageError(f"job argument {error.argument_name}: {error.message}") from None
    options = {name: getattr(given, name) for name in _ARGUMENTS}
    options["engine"] = options["engine"] or "spark"
    if given.pseudonym_secret:
        options["pseudonym_key"] = _secret(given.pseudonym_secret)
    return load_settings(None, options)


def _secret(name: str) -> str:
    """The text of a secret by its name or ARN."""
    from stedi.aws_client import AWS_ERRORS, advice, connect

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
