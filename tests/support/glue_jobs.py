"""Run the scripts of the Glue jobs as Glue does, with emulated S3, Glue and Secrets Manager."""

import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import pytest

from stedi.catalog.run_log import read_runs
from tests.support.compare import contents, found_wrong
from tests.support.killing import land_first, violation_counts
from tests.support.lake import KEY, Lake
from tests.support.s3 import BUCKET, PLACE, REGION, Store, iceberg

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
# Runs scripts one after the other, each with its own `sys.argv`.
IN_TURN = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Arguments that Glue adds to those of every job.
OF_GLUE = ["--JOB_NAME", "a job", "--TempDir", "s3://temp/", "--enable-metrics", "true", "--continuation-option=x"]


def run_here(job: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a script in this process. Return its report."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", [f"{job}.py", *arguments])
        runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")
    report: dict[str, Any] = json.loads(out.buffer.getvalue())
    return report


class Bucket(Lake):
    """A lake with landing files and tables in a bucket."""

    def __init__(self, folder: Path, store: Store, place: str = PLACE, database: str = "stedi") -> None:
        super().__init__(folder)
        self._store = store
        self.database = database
        self.settings = self.settings.model_copy(
            update={"landing": f"s3://{BUCKET}/in", "warehouse": place, "database": database}
        )
        made = boto3.client("secretsmanager").create_secret(Name=f"pseudonyms of {database}", SecretString=KEY)
        self.secret: str = made["ARN"]

    def land(self, name: str, records: Any) -> Path:
        """Write a landing file here and in the bucket. Return its path here."""
        path = super().land(name, records)
        self._store.put(f"in/{name}", path.read_bytes())
        return path

    def arguments(self, engine: str) -> list[str]:
        """Return the arguments that Glue passes to a job."""
        return [
            *("--landing", self.settings.landing, "--warehouse", self.settings.warehouse),
            *(
                "--database",
                self.database,
                "--policy",
                "customer",
                "--engine",
                engine,
                "--pseudonym_secret",
                self.secret,
                *OF_GLUE,
            ),
        ]

    def run_here(self, job: str) -> dict[str, Any]:
        """Run a script in this process with the embedded engine. Return its report."""
        return run_here(job, self.arguments("embedded"))

    def start(self, job: str, engine: str) -> dict[str, Any]:
        """Run a script in a new process. Return its report."""
        [report] = start_in_turn([self.command(job, engine)])
        return report

    def command(self, job: str, engine: str) -> list[str]:
        """Return the path of a job's script, and its arguments."""
        return [str(JOBS / f"{job}.py"), *self.arguments(engine)]


def start_in_turn(commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Run scripts one after the other in one process, because Java starts slowly. Return their reports."""
    from tests.support.spark import LIGHT

    command = [*commands[0]] if len(commands) == 1 else ["-c", IN_TURN, json.dumps(commands)]
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYSPARK_SUBMIT_ARGS": LIGHT},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def bucket(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty lake in a bucket."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return Bucket(tmp_path, store)


@pytest.fixture(scope="module")
def rows_of_one_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The number of rows of each table after one run on the first landing files."""
    lake = Lake(tmp_path_factory.mktemp("one-run"))
    land_first(lake)
    return {name: table.rows for name, table in lake.run().tables.items()}


def expected(lake: Lake, twin: Lake) -> dict[str, list[str]]:
    """Return the tables of a lake in a folder with the same landing files."""
    shutil.copytree(lake.landing, twin.landing, dirs_exist_ok=True)
    twin.run()
    return contents(twin)


def assert_is_what_one_run_gives(bucket: Bucket, twin: Lake) -> None:
    """Assert that the jobs' tables equal those of one run in a folder."""
    assert contents(bucket) == expected(bucket, twin)
    assert violation_counts(bucket) == violation_counts(twin)
    assert (
        len(iceberg("machine_learning_curated", bucket.database).scan().to_arrow())
        == len(contents(twin)["machine_learning_curated"])
        > 0
    )
    assert found_wrong(bucket) == []


def assert_works_alone(bucket: Bucket, job: str, rows_of_one_run: dict[str, int]) -> None:
    """Assert that a job on an empty warehouse computes its tables and their inputs."""
    land_first(bucket)
    made = {name: table["rows"] for name, table in bucket.run_here(job)["tables"].items()}
    assert made == {name: rows for name, rows in rows_of_one_run.items() if name in made}
    assert made == {name: len(iceberg(name).scan().to_arrow()) for name in made}
    assert len(read_runs(bucket.open_warehouse())) == (job == "publish_run")
