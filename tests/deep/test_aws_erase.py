"""`stedi aws erase` against an emulated deployment: what it erases. The officer's role allows all that it asks for."""

import json
from pathlib import Path

import boto3
import pytest

from stedi.aws import stacks
from stedi.aws.parameters import DeploymentParameters
from stedi.cli import main
from tests.support.aws_requests import Request, deployment_with_jobs, land, noted, role_policies
from tests.support.byte_search import files_containing
from tests.support.cdk import Templates

__all__ = ["noted"]

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS.*not supported by moto")
OFFICER = DeploymentParameters(officers="arn:aws:iam::123456789012:role/privacy")


def download(buckets: list[str], folder: Path) -> Path:
    """Write every version of every object of some buckets to a file below the folder. Return the folder."""
    s3 = boto3.client("s3")
    for bucket in buckets:
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        for number, entry in enumerate(entry for page in pages for entry in page.get("Versions", ())):
            path = folder / bucket / str(number) / entry["Key"]
            path.parent.mkdir(parents=True)
            path.write_bytes(s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])["Body"].read())
    return folder


def test_the_officer_erases_a_person_from_a_deployment(
    noted: list[Request],
    templates: Templates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with deployment_with_jobs(templates, noted, OFFICER) as jobs:
        outputs = stacks.outputs("stedi")
        buckets = [outputs[name] for name in ("LandingBucket", "LakehouseBucket", "ResultsBucket")]
        for bucket in buckets:
            # The emulated CloudFormation passes over it.
            boto3.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        land(jobs.landing, 0)
        jobs.run("publish_run")
        boto3.client("s3").put_object(Bucket=outputs["ResultsBucket"], Key="results/1.csv", Body=b"a@x")
        assert main(["aws", "erase", "A@x", "--plan", "--json"]) == 0
        planned = json.loads(capsys.readouterr().out)
        assert planned["copies"] == 1
        assert any("access logs" in remains["what"] for remains in planned["remains"])
        before = len(noted)
        assert main(["aws", "erase", "A@x", "--yes"]) == 0
        asked = set(noted[before:])
        jobs.tried.asked["officer"], jobs.tried.allowed["officer"] = asked, role_policies("stedi-privacy-officer")
        assert jobs.tried.refused("officer") == set()
        assert {"s3:DeleteObjectVersion", "s3:ListBucketMultipartUploads", "glue:UpdateTable"} <= {a for a, _ in asked}
        everything = download(buckets, tmp_path / "versions")
        assert files_containing(["a@x"], everything) == []
        assert files_containing(["b@x"], everything) != []
        [certificate] = everything.glob("*/*/lakehouse-privacy/certificates/*Z-*.json")
        assert "query history" in certificate.read_text()
        # A late file does not bring the person back: the jobs know the list.
        land(jobs.landing, 1)
        jobs.run("publish_run")
        assert jobs.tried.refused("publish_run") == set()
        capsys.readouterr()
        assert main(["aws", "erase", "--restore-check"]) == 1
        assert "accelerometer/1.json" in capsys.readouterr().out
