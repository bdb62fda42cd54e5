"""Maintenance merges small files, forgets old runs and removes what nothing names; the rows stay as they are."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stedi.catalog import Catalog
from stedi.catalog.file_statistics import DataFileSize, count_empty_manifests
from stedi.catalog.run_log import read_runs
from stedi.errors import UsageError, WarehouseBusyError, WarehouseError
from stedi.ingest import ledger
from stedi.maintenance.maintain import SMALL_FILE_BYTES, MaintenanceReport, files_to_compact, maintain
from stedi.model.table import MILLISECONDS_A_DAY
from stedi.storage.own_files import own_uuid
from stedi.tables.registry import ALL, BY_NAME
from tests.support.compare import (
    NAMES,
    Died,
    Kept,
    as_another,
    commit_metadata,
    commits,
    contents,
    done,
    found_wrong,
    narrowed,
    opened,
    rule_counts,
    tree,
)
from tests.support.lake import T0, Lake, customer, distance, reading, small
from tests.support.program import stedi

DAYS = (0, MILLISECONDS_A_DAY)
RUNS = 5


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("used")
    return Kept(use(Lake(folder)))


@pytest.fixture
def used(kept: Kept) -> Iterator[Lake]:
    yield kept.lake
    kept.put_back()


def use(lake: Lake) -> Lake:
    """Several small runs; each adds readings of two people on two days, and one broken record."""
    lake.settings = lake.settings.model_copy(update={"maintain_every": 0, "keep_runs": 2})
    people = [customer(f"{name}@x", 10, shares=10, serial=f"serial-{name}") for name in ("zoe", "ann")]
    lake.land("customer/0.json", people)
    lake.land("customer/broken.json", b'{"email": "bob@x"}\n')
    for number in range(RUNS):
        times = [day + 1000 - number * 10 + i for day in DAYS for i in range(4)]
        records = [reading(f"{name}@x", t) for name in ("zoe", "ann") for t in times]
        lake.land(f"accelerometer/{number}.json", [*records, {"user": "nobody"}])
        lake.land(f"step_trainer/{number}.json", [distance(f"serial-{name}", t) for name in ("zoe", "ann") for t in times])
        lake.run()
    return lake


def files(lake: Lake, name: str) -> list[Path]:
    """The data files of the newest snapshot of a table."""
    with Catalog(lake.open_warehouse()) as catalog:
        return [Path(path) for path in catalog.files(name).paths]


def snapshots(lake: Lake, name: str) -> list[int]:
    with opened(lake, name) as table:
        return [snapshot.snapshot_id for snapshot in table.snapshots()]


def on_disk(lake: Lake, name: str, pattern: str = "data/**/*") -> set[Path]:
    folder = lake.warehouse.resolve() / "stedi" / name
    return {path for path in folder.glob(pattern) if path.is_file()}


def named(lake: Lake, name: str) -> Iterator[Path]:
    """The data files that any snapshot of a table needs."""
    with opened(lake, name) as table:
        for snapshot in table.snapshots():
            for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files():
                yield Path(task.file.file_path.removeprefix("file://"))


def test_merging_keeps_every_row_under_the_same_version(used: Lake) -> None:
    rows, counts = contents(used), rule_counts(used)
    versions = {name: recorded.version for name, recorded in commit_metadata(used).items()}
    last = used.run().run_id
    report = maintain(used.settings)
    assert report.tables["accelerometer_trusted"].merged == 2 * RUNS
    assert contents(used) == rows
    assert rule_counts(used) == counts
    assert {name: recorded.version for name, recorded in commit_metadata(used).items()} == versions
    again = used.run()
    assert {table.status for table in again.tables.values()} == {"up to date"}
    assert again.run_id == last
    assert found_wrong(used) == []


def test_after_merging_a_plan_says_up_to_date_and_a_new_file_reaches_only_what_it_changes(used: Lake) -> None:
    maintain(used.settings)
    plan = used.run(dry_run=True)
    assert {table.status for table in plan.tables.values()} == {"up to date"}
    used.land("accelerometer/new.json", [reading("ann@x", 1)])
    with narrowed() as computed:
        report = used.run()
    assert computed["accelerometer_trusted"] == 1
    assert report.tables["accelerometer_trusted"].reason == "accelerometer_landing changed"
    assert found_wrong(used) == []


def test_merging_leaves_one_sorted_file_a_day(used: Lake) -> None:
    before = {name: len(files(used, name)) for name in NAMES}
    report = maintain(used.settings)
    for name in NAMES:
        table, kept = BY_NAME[name], files(used, name)
        done = report.tables[name]
        assert (done.files_before, done.files_after) == (before[name], len(kept))
        assert len(kept) == (len(DAYS) if table.day else 1)
        days = []
        for path in kept:
            rows = pq.read_table(path)
            days += sorted({moment // MILLISECONDS_A_DAY for moment in rows[table.day].to_pylist()}) if table.day else []
            order = [tuple(row[column] for column in table.sort) for row in rows.to_pylist()]
            assert table.zone == "landing" or order == sorted(order)
        assert sorted(days) == ([(T0 + day) // MILLISECONDS_A_DAY for day in DAYS] if table.day else [])


def test_other_readers_find_the_merged_rows(used: Lake) -> None:
    maintain(used.settings)
    with opened(used, "accelerometer_trusted") as table:
        assert table.scan().to_arrow().num_rows == RUNS * len(DAYS) * 8
        assert table.scan(row_filter=f"timeStamp >= {T0 + DAYS[1]}").to_arrow().num_rows == RUNS * 8
        assert {str(task.file.partition) for task in table.scan().plan_files()} == {f"Record[{T0 + day}]" for day in DAYS}


def test_kept_runs_can_be_read_and_forgotten_ones_are_said_to_be_none(used: Lake) -> None:
    used.land("customer/1.json", [customer("zoe@x", 20)])
    before = {"earlier": contents(used)}
    runs = read_runs(used.open_warehouse())
    first, earlier = runs[0].run_id, runs[-1].run_id
    last = used.run().run_id
    before["last"] = contents(used)
    assert before["last"]["customer_trusted"] != before["earlier"]["customer_trusted"]
    for _ in range(2):
        report = maintain(used.settings)
        assert contents(used, as_of=earlier) == before["earlier"]
        assert contents(used, as_of=last) == contents(used) == before["last"]
        with pytest.raises(UsageError, match="neither a finished run nor a time; see `stedi history"):
            contents(used, as_of=first)
        with pytest.raises(UsageError, match="no run had finished by 2020-01-01"):
            contents(used, as_of="2020-01-01")
    assert report.runs_forgotten == 0


def test_what_forgotten_runs_alone_needed_goes_from_the_disk(used: Lake) -> None:
    for name in NAMES:
        assert set(named(used, name)) == on_disk(used, name)
    before = {name: snapshots(used, name) for name in NAMES}
    first = maintain(used.settings)
    assert first.runs_forgotten == RUNS - 2
    assert first.tables["accelerometer_trusted"].snapshots_expired == RUNS - 2
    assert first.tables["accelerometer_trusted"].files_removed > 0
    assert first.tables["accelerometer_trusted"].bytes_removed > 0
    maintain(used.settings)
    for table in (table for table in ALL if not table.on_demand):
        assert set(named(used, table.name)) == on_disk(used, table.name)
        # Two runs, and the merged one.
        assert len(snapshots(used, table.name)) <= 3
        # Besides what the snapshots name, the last ten metadata files stay.
        assert len(on_disk(used, table.name, "metadata/*.metadata.json")) <= 11
    assert not set(before["accelerometer_trusted"][: RUNS - 2]) & set(snapshots(used, "accelerometer_trusted"))


def test_a_person_who_withdrew_is_in_no_file_once_the_runs_before_are_forgotten(used: Lake) -> None:
    used.land("customer/1.json", [customer("zoe@x", 20)])
    used.run()
    used.settings = used.settings.model_copy(update={"keep_runs": 1})
    tables = ("customer_trusted", "accelerometer_trusted", "customers_curated", "step_trainer_trusted")
    assert "zoe@x" in {person for name in tables for person in _people(used, name)}
    for _ in range(2):
        maintain(used.settings)
    for name in tables:
        assert _people(used, name) == {"ann@x"}
        for path in on_disk(used, name, "metadata/*"):
            assert b"zoe@x" not in path.read_bytes()


def _people(lake: Lake, name: str) -> set[str]:
    return {
        person for path in on_disk(lake, name) for person in pq.read_table(path, columns=["person"])["person"].to_pylist()
    }


def test_the_records_of_files_and_rejects_of_kept_runs_stay_and_others_go(used: Lake) -> None:
    before = commit_metadata(used)["accelerometer_landing"]
    maintain(used.settings)
    maintain(used.settings)
    mark = commit_metadata(used)["accelerometer_landing"]
    assert mark.side_files == before.side_files
    assert mark.ledger is not None
    warehouse = used.warehouse
    assert len(ledger.decode((warehouse / mark.ledger).read_bytes())) == RUNS
    assert sum(pq.read_table(warehouse / name).num_rows for name in mark.rejects) == RUNS
    # One record of files for each of the two runs that are kept.
    assert len(on_disk(used, "accelerometer_landing", "metadata/ledger-*")) == 2
    used.run(replay=["accelerometer"])
    assert found_wrong(used) == []


def test_orphan_files_go_at_once_when_they_are_ours_and_after_a_day_when_they_are_not(used: Lake) -> None:
    for _ in range(2):
        maintain(used.settings)
    folder = used.warehouse.resolve() / "stedi" / "accelerometer_trusted"
    ours = [folder / "data" / f"{own_uuid()}.parquet", folder / "metadata" / f"{own_uuid()}-m0.avro"]
    ours.append(folder / "data" / str(own_uuid()) / "data_0.parquet")
    young = [folder / "data" / "part-0.parquet", folder / "metadata" / "another.avro"]
    old = [folder / "data" / "part-1.parquet", folder / "metadata" / "older.metadata.json"]
    for path in (*ours, *young, *old):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"whatever")
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in old:
        os.utime(path, (two_days_ago, two_days_ago))
    report = maintain(used.settings)
    assert report.tables["accelerometer_trusted"].files_removed == len(ours) + len(old)
    assert report.tables["accelerometer_trusted"].bytes_removed == 8 * (len(ours) + len(old))
    assert [path for path in (*ours, *young, *old) if path.exists()] == young
    assert not ours[2].parent.exists()
    assert found_wrong(used) == []


def test_upkeep_twice_in_a_row_finds_nothing_left_to_do(used: Lake) -> None:
    # What the first one merged, readers of that moment may still read; the second removes it.
    maintain(used.settings)
    maintain(used.settings)
    before = tree(used.warehouse)
    report = maintain(used.settings)
    assert _work(report) == {}
    assert tree(used.warehouse) == before


def _work(report: MaintenanceReport) -> dict[str, tuple[int, ...]]:
    found = {n: (t.merged, t.snapshots_expired, t.files_removed, t.bytes_removed) for n, t in report.tables.items()}
    return {name: work for name, work in found.items() if any(work)}


def test_upkeep_of_a_new_warehouse(lake: Lake) -> None:
    with pytest.raises(WarehouseError, match=r"no warehouse at .*; create one with `stedi run`"):
        maintain(lake.settings)
    assert not lake.warehouse.exists()
    with commits(die_at=1), pytest.raises(Died):
        lake.run()
    maintain(lake.settings)
    lake.run()
    report = maintain(lake.settings)
    assert {table.files_after for name, table in report.tables.items() if name != "rule_result"} == {0}
    assert found_wrong(lake) == []


def test_upkeep_waits_for_no_run(used: Lake) -> None:
    with used.open_warehouse().write_lock(), pytest.raises(WarehouseBusyError, match="another run is working"):
        maintain(used.settings)


def test_what_another_writer_did_is_left_for_the_next_run_to_see(used: Lake) -> None:
    before = contents(used)
    as_another(used, "accelerometer_trusted", lambda rows: pa.concat_tables([rows.slice(3), rows.slice(0, 1)]))
    current = snapshots(used, "accelerometer_trusted")[-1]
    report = maintain(used.settings)
    assert report.tables["accelerometer_trusted"].merged == 0
    assert snapshots(used, "accelerometer_trusted")[-1] == current
    # Readers go by the last finished run.
    assert contents(used) == before
    assert used.run().tables["accelerometer_trusted"].reason == "another writer changed it"
    assert contents(used) == before
    assert found_wrong(used) == []


def test_upkeep_that_died_while_it_merged_does_no_harm(used: Lake) -> None:
    before = contents(used)
    for die_at, after in ((1, False), (1, True), (3, True)):
        with commits(die_at=die_at, after=after), pytest.raises(Died):
            maintain(used.settings)
        assert contents(used) == before
    with narrowed() as computed:
        assert {table.status for table in used.run().tables.values()} == {"up to date"}
    assert computed == {}
    maintain(used.settings)
    maintain(used.settings)
    for name in NAMES:
        assert set(named(used, name)) == on_disk(used, name)
    assert contents(used) == before


def test_a_plan_after_upkeep_is_what_the_next_run_does(used: Lake) -> None:
    maintain(used.settings)
    used.land("customer/1.json", [customer("zoe@x", 20)])
    used.land("accelerometer/late.json", [reading("ann@x", 1)])
    plan = used.run(dry_run=True)
    assert done(plan) == done(used.run())


def test_which_files_are_worth_merging() -> None:
    sizes: dict[str, list[tuple[int, bool]]] = {
        "several small ones": [(10, False), (20, False), (SMALL_FILE_BYTES, False)],
        "one small one": [(10, False), (SMALL_FILE_BYTES, False), (SMALL_FILE_BYTES, False)],
        "a large one with deleted rows": [(SMALL_FILE_BYTES, True), (SMALL_FILE_BYTES, False)],
        "large ones": [(SMALL_FILE_BYTES, False), (SMALL_FILE_BYTES + 1, False)],
    }
    files = [
        DataFileSize(f"{day} {number}", day, size, has_deletes)
        for day, group in sizes.items()
        for number, (size, has_deletes) in enumerate(group)
    ]
    found = defaultdict(list)
    for path in files_to_compact(files):
        day, _, number = path.rpartition(" ")
        found[day].append(int(number))
    assert found == {"several small ones": [0, 1], "a large one with deleted rows": [0]}


def test_the_command_prints_what_was_done(used: Lake) -> None:
    folder = used.landing.parent
    done = stedi(folder, "--json", "maintain")
    assert done.returncode == 0
    tables = json.loads(done.stdout)["tables"]
    assert tables["accelerometer_trusted"]["files_after"] == len(DAYS)
    assert "files removed" in stedi(folder, "maintain").stdout
    assert found_wrong(used) == []


def test_a_table_whose_only_file_is_replaced_in_every_run_does_not_gather_manifests(lake: Lake) -> None:
    """All readings lie in one hour, so each run replaces the evidence of that hour."""
    small(lake)
    for number in range(7):
        lake.land(f"step_trainer/more-{number}.json", [distance("s1", 200 + number)])
        lake.run()
    with Catalog(lake.open_warehouse()) as catalog:
        assert count_empty_manifests(catalog, "device_evidence") >= 5
    before = lake.rows("FROM device_evidence")
    maintain(lake.settings)
    with Catalog(lake.open_warehouse()) as catalog:
        assert count_empty_manifests(catalog, "device_evidence") == 0
    assert lake.rows("FROM device_evidence") == before
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}
