"""All scripts of the Glue jobs as processes of their own, each alone, and on Spark."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stedi.catalog.run_log import read_runs
from tests.support.compare import contents
from tests.support.glue_jobs import (
    IN_ORDER,
    Bucket,
    assert_is_what_one_run_gives,
    assert_works_alone,
    bucket,
    expected,
    rows_of_one_run,
    start_in_turn,
)
from tests.support.killing import land_first, land_more
from tests.support.lake import Lake
from tests.support.s3 import BUCKET, Store, aws, server, store

__all__ = ["aws", "bucket", "rows_of_one_run", "server", "store"]

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")


def test_the_jobs_as_processes_lead_from_landing_files_to_the_tables_of_a_run(bucket: Bucket, twin: Lake) -> None:
    land_first(bucket)
    for job in IN_ORDER:
        assert read_runs(bucket.open_warehouse()) == []
        report = bucket.start(job, "embedded")
        assert "@x" not in json.dumps(report)
    assert {table["status"] for table in report["tables"].values()} == {"up to date"}
    assert_is_what_one_run_gives(bucket, twin)
    # Nothing new: nothing is added. Then the last job alone takes what is new.
    [first] = read_runs(bucket.open_warehouse())
    assert bucket.start("publish_run", "embedded")["run_id"] == first.run_id
    assert read_runs(bucket.open_warehouse()) == [first]
    land_more(bucket)
    bucket.start("publish_run", "embedded")
    assert contents(bucket) == expected(bucket, twin)


@pytest.mark.parametrize("job", IN_ORDER)
def test_each_job_works_alone_on_an_empty_warehouse(bucket: Bucket, rows_of_one_run: dict[str, int], job: str) -> None:
    assert_works_alone(bucket, job, rows_of_one_run)


@needs_java
def test_on_spark_each_job_goes_on_from_the_one_before_and_landing_files_are_taken_once(
    bucket: Bucket, new_lake: Callable[..., Lake], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = Bucket(folder, store, f"s3://{BUCKET}/second", "second")
    for lake in (bucket, second):
        land_first(lake)
    # The first job works alone, and those after it know nothing of each other but the warehouse.
    commands = [bucket.command(job, "spark") for job in IN_ORDER[1:]]
    *reports, taken, again = start_in_turn([*commands, *[second.command("ingest_landing", "spark")] * 2])
    seen: set[str] = set()
    assert len(reports) == len(IN_ORDER[1:])
    for report in reports:
        done = {name for name, table in report["tables"].items() if table["status"] == "refreshed"}
        assert done == set(report["tables"]) - seen
        seen |= done
    assert len(read_runs(bucket.open_warehouse())) == 1
    assert_is_what_one_run_gives(bucket, new_lake("twin"))
    # The second warehouse.
    assert {table["status"] for table in taken["tables"].values()} == {"refreshed"}
    assert {table["status"] for table in again["tables"].values()} == {"up to date"}
    made = second.run_here("publish_run")["tables"]
    assert {name for name, table in made.items() if table["status"] == "up to date"} == set(taken["tables"])
    assert_is_what_one_run_gives(second, new_lake("twin of the second"))
