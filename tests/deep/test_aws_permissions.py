"""Every request that a job really makes is one that its own role allows, and not one that a stranger's does.

The project is deployed to an emulated AWS, the scripts run against it one after the other, the server notes what
they ask for, and each is held against the policies that the deployment gave the job's role.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from stedi.aws.jobs import JOBS
from tests.support.aws_requests import Request, Tried, deployment_with_jobs, land, noted
from tests.support.cdk import Templates

__all__ = ["noted"]

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS.*not supported by moto")

# One that removes rows of people who withdrew, and the one that publishes.
SECOND_TIME = ["accelerometer_landing_to_trusted", "publish_run"]


@pytest.fixture(scope="module")
def tried(noted: list[Request], templates: Templates) -> Iterator[Tried]:
    """All jobs run in order on a fresh deployment with a few people, then some a second time on new files."""
    with deployment_with_jobs(templates, noted) as jobs:
        for batch, names in enumerate(([job.name for job in JOBS], SECOND_TIME)):
            land(jobs.landing, batch)
            for name in names:
                jobs.run(name)
        yield jobs.tried


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_role_allows_all_that_its_job_asks_for(tried: Tried, job: Any) -> None:
    assert {"s3:PutObject", "s3:GetObject", "s3:ListBucket", "glue:GetTable"} <= {a for a, _ in tried.asked[job.name]}
    assert tried.refused(job.name) == set()


def test_a_role_is_of_no_use_for_another_job(tried: Tried) -> None:
    refused = tried.refused("accelerometer_landing_to_trusted", role_of="customer_landing_to_trusted")
    assert any("/accelerometer/" in arn for _, arn in refused)
    assert any(arn.endswith("table/stedi/accelerometer_trusted") for _, arn in refused)
    refused = tried.refused("publish_run", role_of="machine_learning_curated")
    assert any("/lakehouse/runs/" in arn and action == "s3:PutObject" for action, arn in refused)
