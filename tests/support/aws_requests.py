"""Compare the requests of a deployment's jobs to an emulated AWS with the policies of their roles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from stedi.aws.deploy import deploy
from stedi.aws.jobs import JOBS
from stedi.aws.parameters import DeploymentParameters
from tests.support.cdk import Templates
from tests.support.emulated_aws import ACCOUNT, REGION, SETTINGS, emulated_aws
from tests.support.glue_jobs import run_here
from tests.support.lake import customer, distance, reading

Request = tuple[str, str]


def of_s3(method: str, path: str, query: dict[str, list[str]], body: bytes) -> Iterator[Request]:
    """Yield (action, ARN) of a request to S3 with the path /bucket/key."""
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    where = f"arn:aws:s3:::{bucket}"
    if not key:
        if "delete" in query:
            for entry in ElementTree.fromstring(body):
                named = {part.tag.rpartition("}")[2]: part.text for part in entry}
                if "Key" in named:
                    yield (
                        ("s3:DeleteObjectVersion" if "VersionId" in named else "s3:DeleteObject"),
                        f"{where}/{named['Key']}",
                    )
        elif "versions" in query:
            yield "s3:ListBucketVersions", where
        elif "uploads" in query:
            yield "s3:ListBucketMultipartUploads", where
        else:
            yield ("s3:GetBucketLocation" if "location" in query else "s3:ListBucket"), where
    elif method == "DELETE" and "uploadId" in query:
        yield "s3:AbortMultipartUpload", f"{where}/{key}"
    else:
        action = {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}.get(method, "PutObject")
        part = "Tagging" if "tagging" in query else "Version" if "versionId" in query else ""
        yield f"s3:{action}{part}", f"{where}/{key}"


def of_json(target: str, asked: dict[str, Any]) -> Iterator[Request]:
    """Yield (action, ARN) of a request to Secrets Manager or Glue. Glue checks table, database and catalog."""
    service, _, action = target.partition(".")
    if service == "secretsmanager":
        yield f"secretsmanager:{action}", asked["SecretId"]
        return
    assert service == "AWSGlue", target
    database = asked.get("DatabaseName") or asked.get("Name")
    table = asked.get("TableInput", {}).get("Name") or (asked.get("Name") if "DatabaseName" in asked else None)
    for resource in ("catalog", f"database/{database}", *([f"table/{database}/{table}"] if table else [])):
        yield f"glue:{action}", f"arn:aws:glue:{REGION}:{ACCOUNT}:{resource}"


@pytest.fixture(scope="module")
def noted() -> Iterator[list[Request]]:
    """All requests to the emulated AWS so far."""
    requests: list[Request] = []
    answer = DomainDispatcherApplication.__call__

    def note_and_answer(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        body = b""
        if target or "delete" in query:
            # Only these, because a chunked body can't be read twice.
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = BytesIO(body)
        if target:
            if target.startswith(("AWSGlue.", "secretsmanager.")):
                requests.extend(of_json(target, json.loads(body)))
        elif "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
            requests.extend(of_s3(environ["REQUEST_METHOD"], environ["PATH_INFO"], query, body))
        return answer(self, environ, start_response)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DomainDispatcherApplication, "__call__", note_and_answer)
        yield requests


@dataclass
class Tried:
    """Requests of each job, and the (actions, ARN patterns) that each job's role allows."""

    asked: dict[str, set[Request]]
    allowed: dict[str, list[tuple[set[str], list[str]]]]

    def refused(self, job: str, role_of: str | None = None) -> set[Request]:
        """Return the requests of a job that its role, or another job's role, does not allow."""
        statements = self.allowed[role_of or job]
        return {
            (action, arn)
            for action, arn in self.asked[job]
            if not any(action in actions and any(fnmatchcase(arn, p) for p in arns) for actions, arns in statements)
        }


def listed(value: Any) -> list[str]:
    """Return a value of a policy as a list: it may be one text or several."""
    return value if isinstance(value, list) else [value]


@contextmanager
def deployment_with_jobs(
    templates: Templates, noted: list[Request], deployment: DeploymentParameters | None = None
) -> Iterator["Jobs"]:
    """Deploy to an empty emulated AWS, and yield the jobs."""
    with emulated_aws() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": url}).items():
            patch.setenv(name, value)
        templates.use(patch)
        parameters = deployment or DeploymentParameters()
        made = deploy(parameters, administrator=None, confirm=lambda _: True, progress=lambda _: None).outputs
        yield Jobs(made["LandingBucket"], noted)


class Jobs:
    """The jobs of a deployment and their requests."""

    def __init__(self, landing: str, noted: list[Request]) -> None:
        self.landing, self._noted = landing, noted
        self.tried = Tried({}, {job.name: policies(job.name) for job in JOBS})

    def run(self, job: str) -> None:
        """Run a job's script in this process with its default arguments, on the embedded engine."""
        arguments = boto3.client("glue").get_job(JobName=f"stedi-{job}")["Job"]["DefaultArguments"]
        before = len(self._noted)
        run_here(job, [text for pair in (arguments | {"--engine": "embedded"}).items() for text in pair])
        self.tried.asked.setdefault(job, set()).update(self._noted[before:])


def land(bucket: str, batch: int) -> None:
    """Land one file of each feed."""
    s3 = boto3.client("s3")
    times = [1_000 * batch + at for at in range(9)]
    files: dict[str, list[dict[str, Any]]] = {
        "customer": [
            customer("a@x", 10 + batch, shares=1, serial="s1"),
            customer("b@x", 10 + batch, shares=1 - batch or None),
        ],
        "accelerometer": [reading(user, at) for user in ("a@x", "b@x") for at in times],
        "step_trainer": [distance("s1", at) for at in times],
    }
    for feed, records in files.items():
        body = "".join(json.dumps(record) + "\n" for record in records)
        s3.put_object(Bucket=bucket, Key=f"{feed}/{batch}.json", Body=body.encode())


def policies(job: str) -> list[tuple[set[str], list[str]]]:
    """Return (actions, ARN patterns) of the statements of a job's role."""
    return role_policies(boto3.client("glue").get_job(JobName=f"stedi-{job}")["Job"]["Role"].rpartition("/")[2])


def role_policies(role: str) -> list[tuple[set[str], list[str]]]:
    """Return (actions, ARN patterns) of the statements of a role."""
    iam = boto3.client("iam")
    statements = [
        statement
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    ]
    return [(set(listed(s["Action"])), listed(s["Resource"])) for s in statements]
