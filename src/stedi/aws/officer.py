"""The privacy officer's work on a deployment: the role, the settings, and what AWS keeps outside of the lakehouse.

The erasure runs on the officer's machine, with the officer's role: the addresses are in no argument or log of AWS.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stedi.aws.clients import client, region, translate_errors
from stedi.aws.retention import ACCESS_LOG_DAYS
from stedi.errors import DeploymentError
from stedi.privacy.certificate import derive_signing_key
from stedi.privacy.erasure.plan import Elsewhere, Remains
from stedi.storage.aws_errors import AWS_ERRORS, has_code

# Sessions last as long as the role allows; those of somebody who has assumed another role before, one hour.
_LONGEST_SECONDS, _CHAINED_SECONDS = 12 * 3600, 3600
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
}
# Where boto3 looks first, or for other credentials.
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def caller() -> str:
    """Return the ARN of the caller.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached.
    """
    with translate_errors("the caller's identity can't be looked up"):
        return str(client("sts").get_caller_identity()["Arn"])


@contextmanager
def as_officer(outputs: Mapping[str, str], session: str) -> Iterator[None]:
    """Assume the privacy officer's role in this process and those that it starts.

    Args:
        outputs: the outputs of the deployment's stack.
        session: name of the session, which CloudTrail shows.

    Raises:
        DeploymentError: the deployment has no such role, or the caller may not assume it.
    """
    role = outputs.get("OfficerRole")
    if role is None:
        raise DeploymentError(
            "the deployment has no role for a privacy officer; name those who may assume it: "
            "`stedi aws deploy --set officers=ARN`"
        )
    credentials = _assume(role, session)
    changed = {variable: credentials[name] for variable, name in _VARIABLES.items()} | {"AWS_DEFAULT_REGION": region()}
    before = {name: os.environ.get(name) for name in (*changed, *_PROFILES)}
    os.environ.update(changed)
    for name in _PROFILES:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _assume(role: str, session: str) -> Mapping[str, Any]:
    with translate_errors(f"the role {role} can't be assumed"):
        sts = client("sts")
        for seconds in (_LONGEST_SECONDS, _CHAINED_SECONDS):
            try:
                answer = sts.assume_role(RoleArn=role, RoleSessionName=session, DurationSeconds=seconds)
            except AWS_ERRORS as error:
                if has_code(error, "AccessDenied"):
                    raise DeploymentError(
                        f"the role {role} can't be assumed; add the caller to the parameter officers with `stedi aws deploy`"
                    ) from error
                if seconds == _CHAINED_SECONDS or not has_code(error, "ValidationError"):
                    raise
            else:
                return dict(answer["Credentials"])
    raise AssertionError("unreachable")


def deployed_settings(outputs: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the deployment's lakehouse, with its keys. Needs the officer's role.

    Args:
        outputs: the outputs of the deployment's stack.

    Raises:
        DeploymentError: a key can't be read.
    """
    warehouse = outputs["Warehouse"]
    return {
        "landing": f"s3://{outputs['LandingBucket']}",
        "warehouse": warehouse,
        "database": outputs["Database"],
        "engine": "embedded",
        "pseudonym_key": _secret(outputs["PseudonymKey"], "pseudonym key"),
        "privacy": {
            "folder": f"{warehouse}-privacy",
            "suppression_key": _secret(outputs["SuppressionKey"], "suppression key"),
            "signing_key": derive_signing_key(_secret(outputs["SigningKey"], "signing key")),
        },
    }


def _secret(arn: str, what: str) -> str:
    with translate_errors(f"the secret of the {what} can't be read"):
        return str(client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])


def elsewhere(outputs: Mapping[str, str], asked_by: str) -> Elsewhere:
    """Return what the deployment keeps outside of the lakehouse, and until when.

    Args:
        outputs: the outputs of the deployment's stack.
        asked_by: ARN of the officer.
    """
    remains = (
        Remains(
            "access logs of the buckets",
            0,
            f"contain the names of landing files, which may contain addresses; deleted after {ACCESS_LOG_DAYS} days",
        ),
        Remains(
            "Athena's query history",
            0,
            "contains the text of queries, with addresses that somebody wrote into them; deleted by AWS after 45 days",
        ),
        Remains(
            "CloudTrail's events",
            0,
            "contain the names of objects, if a trail of the account logs data events; kept as the account's owner has set",
        ),
        Remains("backups and replicas of the buckets", 0, "the deployment makes none; delete those that others have made"),
    )
    return Elsewhere((f"s3://{outputs['ResultsBucket']}/results/",), remains, asked_by)
