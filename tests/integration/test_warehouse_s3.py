"""A warehouse in S3 with its tables in Glue (real HTTP services on this machine) is what one in a folder is."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from stedi import cli
from stedi.config import load_settings
from stedi.errors import NoWarehouseError, QueryError, StediError, UsageError, WarehouseBusyError, WarehouseError
from stedi.history import read_runs
from stedi.maintain import maintain
from stedi.own_files import own_uuid
from stedi.warehouse import Warehouse, warehouse_at
from tests.support.compare import Died, commits, contents, done, found_wrong, rule_counts
from tests.support.killing import land_first, land_more, seen
from tests.support.lake import Lake, reading
from tests.support.s3 import BUCKET, PLACE, LakeInS3, Store, Trouble, aws, iceberg, server, store, trouble

__all__ = ["aws", "server", "store", "trouble"]


@pytest.fixture
def lake(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeInS3:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return LakeInS3(tmp_path)


def keys(store: Store) -> list[str]:
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


# What a warehouse does


def test_runs_upkeep_and_proof_in_s3_are_those_of_a_folder(lake: LakeInS3, twin: Lake, store: Store) -> None:
    for land in (land_first, land_more):
        for each in (lake, twin):
            land(each)
        assert done(lake.run()) == done(twin.run())
    assert contents(lake) == contents(twin)
    assert rule_counts(lake) == rule_counts(twin)
    before = keys(store)
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}
    assert keys(store) == before
    first, newest = read_runs(lake.settings.warehouse)
    assert contents(lake, as_of=first.run_id) == contents(twin, as_of=read_runs(twin.settings.warehouse)[0].run_id)
    assert {name: table.merged for name, table in maintain(lake.settings).tables.items()} == {
        name: table.merged for name, table in maintain(twin.settings).tables.items()
    }
    assert contents(lake, as_of=newest.run_id) == contents(twin)
    assert found_wrong(lake) == []
    # No empty objects stand for folders, and the lock is given back.
    assert all(store.client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] for key in keys(store))
    assert not [key for key in keys(store) if key.endswith(".lock")]


def test_a_plan_writes_nothing_and_is_what_the_run_then_does(lake: LakeInS3, store: Store) -> None:
    land_first(lake)
    assert done(lake.run(dry_run=True))["customer_trusted"][:3] == ("refreshed", 2, 2)
    assert keys(store) == []
    lake.run()
    land_more(lake)
    before = keys(store)
    planned = lake.run(dry_run=True)
    assert keys(store) == before
    assert done(planned) == done(lake.run())


def test_other_programs_find_the_tables_by_glue(lake: LakeInS3) -> None:
    land_first(lake)
    lake.run()
    table = iceberg("machine_learning_curated")
    assert table.location() == f"{PLACE}/stedi/machine_learning_curated"
    assert [(table.scan().to_arrow().num_rows,)] == lake.rows("SELECT count(*) FROM machine_learning_curated")
    # What another program does to a table is seen, and brought back to what belongs there.
    iceberg("customer_trusted").delete("person = 'a@x'")
    report = lake.run().tables["customer_trusted"]
    assert (report.added, report.removed, report.reason) == (1, 0, "another writer changed it")
    assert found_wrong(lake) == []


def test_commands_look_at_it_as_at_a_folder(lake: LakeInS3, capsys: Any) -> None:
    land_first(lake)
    lake.run()
    for command, key in (["tables"], "tables"), (["history", "customer_trusted"], "commits"), (["quality"], "rules"):
        assert cli.main(["--json", "--warehouse", PLACE, *command]) == 0
        assert json.loads(capsys.readouterr().out)[key]


def test_a_query_reads_the_tables_and_no_other_object(lake: LakeInS3, store: Store) -> None:
    land_first(lake)
    lake.run()
    store.put("other.csv", b"a\n1\n")
    key = next(key for key in keys(store) if "customer_landing/metadata" in key and key.endswith("data_0.parquet"))
    for place in (f"s3://{BUCKET}/other.csv", f"s3://{BUCKET}/{key}", f"s3://{BUCKET}/lake/house/runs/00000001.json"):
        with pytest.raises(QueryError, match="Permission Error"):
            lake.rows(f"SELECT * FROM '{place}'")
    with pytest.raises(QueryError, match="queries only read"):
        lake.rows(f"COPY (SELECT 1) TO 's3://{BUCKET}/new.csv'")


def test_several_steps_become_one_run_when_the_last_publishes(lake: LakeInS3, twin: Lake) -> None:
    land_first(lake)
    land_first(twin)
    lake.run()
    before = seen(lake)
    land_more(lake)
    for tables in (["customer_trusted"], ["accelerometer_trusted", "device_owner"]):
        lake.run(select=tables, publish=False)
        assert seen(lake) == before
    with pytest.raises(WarehouseError, match="a run began and did not finish"):
        found_wrong(lake)
    twin.run()
    land_more(twin)
    twin.run()
    assert lake.run().tables["accelerometer_trusted"].status == "up to date"
    assert [run.policy for run in read_runs(lake.settings.warehouse)] == ["customer"] * 2
    assert contents(lake) == contents(twin)
    newest = "SELECT table_name, rule, broken_rows FROM rule_result WHERE run_number = 2 ORDER BY ALL"
    assert lake.rows(newest) == twin.rows(newest)
    assert found_wrong(lake) == []


# When it goes wrong


def test_a_run_that_died_between_any_two_commits_is_finished_by_the_next(lake: LakeInS3, twin: Lake) -> None:
    land_first(lake)
    land_first(twin)
    for _ in range(3):
        with commits(die_at=4), pytest.raises(Died):
            lake.run()
        assert isinstance(seen(lake), str)
    lake.run()
    twin.run()
    assert contents(lake) == contents(twin)
    assert found_wrong(lake) == []


def test_services_that_fail_from_any_request_on_are_said_and_the_next_run_makes_good(
    lake: LakeInS3, twin: Lake, trouble: Callable[[Trouble], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    land_first(lake)
    lake.run()
    land_more(lake)
    before, requests_left, said = seen(lake), 0, []

    def fail(path: str) -> str | None:
        nonlocal requests_left
        requests_left -= 1
        return None if requests_left >= 0 else "403 AccessDenied"

    trouble(fail)
    for number in range(1, 400, 41):
        requests_left = number
        try:
            lake.run()
        except WarehouseError as error:
            said.append(str(error))
        else:
            break
        finally:
            requests_left = 100_000
        assert seen(lake) == before
        # What the run could not give back either runs out; nobody waits for that here.
        boto3.Session().client("s3").delete_object(Bucket=BUCKET, Key="lake/house/.lock")
    # A whole run asks more often than was let pass, or not.
    lake.run()
    assert len(said) >= 4
    assert [line for line in said if "\n" in line or "access is denied; grant" not in line] == []
    for land in (land_first, land_more):
        land(twin)
        twin.run()
    assert contents(lake) == contents(twin)
    assert found_wrong(lake) == []


def said_by(lake: Lake) -> str:
    with pytest.raises(StediError) as caught:
        lake.run()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bucket_that_is_not_there_is_said(lake: LakeInS3) -> None:
    lake.settings = lake.settings.model_copy(update={"warehouse": warehouse_at("s3://no-such-bucket/x", "stedi")})
    assert said_by(lake) == (
        "warehouse s3://no-such-bucket/x can't be written: the bucket does not exist; "
        "check its name, and AWS_ENDPOINT_URL if the store is not AWS"
    )


def test_what_glue_refuses_is_said(lake: LakeInS3, trouble: Callable[[Trouble], None], monkeypatch: Any) -> None:
    trouble(lambda path: "400 AccessDeniedException")
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", os.environ["AWS_ENDPOINT_URL_S3"])
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert said_by(lake).startswith(f"warehouse {PLACE} can't be opened: access is denied; grant glue:GetDatabase")


def test_before_the_first_run_there_is_no_warehouse(lake: LakeInS3) -> None:
    for look in (lambda: lake.rows("SELECT 1"), lambda: maintain(lake.settings), lambda: found_wrong(lake)):
        with pytest.raises(NoWarehouseError, match=f"no run has finished in {PLACE}; start one with `stedi run`"):
            look()


def test_without_a_key_for_the_pseudonyms_nothing_is_written(lake: LakeInS3, store: Store) -> None:
    land_first(lake)
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    assert "there is no pseudonym key" in said_by(lake)
    assert "set STEDI_PSEUDONYM_KEY" in said_by(lake)
    assert not [key for key in keys(store) if "stedi" in key or "key" in key]


def test_a_database_of_another_warehouse_is_refused(lake: LakeInS3) -> None:
    land_first(lake)
    lake.run()
    elsewhere = warehouse_at(f"s3://{BUCKET}/elsewhere", "stedi")
    lake.settings = lake.settings.model_copy(update={"warehouse": elsewhere})
    assert f"was made elsewhere, at {PLACE}" in said_by(lake)
    lake.settings = lake.settings.model_copy(update={"warehouse": warehouse_at(f"s3://{BUCKET}/elsewhere", "another")})
    lake.run()
    assert found_wrong(lake) == []


@pytest.mark.parametrize(
    "place", ["s3://", "s3://b", "s3a://bucket/x", "s3:/bucket/x", "s3://bucket//x", "s3://bucket/a b", "s3://bucket/../x"]
)
def test_what_is_no_place_for_a_warehouse_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match=r"^setting 'warehouse': it is not s3://BUCKET/PREFIX"):
        load_settings(None, {"warehouse": place})


def test_the_database_of_a_warehouse_is_a_setting() -> None:
    found = load_settings(None, {"warehouse": f"{PLACE}/", "database": "lake_2"}).warehouse
    assert (str(found), found.database, found) == (PLACE, "lake_2", warehouse_at(PLACE, "lake_2"))
    with pytest.raises(UsageError, match="setting 'database': "):
        load_settings(None, {"database": "Lake-2"})


# One writer


def _hold(place: str, seconds: float, told: Any) -> None:
    """In a process of its own: hold a warehouse until killed."""
    from stedi.warehouse import lease

    lease.LEASE_SECONDS = seconds
    with warehouse_at(place, "stedi").sole_writer():
        told.set()
        time.sleep(600)


def test_of_two_runs_one_works_and_one_that_was_killed_lets_go_after_its_lease(lake: LakeInS3) -> None:
    land_first(lake)
    processes = multiprocessing.get_context("spawn")
    told = processes.Event()
    holder = processes.Process(target=_hold, args=(PLACE, 3.0, told))
    holder.start()
    assert told.wait(60)
    # Longer than the lease, because it is renewed.
    for _ in range(5):
        assert said_by(lake).startswith(f"another run is working on {PLACE}; wait for it to end, then run again")
        time.sleep(1)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert "one that was killed lets go after 3 seconds" in said_by(lake)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            lake.run()
            break
        except WarehouseBusyError:
            time.sleep(0.5)
    assert found_wrong(lake) == []


def test_who_stood_still_until_another_took_over_commits_nothing_more(lake: LakeInS3, store: Store) -> None:
    land_first(lake)
    stolen = json.dumps({"holder": "another", "seconds": 60}).encode()

    def steal(progress: str) -> None:
        if progress.startswith("device_owner"):
            store.put("lake/house/.lock", stolen)
            clock.setattr(time, "time", lambda: real() + 3600)

    real = time.time
    with pytest.MonkeyPatch.context() as clock, pytest.raises(WarehouseBusyError, match="another run took over"):
        lake.run(progress=steal)
    assert not [key for key in keys(store) if "device_owner/data" in key and "snap" in key]
    # What is another's stays theirs.
    assert store.client.get_object(Bucket=BUCKET, Key="lake/house/.lock")["Body"].read() == stolen
    store.delete("lake/house/.lock")
    lake.run()
    assert found_wrong(lake) == []


def test_no_two_runs_are_published_under_one_number(lake: LakeInS3) -> None:
    warehouse: Warehouse = lake.settings.warehouse
    warehouse.create("runs/00000001.json", b"{}")
    # The same again is an attempt whose answer got lost.
    warehouse.create("runs/00000001.json", b"{}")
    with pytest.raises(FileExistsError):
        warehouse.create("runs/00000001.json", b'{"other": 1}')
    assert warehouse.read("runs/00000001.json") == b"{}"


def test_what_was_done_although_the_answer_got_lost_counts_as_done(
    lake: LakeInS3, trouble: Callable[[Trouble], None]
) -> None:
    land_first(lake)
    lost: set[str] = set()

    def lose(path: str) -> str | None:
        name = path.rpartition("/")[2].partition("?")[0]
        if name not in (".lock", "00000001.json") or name in lost:
            return None
        lost.add(name)
        return "lost"

    trouble(lose)
    lake.run()
    assert lost == {".lock", "00000001.json"}
    assert len(read_runs(lake.settings.warehouse)) == 1
    assert found_wrong(lake) == []


def test_upkeep_leaves_unnamed_objects_for_a_day(lake: LakeInS3, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 1})
    land_first(lake)
    lake.run()
    lake.land("accelerometer/9.json", [reading("a@x", 900)])
    lake.run()
    folder = "lake/house/stedi/accelerometer_trusted/data"
    strays = {f"{folder}/{own_uuid()}.parquet", f"{folder}/another.parquet"}
    for key in strays:
        store.put(key, b"whatever")
    maintain(lake.settings)
    assert strays <= set(keys(store))
    before, real = len(keys(store)), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
    maintain(lake.settings)
    assert not strays & set(keys(store))
    # What the forgotten run alone named is gone as well.
    assert len(keys(store)) < before - len(strays)
    assert found_wrong(lake) == []
