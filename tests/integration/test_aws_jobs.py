"""The scripts of the Glue jobs, as Glue starts them, against S3, Glue and Secrets Manager on this machine."""

import json
from collections.abc import Callable

import boto3
import pytest

from stedi.catalog.run_log import read_runs
from stedi.model.rules import Rule
from stedi.model.table import Table
from tests.support.glue_jobs import (
    IN_ORDER,
    Bucket,
    assert_is_what_one_run_gives,
    assert_works_alone,
    bucket,
    rows_of_one_run,
    run_here,
)
from tests.support.killing import ChosenSteps, land_first
from tests.support.lake import Lake, customer
from tests.support.s3 import aws, server, store

__all__ = ["aws", "bucket", "rows_of_one_run", "server", "store"]


def test_the_jobs_in_order_lead_from_landing_files_to_the_tables_of_a_run(bucket: Bucket, twin: Lake) -> None:
    land_first(bucket)
    reports = [bucket.start(IN_ORDER[0], "embedded")]
    for job in IN_ORDER[1:]:
        assert read_runs(bucket.open_warehouse()) == []
        reports.append(bucket.run_here(job))
    assert "@x" not in json.dumps(reports)
    assert {table["status"] for table in reports[-1]["tables"].values()} == {"up to date"}
    assert_is_what_one_run_gives(bucket, twin)
    # Nothing new: nothing is added.
    [first] = read_runs(bucket.open_warehouse())
    assert bucket.run_here("publish_run")["run_id"] == first.run_id
    assert read_runs(bucket.open_warehouse()) == [first]


def test_a_job_works_alone_on_an_empty_warehouse(
    bucket: Bucket, rows_of_one_run: dict[str, int], steps: ChosenSteps
) -> None:
    assert_works_alone(bucket, steps.one_of(IN_ORDER), rows_of_one_run)


def failure(job: str, arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        run_here(job, arguments)
    # A text as the exit code is printed, and the process ends with 1.
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code
    return caught.value.code


def without(arguments: list[str], name: str, *instead: str) -> list[str]:
    at = arguments.index(name)
    return [*arguments[:at], *instead, *arguments[at + 2 :]]


Change = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: without(a, "--pseudonym_secret"), "stedi: there is no pseudonym key"),
        (lambda a: without(a, "--pseudonym_secret", "--pseudonym_secret", "none"), "no secret has this name"),
        (lambda a: without(a, "--policy", "--policy", "all"), "stedi: setting 'consent.policy': "),
        (lambda a: [*a, "--owners_confidence", "1"], "stedi: setting 'owners.confidence': "),
        (lambda a: [*a, "--match_tolerance_ms", "1001"], "stedi: setting 'match.tolerance_ms': "),
        (lambda a: without(a, "--landing", "--landing", "s3://no-such-bucket"), "landing prefix s3://no-such-bucket"),
        (lambda a: without(a, "--warehouse", "--warehouse", "s3://no-such-bucket"), "the bucket does not exist"),
        (lambda a: [*a, "--landing"], "stedi: job argument --landing: expected one argument"),
    ],
)
def test_a_job_that_can_not_work_says_why_in_a_line(bucket: Bucket, change: Change, said: str) -> None:
    land_first(bucket)
    assert said in failure("ingest_landing", change(bucket.arguments("embedded")))


def test_a_fall_of_consent_goes_to_the_topic_and_the_job_succeeds(bucket: Bucket) -> None:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic, queue = sns.create_topic(Name="alarms")["TopicArn"], sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    arguments = [*bucket.arguments("embedded"), "--alarm_topic", topic]
    at = 10
    bucket.land("customer/1.json", [customer(f"p{number}@x", at, shares=at) for number in range(100)])
    assert run_here("publish_run", arguments)["alarms"] == []
    bucket.land("customer/2.json", [customer(f"p{number}@x", at + 1) for number in range(1, 100)])
    assert "the topic does not exist" in failure("publish_run", [*arguments, "--alarm_topic", f"{topic}-gone"])
    assert len(read_runs(bucket.open_warehouse())) == 1
    [alarm] = run_here("publish_run", arguments)["alarms"]
    assert run_here("publish_run", arguments)["alarms"] == []
    [message] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    sent = json.loads(message["Body"])
    assert (sent["Subject"], sent["Message"]) == ("STEDI: alarm fall_of_consent", alarm["message"])
    assert "fell from 100 to 1 customers" in sent["Message"]
    assert "@x" not in message["Body"]


def test_a_job_whose_rule_fails_fails(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT person, count(*) AS n FROM {rows} GROUP BY person"
    never = Rule("never_true", "error", "a promise that no row keeps", violations=query, by=("person",))
    monkeypatch.setattr(Table, "checks", property(lambda table: (never,) if table.name == "customer_trusted" else ()))
    land_first(bucket)
    said = failure("customer_landing_to_trusted", bucket.arguments("embedded"))
    assert said.startswith("stedi: 1 error-level rule(s) failed, first customer_trusted.never_true with 2 violations;")
