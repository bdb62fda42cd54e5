"""A warehouse in S3 with its tables in Glue (real HTTP services on this machine) is what one in a folder is."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi import cli
from stedi.catalog.history_rewrite import rewrite_history
from stedi.catalog.run_log import read_runs
from stedi.config import load_settings
from stedi.errors import (
    CommitConflictError,
    NoWarehouseError,
    QueryError,
    StediError,
    UsageError,
    WarehouseBusyError,
    WarehouseError,
)
from stedi.ingest.suppression import ErasedPerson, open_suppression
from stedi.maintenance.maintain import maintain
from stedi.maintenance.orphan_files import orphan_files
from stedi.model.progress import Progress
from stedi.privacy.rotation.rotate import rotate
from stedi.storage import Warehouse, open_warehouse
from stedi.storage.s3_lock import Lease
from tests.support.compare import Died, commits, contents, done, found_wrong, rule_counts
from tests.support.histories import TABLE, table_history, with_rows, without
from tests.support.holding import hold_write_lock
from tests.support.killing import PROCESSES, ChosenSteps, land_first, land_more, visible_rows
from tests.support.lake import Lake
from tests.support.s3 import BUCKET, PLACE, LakeInS3, Store, Trouble, aws, iceberg, server, store, trouble
from tests.support.s3_lakes import FirstRun, InFolder, empty, first_run, in_folder, keys, lake

__all__ = ["aws", "empty", "first_run", "in_folder", "lake", "server", "store", "trouble"]


# What a warehouse does


def test_runs_maintenance_and_verification_in_s3_are_those_of_a_folder(
    first_run: FirstRun, lake: LakeInS3, in_folder: InFolder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_more(lake)
    assert [done(report) for report in (first_run.report, lake.run())] == [done(report) for report in in_folder.reports]
    assert contents(lake) == in_folder.contents[1]
    assert rule_counts(lake) == rule_counts(in_folder.lake)
    before = keys(store)
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}
    assert keys(store) == before
    first, newest = read_runs(lake.open_warehouse())
    assert contents(lake, as_of=first.run_id) == in_folder.contents[0]
    assert {name: table.merged for name, table in maintain(lake.settings).tables.items()} == {
        name: table.merged for name, table in maintain(in_folder.lake.settings).tables.items()
    }
    assert contents(lake, as_of=newest.run_id) == in_folder.contents[1]
    before = keys(store)
    with monkeypatch.context() as patch:
        # An auditor may not put an object, a lease neither.
        patch.setattr(Lease, "_put_if", None)
        assert found_wrong(lake) == []
    assert keys(store) == before
    # No empty objects stand for folders, and the lock is given back.
    assert all(store.client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] for key in keys(store))
    assert not [key for key in keys(store) if key.endswith(".lock")]


def test_the_plan_of_a_first_run_writes_nothing_and_is_what_the_run_then_does(
    first_run: FirstRun, empty: LakeInS3, store: Store
) -> None:
    empty.link_landing_files(first_run.lake)
    assert done(empty.run(dry_run=True)) == done(first_run.report)
    assert keys(store) == []


def test_the_plan_of_a_second_run_writes_nothing_and_is_what_the_run_then_does(
    lake: LakeInS3, in_folder: InFolder, store: Store
) -> None:
    land_more(lake)
    before = keys(store)
    assert done(lake.run(dry_run=True)) == done(in_folder.reports[1])
    assert keys(store) == before


def test_other_programs_find_the_tables_by_glue(lake: LakeInS3) -> None:
    table = iceberg("machine_learning_curated")
    assert table.location() == f"{PLACE}/stedi/machine_learning_curated"
    assert [(table.scan().to_arrow().num_rows,)] == lake.rows("SELECT count(*) FROM machine_learning_curated")
    # What another program does to a table is seen, and brought back to what belongs there.
    iceberg("customer_trusted").delete("person = 'a@x'")
    report = lake.run().tables["customer_trusted"]
    assert (report.added, report.removed, report.reason) == (1, 0, "another writer changed it")
    assert found_wrong(lake) == []


def test_commands_look_at_it_as_at_a_folder(lake: LakeInS3, capsys: Any) -> None:
    for command, key in (["tables"], "tables"), (["history", "customer_trusted"], "commits"), (["quality"], "rules"):
        assert cli.main(["--json", "--warehouse", PLACE, *command]) == 0
        assert json.loads(capsys.readouterr().out)[key]


def test_a_query_reads_the_tables_and_no_other_object(lake: LakeInS3, store: Store) -> None:
    store.put("other.csv", b"a\n1\n")
    key = next(key for key in keys(store) if "customer_landing/metadata" in key and key.endswith("data_0.parquet"))
    for place in (f"s3://{BUCKET}/other.csv", f"s3://{BUCKET}/{key}", f"s3://{BUCKET}/lake/house/runs/00000001.json"):
        with pytest.raises(QueryError, match="Permission Error"):
            lake.rows(f"SELECT * FROM '{place}'")
    with pytest.raises(QueryError, match="queries only read"):
        lake.rows(f"COPY (SELECT 1) TO 's3://{BUCKET}/new.csv'")


# When it goes wrong


def test_a_run_that_died_between_any_two_commits_is_finished_by_the_next(
    empty: LakeInS3, in_folder: InFolder, steps: ChosenSteps
) -> None:
    land_first(empty)
    # Of all twelve commits, each attempt makes some, and dies before the next.
    for die_at in [2] * 11 if steps.are_all else steps.among(range(2, 7), 2):
        with commits(die_at=die_at), pytest.raises(Died):
            empty.run()
        assert isinstance(visible_rows(empty), str)
    empty.run()
    assert contents(empty) == in_folder.contents[0]
    assert found_wrong(empty) == []


def test_services_that_fail_from_any_request_on_are_said_and_the_next_run_makes_good(
    lake: LakeInS3,
    in_folder: InFolder,
    trouble: Callable[[Trouble], None],
    monkeypatch: pytest.MonkeyPatch,
    steps: ChosenSteps,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    land_more(lake)
    before, requests_left, said = visible_rows(lake), 0, []

    def fail(path: str) -> str | None:
        nonlocal requests_left
        requests_left -= 1
        return None if requests_left >= 0 else "403 AccessDenied"

    trouble(fail)
    # What a failed run committed, the next does not do again: it may go through before the last number.
    for number in steps.among(range(1, 400, 5), 2):
        requests_left = number
        try:
            lake.run()
        except WarehouseError as error:
            said.append(str(error))
        else:
            break
        finally:
            requests_left = 100_000
        assert visible_rows(lake) == before
        # What the run could not give back either runs out; nobody waits for that here.
        boto3.Session().client("s3").delete_object(Bucket=BUCKET, Key="lake/house/.lock")
    lake.run()
    assert len(said) >= (4 if steps.are_all else 1)
    assert [line for line in said if "\n" in line or "access is denied; grant" not in line] == []
    assert contents(lake) == in_folder.contents[1]
    assert found_wrong(lake) == []


def said_by(lake: Lake) -> str:
    with pytest.raises(StediError) as caught:
        lake.run()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bucket_that_is_not_there_is_said(empty: LakeInS3) -> None:
    empty.settings = empty.settings.model_copy(update={"warehouse": "s3://no-such-bucket/x"})
    assert said_by(empty) == (
        "warehouse s3://no-such-bucket/x can't be written: the bucket does not exist; "
        "check its name, and AWS_ENDPOINT_URL if the store is not AWS"
    )


def test_what_glue_refuses_is_said(empty: LakeInS3, trouble: Callable[[Trouble], None], monkeypatch: Any) -> None:
    trouble(lambda path: "400 AccessDeniedException")
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", os.environ["AWS_ENDPOINT_URL_S3"])
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert said_by(empty).startswith(f"warehouse {PLACE} can't be opened: access is denied; grant glue:GetDatabase")


def test_before_the_first_run_there_is_no_warehouse(empty: LakeInS3) -> None:
    for look in (lambda: empty.rows("SELECT 1"), lambda: maintain(empty.settings), lambda: found_wrong(empty)):
        with pytest.raises(NoWarehouseError, match=f"no run has finished in {PLACE}; start one with `stedi run`"):
            look()


def test_without_a_key_for_the_pseudonyms_nothing_is_written(empty: LakeInS3, store: Store) -> None:
    land_first(empty)
    empty.settings = empty.settings.model_copy(update={"pseudonym_key": None})
    assert "there is no pseudonym key" in said_by(empty)
    assert "set STEDI_PSEUDONYM_KEY" in said_by(empty)
    assert not [key for key in keys(store) if "stedi" in key or "key" in key]


def test_a_database_of_another_warehouse_is_refused(lake: LakeInS3) -> None:
    elsewhere = f"s3://{BUCKET}/elsewhere"
    lake.settings = lake.settings.model_copy(update={"warehouse": elsewhere})
    assert f"was created at {PLACE}" in said_by(lake)
    lake.settings = lake.settings.model_copy(update={"warehouse": elsewhere, "database": "another"})
    lake.run(select=["customer_landing"])
    assert lake.rows("SELECT count(*) FROM customer_landing") == [(3,)]


@pytest.mark.parametrize(
    "place", ["s3://", "s3://b", "s3a://bucket/x", "s3:/bucket/x", "s3://bucket//x", "s3://bucket/a b", "s3://bucket/../x"]
)
def test_what_is_no_place_for_a_warehouse_is_refused(place: str) -> None:
    with pytest.raises(
        UsageError, match=r"^setting 'warehouse': (it is not|write an S3 prefix with two slashes:) s3://BUCKET/PREFIX"
    ):
        load_settings(None, {"warehouse": place})


def test_the_database_of_a_warehouse_is_a_setting() -> None:
    settings = load_settings(None, {"warehouse": f"{PLACE}/", "database": "lake_2"})
    assert (settings.warehouse, settings.database) == (PLACE, "lake_2")
    warehouse = open_warehouse(settings.warehouse, settings.database)
    assert (str(warehouse), warehouse.database) == (PLACE, "lake_2")
    with pytest.raises(UsageError, match="setting 'database': "):
        load_settings(None, {"database": "Lake-2"})


# One writer


def test_of_two_runs_one_works_and_one_that_was_killed_lets_go_after_its_lease(lake: LakeInS3) -> None:
    told = PROCESSES.Event()
    holder = PROCESSES.Process(target=hold_write_lock, args=(PLACE, 3.0, dict(os.environ), told))
    holder.start()
    assert told.wait(60)
    # Longer than the lease, because it is renewed.
    with pytest.raises(WarehouseBusyError, match="another run is working"):
        found_wrong(lake)
    for _ in range(5):
        assert said_by(lake).startswith(f"another run is working on {PLACE}; wait for it to end, then run again")
        time.sleep(1)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert "the lock of a killed run expires after 3 seconds" in said_by(lake)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            lake.run()
            break
        except WarehouseBusyError:
            time.sleep(0.5)
    assert found_wrong(lake) == []


def test_who_stood_still_until_another_took_over_commits_nothing_more(empty: LakeInS3, store: Store) -> None:
    land_first(empty)
    stolen = json.dumps({"holder": "another", "seconds": 60}).encode()

    def steal(progress: Progress) -> None:
        if progress.step == "refreshing device_owner":
            store.put("lake/house/.lock", stolen)
            clock.setattr(time, "time", lambda: real() + 3600)

    real = time.time
    with pytest.MonkeyPatch.context() as clock, pytest.raises(WarehouseBusyError, match="another run took over"):
        empty.run(progress=steal)
    assert not [key for key in keys(store) if "device_owner/data" in key and "snap" in key]
    # What is another's stays theirs.
    assert store.client.get_object(Bucket=BUCKET, Key="lake/house/.lock")["Body"].read() == stolen
    store.delete("lake/house/.lock")
    empty.run()
    assert found_wrong(empty) == []


def test_no_two_runs_are_published_under_one_number(empty: LakeInS3) -> None:
    warehouse: Warehouse = empty.open_warehouse()
    warehouse.create("runs/00000001.json", b"{}")
    # The same again is an attempt whose answer got lost.
    warehouse.create("runs/00000001.json", b"{}")
    with pytest.raises(FileExistsError):
        warehouse.create("runs/00000001.json", b'{"other": 1}')
    assert warehouse.read("runs/00000001.json") == b"{}"


def test_what_was_done_although_the_answer_got_lost_counts_as_done(
    lake: LakeInS3, trouble: Callable[[Trouble], None]
) -> None:
    lake.land("step_trainer/2.json", [{"serialNumber": "s1"}])
    lost: set[str] = set()

    def lose(path: str) -> str | None:
        name = path.rpartition("/")[2].partition("?")[0]
        if name not in (".lock", "00000002.json") or name in lost:
            return None
        lost.add(name)
        return "lost"

    trouble(lose)
    lake.run()
    assert lost == {".lock", "00000002.json"}
    assert len(read_runs(lake.open_warehouse())) == 2
    assert found_wrong(lake) == []


def test_a_rewritten_history_in_glue_loses_the_person_and_no_commit(lake: LakeInS3, store: Store) -> None:
    with table_history(lake) as history:
        before = history.rows()
        replacements = history.replacements("a@x")
        with iceberg(TABLE.name).transaction() as another:
            another.set_properties(owner="another")
        with pytest.raises(CommitConflictError, match="changed by another writer"):
            rewrite_history(history.catalog, TABLE.name, replacements, lambda s, rows: with_rows(s.metadata, rows))
        assert history.rows() == before
        assert history.erase("a@x").snapshots == len(before) == 1
        after = {snapshot: without(rows, "a@x") for snapshot, rows in before.items()}
        assert history.rows() == after != before
        assert orphan_files(history.catalog, TABLE.name) == []
    table = iceberg(TABLE.name)
    assert table.properties["owner"] == "another"
    assert set(table.scan().to_arrow()["person"].to_pylist()) == {"b@x"}
    glue = boto3.client("glue").get_table(DatabaseName="stedi", Name=TABLE.name)["Table"]
    assert "previous_metadata_location" not in glue["Parameters"]
    assert glue["StorageDescriptor"]["Location"] == table.location()
    assert {column["Name"] for column in glue["StorageDescriptor"]["Columns"]} == set(TABLE.column_names)


# What is beside a warehouse


def test_the_suppression_list_in_s3_needs_a_configured_secret(empty: LakeInS3, store: Store) -> None:
    settings = empty.settings
    with pytest.raises(WarehouseError, match="can't store a key secretly; set STEDI_PRIVACY__SUPPRESSION_KEY"):
        open_suppression(settings).add([ErasedPerson("ann@x.org")], erased_at_ms=1, erasure_id="first")
    assert keys(store) == []
    secret = {"privacy": {"suppression_key": "a secret for tests"}}
    suppression = open_suppression(type(settings).model_validate(settings.model_dump() | secret))
    first = suppression.add([ErasedPerson("ann@x.org")], erased_at_ms=1, erasure_id="first")
    assert suppression.lift("ANN@x.org", at_ms=2).find("ann@x.org")[0].lifted_at_ms == 2
    assert first.generation == 1
    # Without the secret nobody would be recognised.
    with pytest.raises(
        WarehouseError, match=r"the key of the suppression list s3://.*-privacy/suppression/list.json is missing"
    ):
        empty.run()


def test_new_pseudonyms_leave_no_old_version_of_an_object(lake: LakeInS3, store: Store) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old = lake.rows("SELECT customer_pseudonym FROM customers_curated")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    privacy = {"suppression_key": "a suppression key for tests", "signing_key": pem.decode()}
    settings = lake.settings.model_validate({**lake.settings.model_dump(), "privacy": privacy})
    secret = "another secret for tests, long enough"
    done = rotate(settings, secret)
    lake.settings = settings.model_validate({**settings.model_dump(), "pseudonym_key": secret})
    new = lake.rows("SELECT customer_pseudonym FROM customers_curated")
    assert (done.found, done.doubts) == ((), ())
    assert len(new) == len(old) > 0
    assert set(new).isdisjoint(old)
    assert found_wrong(lake) == []
    for name in ("customers_curated", "machine_learning_curated"):
        listed = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{PLACE.removeprefix(f's3://{BUCKET}/')}/stedi/{name}/")
        assert all(version["IsLatest"] for version in listed["Versions"])
        assert "DeleteMarkers" not in listed
