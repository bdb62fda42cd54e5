"""The scripts of the Glue jobs, as Glue starts them, against S3, Glue and Secrets Manager on this machine."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from stedi.history import read_runs
from stedi.table import Rule
from stedi.warehouse import warehouse_at
from tests.support.compare import contents, found_wrong
from tests.support.killing import found_by_rules, land_first, land_more
from tests.support.lake import KEY, Lake
from tests.support.s3 import BUCKET, PLACE, Store, aws, iceberg, server, store
from tests.support.spark import LIGHT

__all__ = ["aws", "server", "store"]

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")

JOBS = Path(__file__).parents[2] / "deploy" / "jobs"
IN_ORDER = (
    "ingest_landing",
    "customer_landing_to_trusted",
    "accelerometer_landing_to_trusted",
    "customer_trusted_to_curated",
    "step_trainer_trusted",
    "machine_learning_curated",
    "publish_run",
)
# Runs scripts one after the other, of which each finds its own name and arguments.
IN_TURN = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What Glue gives every job besides its own arguments.
OF_GLUE = ["--JOB_NAME", "a job", "--TempDir", "s3://temp/", "--enable-metrics", "true", "--continuation-option=x"]


class Bucket(Lake):
    """A lake whose landing files and tables lie in buckets."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(folder)
        self._store = store
        self.settings = self.settings.model_copy(
            update={"landing": f"s3://{BUCKET}/in", "warehouse": warehouse_at(PLACE, "stedi")}
        )
        made = boto3.client("secretsmanager").create_secret(Name="pseudonyms", SecretString=KEY)
        self.secret: str = made["ARN"]

    def land(self, name: str, records: Any) -> Path:
        path = super().land(name, records)
        self._store.put(f"in/{name}", path.read_bytes())
        return path

    def arguments(self, engine: str) -> list[str]:
        return [
            *("--landing", self.settings.landing, "--warehouse", str(self.settings.warehouse), "--database", "stedi"),
            *("--policy", "customer", "--engine", engine, "--pseudonym_secret", self.secret, *OF_GLUE),
        ]

    def start(self, job: str, engine: str) -> dict[str, Any]:
        """Run a script in a process of its own; returns what it reports."""
        [report] = self._reports(str(JOBS / f"{job}.py"), *self.arguments(engine))
        return report

    def start_in_turn(self, jobs: Sequence[str], engine: str) -> list[dict[str, Any]]:
        """Run scripts one after the other in one process, for Java takes longer to start than to run one."""
        commands = [[str(JOBS / f"{job}.py"), *self.arguments(engine)] for job in jobs]
        return self._reports("-c", IN_TURN, json.dumps(commands))

    def _reports(self, *command: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.landing,
            env={**os.environ, "PYSPARK_SUBMIT_ARGS": LIGHT},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def bucket(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return Bucket(tmp_path, store)


def expected(lake: Lake, twin: Lake) -> dict[str, list[str]]:
    """The tables of a lake in folders that sees the same landing files."""
    shutil.copytree(lake.landing, twin.landing, dirs_exist_ok=True)
    twin.run()
    return contents(twin)


def test_the_jobs_in_order_lead_from_landing_files_to_the_tables_of_a_run(bucket: Bucket, twin: Lake) -> None:
    land_first(bucket)
    for job in IN_ORDER:
        assert read_runs(bucket.settings.warehouse) == []
        report = bucket.start(job, "embedded")
        assert "@x" not in json.dumps(report)
    assert {table["status"] for table in report["tables"].values()} == {"up to date"}
    assert_is_what_one_run_gives(bucket, twin)
    # Nothing new: nothing is added. Then the last job alone takes what is new.
    [first] = read_runs(bucket.settings.warehouse)
    assert bucket.start("publish_run", "embedded")["run_id"] == first.run_id
    assert read_runs(bucket.settings.warehouse) == [first]
    land_more(bucket)
    bucket.start("publish_run", "embedded")
    assert contents(bucket) == expected(bucket, twin)


@needs_java
def test_on_spark_the_first_job_works_alone_and_each_goes_on_from_the_one_before(bucket: Bucket, twin: Lake) -> None:
    land_first(bucket)
    seen: set[str] = set()
    # The first and what follows it, as Glue has it, know nothing of each other but the warehouse.
    reports = [bucket.start(IN_ORDER[1], "spark"), *bucket.start_in_turn(IN_ORDER[2:], "spark")]
    assert len(reports) == len(IN_ORDER[1:])
    for report in reports:
        done = {name for name, table in report["tables"].items() if table["status"] == "refreshed"}
        assert done == set(report["tables"]) - seen
        seen |= done
    assert len(read_runs(bucket.settings.warehouse)) == 1
    assert_is_what_one_run_gives(bucket, twin)


@needs_java
def test_on_spark_landing_files_are_taken_by_themselves_and_once(bucket: Bucket, twin: Lake) -> None:
    land_first(bucket)
    taken, again = (report["tables"] for report in bucket.start_in_turn(["ingest_landing"] * 2, "spark"))
    assert {table["status"] for table in taken.values()} == {"refreshed"}
    assert {table["status"] for table in again.values()} == {"up to date"}
    made = bucket.start("publish_run", "embedded")["tables"]
    assert {name for name, table in made.items() if table["status"] == "up to date"} == set(taken)
    assert_is_what_one_run_gives(bucket, twin)


def assert_is_what_one_run_gives(bucket: Bucket, twin: Lake) -> None:
    assert contents(bucket) == expected(bucket, twin)
    assert found_by_rules(bucket) == found_by_rules(twin)
    assert len(iceberg("machine_learning_curated").scan().to_arrow()) == len(contents(twin)["machine_learning_curated"]) > 0
    assert found_wrong(bucket) == []


def run_here(job: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{job}.py", *arguments])
    runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")


@pytest.fixture(scope="module")
def rows_of_one_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many rows each table has after one run on the first landing files."""
    lake = Lake(tmp_path_factory.mktemp("one-run"))
    land_first(lake)
    return {name: table.rows for name, table in lake.run().tables.items()}


@pytest.mark.parametrize("job", IN_ORDER)
def test_each_job_works_alone_on_an_empty_warehouse(
    bucket: Bucket,
    rows_of_one_run: dict[str, int],
    job: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    land_first(bucket)
    run_here(job, bucket.arguments("embedded"), monkeypatch)
    brought = {name: table["rows"] for name, table in json.loads(capsys.readouterr().out)["tables"].items()}
    assert brought == {name: rows for name, rows in rows_of_one_run.items() if name in brought}
    assert brought == {name: len(iceberg(name).scan().to_arrow()) for name in brought}
    assert len(read_runs(bucket.settings.warehouse)) == (job == "publish_run")


def failure(job: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    with pytest.raises(SystemExit) as caught:
        run_here(job, arguments, monkeypatch)
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
        (lambda a: without(a, "--pseudonym_secret", "--pseudonym_secret", "none"), "there is none of that name"),
        (lambda a: without(a, "--policy", "--policy", "all"), "stedi: setting 'consent.policy': "),
        (lambda a: without(a, "--landing", "--landing", "s3://no-such-bucket"), "landing prefix s3://no-such-bucket"),
        (lambda a: without(a, "--warehouse", "--warehouse", "s3://no-such-bucket"), "the bucket does not exist"),
        (lambda a: [*a, "--landing"], "stedi: job argument --landing: expected one argument"),
    ],
)
def test_a_job_that_can_not_work_says_why_in_a_line(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, change: Change, said: str
) -> None:
    land_first(bucket)
    assert said in failure("ingest_landing", change(bucket.arguments("embedded")), monkeypatch)


def test_a_job_whose_rule_fails_fails(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT person, count(*) AS n FROM {rows} GROUP BY person"
    never = Rule("never_true", "error", "a promise that no row keeps", violations=query, by=("person",))
    monkeypatch.setattr("stedi.quality.checks", lambda table: (never,) if table.name == "customer_trusted" else ())
    land_first(bucket)
    said = failure("customer_landing_to_trusted", bucket.arguments("embedded"), monkeypatch)
    assert said.startswith("stedi: 1 error-level rule(s) failed, first customer_trusted.never_true for 2 rows;")
