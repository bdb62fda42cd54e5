"""The requests of one job are all allowed by its role; tests/deep/test_aws_permissions.py tries all jobs."""

import pytest

from tests.support.aws_requests import Request, deployment_with_jobs, land, noted
from tests.support.cdk import Templates

__all__ = ["noted"]

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS.*not supported by moto")


def test_a_role_allows_all_that_its_job_asks_for_and_another_role_does_not(
    noted: list[Request], templates: Templates
) -> None:
    with deployment_with_jobs(templates, noted) as jobs:
        land(jobs.landing, 0)
        jobs.run("ingest_landing")
        assert {"s3:PutObject", "s3:GetObject", "s3:ListBucket", "glue:GetTable"} <= {
            action for action, _ in jobs.tried.asked["ingest_landing"]
        }
        assert jobs.tried.refused("ingest_landing") == set()
        refused = jobs.tried.refused("ingest_landing", role_of="customer_landing_to_trusted")
        assert any("/accelerometer/" in arn for _, arn in refused)
