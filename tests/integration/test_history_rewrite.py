"""After the rewrite of a table's history every snapshot has its old rows, without those of the erased people."""

import json
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyiceberg.manifest import ManifestEntryStatus
from pyroaring import BitMap

from stedi.catalog import Catalog
from stedi.catalog.history_rewrite import HistoryRewrite, rewrite_history
from stedi.catalog.iceberg import IcebergTables
from stedi.catalog.local_files import LocalFileIO
from stedi.catalog.run_log import read_runs
from stedi.catalog.schema import PROPERTIES
from stedi.compute.surviving_rows import surviving_rows
from stedi.errors import CommitConflictError, WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.maintenance.orphan_files import delete_everything_unreferenced, expire_snapshots, orphan_files
from stedi.model.table import MILLISECONDS_A_DAY
from tests.support.compare import Died, as_another, contents, found_wrong, opened
from tests.support.histories import TABLE, TableHistory, files_with, table_history, with_rows, without
from tests.support.lake import T0, Lake, customer, reading
from tests.support.other_writers import append_to_branch, delete_as_athena_does, delete_by_equality

LATER = 3 * MILLISECONDS_A_DAY
UNCHANGED = ("snapshot-log", "refs", "schemas", "partition-specs", "sort-orders", "properties", "last-sequence-number")


@pytest.fixture
def history(lake: Lake) -> Iterator[TableHistory]:
    with table_history(lake) as made:
        yield made


def document(history: TableHistory) -> dict[str, Any]:
    metadata = history.catalog.table_metadata(TABLE.name)
    assert metadata is not None
    found: dict[str, Any] = json.loads(metadata.text)
    return found


def assert_as_expected(history: TableHistory) -> None:
    assert history.rows() == history.expected
    assert history.rows_by_pyiceberg() == history.expected


def make_history(history: TableHistory) -> None:
    """Several commits of runs, a tag, a branch with a commit of its own, a compaction."""
    history.append(("ann@x", 1), ("bob@x", 2), ("bob@x", LATER))
    first = next(iter(history.expected))
    history.append(("cleo@x", 3), ("dan@x", LATER))
    history.append(("bob@x", 4))
    history.compact()
    history.remove("cleo@x")
    with opened(history.lake, TABLE.name) as table, table.manage_snapshots() as changes:
        changes.create_tag(first, "audit").create_branch(first, "trial")
    branched = append_to_branch(history.lake, TABLE.name, "trial")
    current = history.current
    history.expected[branched] = history.rows_by_pyiceberg()[branched]
    history.catalog.forget(TABLE.name)
    history.append(("ann@x", 5))
    assert history.current - current == {("ann@x", 5): 1}


@pytest.mark.parametrize("version", ["1", "2"])
def test_every_snapshot_loses_the_person_and_nothing_else(
    history: TableHistory, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROPERTIES, "format-version", version)
    make_history(history)
    assert_as_expected(history)
    before = document(history)
    found = history.erase("bob@x")
    assert found.is_changed
    assert found.expired == {}
    assert found.snapshots == len(history.expected) == 7
    assert_as_expected(history)
    assert files_with(history.lake.warehouse, "bob@x") == []
    after = document(history)
    assert {key: before.get(key) for key in UNCHANGED} == {key: after.get(key) for key in UNCHANGED}
    assert (after["metadata-log"], before["metadata-log"] != []) == ([], True)
    for old, new in zip(before["snapshots"], after["snapshots"], strict=True):
        assert {**old, "manifest-list": "", "summary": {}} == {**new, "manifest-list": "", "summary": {}}
        rows = history.expected[new["snapshot-id"]].total()
        assert int(new["summary"]["total-records"]) == rows
        assert old["summary"].keys() == new["summary"].keys()
    for snapshot in history.catalog.history(TABLE.name):
        assert snapshot.rows == history.expected[snapshot.id].total()
        assert snapshot.version.startswith("version ")


def test_entries_keep_their_sequence_numbers_and_manifests_their_counts(history: TableHistory) -> None:
    make_history(history)
    before = entries(history)
    history.erase("bob@x")
    assert [number for _, number in entries(history)] == [number for people, number in before if people != {"bob@x"}]
    with opened(history.lake, TABLE.name) as table:
        for snapshot in table.snapshots():
            for manifest in snapshot.manifests(table.io):
                live = manifest.fetch_manifest_entry(table.io)
                assert len(live) == (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
                rows = sum(entry.data_file.record_count for entry in live)
                assert rows == (manifest.added_rows_count or 0) + (manifest.existing_rows_count or 0)
                assert (table.io.new_input(manifest.manifest_path).__len__()) == manifest.manifest_length


def entries(history: TableHistory) -> list[tuple[set[str], tuple[object, ...]]]:
    """The live entries of all snapshots: the people in the file, and what must stay of the entry."""
    found: list[tuple[set[str], tuple[object, ...]]] = []
    with opened(history.lake, TABLE.name) as table:
        for snapshot in table.snapshots():
            for manifest in snapshot.manifests(table.io):
                for entry in manifest.fetch_manifest_entry(table.io):
                    rows = pq.read_table(entry.data_file.file_path.removeprefix("file://"))
                    numbers = (entry.status, entry.snapshot_id, entry.sequence_number, entry.file_sequence_number)
                    found.append((set(rows["person"].to_pylist()), (snapshot.snapshot_id, *numbers)))
    return found


def test_snapshots_that_share_a_file_with_different_deletes_each_keep_their_rows(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("ann@x", 2), ("bob@x", 3))
    history.append(("cleo@x", LATER))
    for time in (1, 2):
        before = history.current
        assert delete_as_athena_does(history.lake, TABLE.name, f"timeStamp = {T0 + time}") == 1
        history.by_another(before - type(before)([("ann@x", time)]))
    history.append(("ann@x", 4))
    history.compact()
    history.append(("ann@x", 6))
    assert_as_expected(history)
    assert_removed_files_were_there(history)
    assert {len(file.file.position_deletes) for file in history.files()} == {0, 1, 2}
    found = history.erase("bob@x")
    assert (found.snapshots, found.files_replaced, found.delete_files_removed, found.expired) == (7, 2, 2, {})
    assert_as_expected(history)
    assert not any(file.file.has_deletes for file in history.files())
    assert files_with(history.lake.warehouse, "bob@x") == []
    for snapshot in document(history)["snapshots"]:
        assert snapshot["summary"]["total-records"] == str(history.expected[snapshot["snapshot-id"]].total())
        assert snapshot["summary"]["total-position-deletes"] == "0"
    assert_removed_files_were_there(history)
    # Deletes by another writer work as before.
    before = history.current
    delete_as_athena_does(history.lake, TABLE.name, f"timeStamp = {T0 + 4}")
    history.by_another(before - type(before)([("ann@x", 4)]))
    assert_as_expected(history)


def assert_removed_files_were_there(history: TableHistory) -> None:
    """Every entry of a removed file is about a data file of the parent snapshot, as changelogs need."""
    live: dict[int, set[str]] = {}
    removed: list[tuple[int, str]] = []
    with opened(history.lake, TABLE.name) as table:
        for snapshot in table.snapshots():
            live[snapshot.snapshot_id] = set()
            for manifest in snapshot.manifests(table.io):
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                    if entry.status is not ManifestEntryStatus.DELETED:
                        live[snapshot.snapshot_id].add(entry.data_file.file_path)
                    elif entry.snapshot_id == snapshot.snapshot_id and snapshot.parent_snapshot_id is not None:
                        removed.append((snapshot.parent_snapshot_id, entry.data_file.file_path))
    assert removed
    assert all(path in live[parent] for parent, path in removed)


def test_a_delete_file_that_contains_the_person_goes_and_its_deletes_stay(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("bob@x", 2))
    history.append(("ann@x", LATER), ("bob@x", LATER))
    history.upsert_by_another("bob@x", 3)
    assert files_with(history.lake.warehouse, "bob@x") != []
    with pytest.raises(WarehouseError, match="equality"):
        history.rows()
    # Without a person: the files with deletes are replaced, and nobody disappears.
    assert history.erase().delete_files_removed == 1
    assert_as_expected(history)
    assert history.current[("bob@x", 3)] == 1
    history.erase("bob@x")
    assert_as_expected(history)
    assert files_with(history.lake.warehouse, "bob@x") == []


def test_a_snapshot_is_expired_if_its_deletes_can_not_be_applied_but_never_the_current_one(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("bob@x", 2))
    history.append(("cleo@x", 3))
    before = history.current
    delete_as_athena_does(history.lake, TABLE.name, f"timeStamp = {T0 + 1} OR timeStamp = {T0 + 3}")
    history.by_another(before - type(before)([("ann@x", 1), ("cleo@x", 3)]))
    [*_, deleting] = history.expected
    with opened(history.lake, TABLE.name) as table, table.manage_snapshots() as changes:
        changes.create_tag(deleting, "audit")
    history.catalog.forget(TABLE.name)
    incomplete = {f: new for f, new in history.replacements("bob@x").items() if not f.has_deletes}
    with pytest.raises(WarehouseError, match="current snapshot deletes of another writer apply to 2 data files"):
        rewrite(history, incomplete)
    assert_as_expected(history)
    history.compact()
    incomplete = {f: new for f, new in history.replacements("bob@x").items() if not f.has_deletes}
    found = rewrite(history, incomplete)
    assert list(found.expired) == [deleting]
    assert found.expired[deleting] == "deletes of another writer apply to 2 data files that were not replaced"
    history.expected = {
        snapshot: without(rows, "bob@x") for snapshot, rows in history.expected.items() if snapshot != deleting
    }
    assert_as_expected(history)
    after = document(history)
    assert [entry["snapshot-id"] for entry in after["snapshot-log"]] == [list(history.expected)[-1]]
    assert list(after["refs"]) == ["main"]
    delete_everything_unreferenced(history.catalog, TABLE.name)
    assert files_with(history.lake.warehouse, "bob@x") == []


def rewrite(history: TableHistory, replacements: Any) -> HistoryRewrite:
    return rewrite_history(
        history.catalog, TABLE.name, replacements, lambda snapshot, rows: with_rows(snapshot.metadata, rows)
    )


def test_a_second_rewrite_changes_nothing(history: TableHistory) -> None:
    make_history(history)
    replacements = history.replacements("bob@x")
    assert rewrite(history, replacements).is_changed
    before = document(history)
    assert rewrite(history, replacements) == HistoryRewrite()
    assert history.erase("bob@x") == HistoryRewrite()
    assert history.erase("nobody@x") == HistoryRewrite()
    assert document(history) == before


def test_entries_of_files_that_no_snapshot_contains_go_with_their_bounds(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("bob@x", 2))
    [first] = history.expected
    history.remove("bob@x")
    expire_snapshots(history.catalog, TABLE.name, set())
    del history.expected[first]
    assert history.replacements("bob@x") == {}
    delete_everything_unreferenced(history.catalog, TABLE.name)
    assert [name.rpartition("-")[2] for name in files_with(history.lake.warehouse, "bob@x")] == ["m1.avro"]
    assert history.erase("bob@x").is_changed
    assert files_with(history.lake.warehouse, "bob@x") == []
    assert_as_expected(history)


def test_a_commit_of_another_writer_in_between_is_not_lost(history: TableHistory) -> None:
    make_history(history)
    replacements = history.replacements("bob@x")
    before = history.current
    delete_as_athena_does(history.lake, TABLE.name, f"timeStamp = {T0 + 5}")
    with pytest.raises(CommitConflictError, match="accelerometer_trusted was changed by another writer"):
        rewrite(history, replacements)
    history.by_another(before - type(before)([("ann@x", 5)]))
    assert_as_expected(history)
    history.erase("bob@x")
    assert_as_expected(history)
    assert files_with(history.lake.warehouse, "bob@x") == []


def test_a_killed_rewrite_changes_nothing_until_the_swap_and_is_finished_by_the_next(
    history: TableHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(history)
    replacements = history.replacements("bob@x")
    real, left = LocalFileIO.new_output, 0

    def new_output(self: LocalFileIO, location: str) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return real(self, location)

    monkeypatch.setattr(LocalFileIO, "new_output", new_output)
    for files in range(3, 100, 7):
        left = files
        try:
            rewrite(history, replacements)
        except Died:
            history.catalog.forget(TABLE.name)
            assert_as_expected(history)
        else:
            break
    left = 1000
    assert files > 10
    history.erase("bob@x")
    history.expected = {snapshot: without(rows, "bob@x") for snapshot, rows in history.expected.items()}
    assert_as_expected(history)
    assert files_with(history.lake.warehouse, "bob@x") == []
    assert orphan_files(history.catalog, TABLE.name) == []


def test_a_rewrite_that_died_after_the_swap_leaves_orphan_files_only(
    history: TableHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(history)
    real = IcebergTables.replace_metadata

    def replace_metadata(*arguments: Any) -> None:
        real(*arguments)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(IcebergTables, "replace_metadata", replace_metadata)
        with pytest.raises(Died):
            history.erase("bob@x")
    history.erase("bob@x")
    history.expected = {snapshot: without(rows, "bob@x") for snapshot, rows in history.expected.items()}
    assert_as_expected(history)
    assert files_with(history.lake.warehouse, "bob@x") == []


def test_statistics_and_summaries_of_partitions_go(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("bob@x", 2))
    folder = history.lake.warehouse.resolve() / "stedi" / TABLE.name / "metadata"
    for name in ("x.stats", "y.stats"):
        (folder / name).write_bytes(b"bob@x")
    metadata = document(history)
    snapshot_id = metadata["current-snapshot-id"]
    file = {"snapshot-id": snapshot_id, "statistics-path": f"file://{folder}/x.stats", "file-size-in-bytes": 5}
    metadata["statistics"] = [file | {"file-footer-size-in-bytes": 1, "blob-metadata": []}]
    metadata["partition-statistics"] = [file | {"statistics-path": f"file://{folder}/y.stats"}]
    metadata["snapshots"][0]["summary"]["partitions.person=bob@x"] = "added-records=1"
    current = history.catalog.table_metadata(TABLE.name)
    assert current is not None
    history.catalog.iceberg.replace_metadata(TABLE.name, current, json.dumps(metadata))
    history.catalog.forget(TABLE.name)
    orphans = [Path(file.name).suffix for file in orphan_files(history.catalog, TABLE.name)]
    assert orphans
    assert ".stats" not in orphans
    history.erase("bob@x")
    assert files_with(history.lake.warehouse, "bob@x") == []
    assert_as_expected(history)


def test_commit_metadata_is_written_anew_although_no_data_file_is(history: TableHistory) -> None:
    history.append(("ann@x", 1))
    rewrite_history(
        history.catalog, TABLE.name, {}, lambda snapshot, rows: replace(with_rows(snapshot.metadata, rows), ledger="new")
    )
    assert [snapshot.metadata.ledger for snapshot in history.catalog.history(TABLE.name) if snapshot.metadata] == ["new"]
    assert_as_expected(history)


def test_every_orphan_file_goes_at_once(history: TableHistory) -> None:
    history.append(("ann@x", 1))
    folder = history.lake.warehouse.resolve() / "stedi" / TABLE.name
    orphans = [folder / "data" / "part-0.parquet", folder / "metadata" / ".ledger-1.json", folder / "notes" / "x.txt"]
    orphans += [folder / "left.csv", folder / "data" / "day_ms=7" / ".x.crc"]
    for path in orphans:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"bob@x")
    orphan_metadata = len(orphan_files(history.catalog, TABLE.name)) - len(orphans)
    deleted = delete_everything_unreferenced(history.catalog, TABLE.name)
    assert deleted.files == len(orphans) + orphan_metadata
    assert deleted.bytes >= 5 * len(orphans)
    assert not any(path.exists() for path in orphans)
    assert not (folder / "notes").exists()
    assert_as_expected(history)
    assert delete_everything_unreferenced(history.catalog, TABLE.name).files == 0


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_vacuumed_catalog_has_no_freed_pages(history: TableHistory, journal: str) -> None:
    history.append(("ann@x", 1))
    database = history.lake.warehouse / "catalog.db"
    with sqlite3.connect(database) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE notes (text)")
        connection.executemany("INSERT INTO notes VALUES (?)", [("bob@x" * 500,)] * 20)
        connection.execute("DELETE FROM notes")
    connection.close()
    assert b"bob@x" in database.read_bytes()
    history.catalog.vacuum()
    assert files_with(history.lake.warehouse, "bob@x") == []
    assert_as_expected(history)


def test_a_reader_of_replaced_files_gets_an_error_and_reads_again(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("bob@x", 2))
    with Catalog(history.lake.open_warehouse()) as reader:
        planned = reader.files(TABLE.name)
        history.erase("bob@x")
        with pytest.raises(WarehouseError, match="No files found"):
            history.backend.select(history.backend.scan(TABLE, planned))
    with Catalog(history.lake.open_warehouse()) as reader:
        rows = history.backend.select(history.backend.scan(TABLE, reader.files(TABLE.name)))
    assert [row["person"] for row in rows] == ["ann@x"]


def test_deletion_vectors_become_position_deletes(history: TableHistory) -> None:
    history.append(("ann@x", 1), ("ann@x", 2), ("bob@x", 3))
    [file] = history.files()
    folder = history.lake.warehouse.resolve() / "stedi" / TABLE.name / "data"
    puffin, parquet = folder / "deletes.puffin", folder / "deletes.parquet"
    # The vector of another data file in the same Puffin file does not count.
    puffin.write_bytes(puffin_file({f"file://{file.file.path}": [0, 2], "file:///other.parquet": [1]}))
    pq.write_table(pa.table({"file_path": [file.file.path], "pos": [1]}), parquet)
    deleted = replace(file, file=replace(file.file, position_deletes=(str(puffin),)))
    rows = history.backend.select(surviving_rows(history.backend, history.catalog, TABLE, deleted))
    assert [row["timeStamp"] - T0 for row in rows] == [2]
    both = replace(file, file=replace(file.file, position_deletes=(str(parquet), str(puffin))))
    assert history.backend.select(surviving_rows(history.backend, history.catalog, TABLE, both)) == []
    puffin.write_bytes(b"PFA1 and nonsense")
    with pytest.raises(WarehouseError, match="deletion vector of accelerometer_trusted can't be parsed"):
        surviving_rows(history.backend, history.catalog, TABLE, deleted)
    assert (
        len(orphan_files(history.catalog, TABLE.name)) == delete_everything_unreferenced(history.catalog, TABLE.name).files
    )


def puffin_file(positions: dict[str, list[int]]) -> bytes:
    """Return a Puffin file with a deletion vector for each data file."""
    content, blobs = b"PFA1", []
    for path, deleted in positions.items():
        vector = b"\xd1\xd3\x39\x64" + struct.pack("<QI", 1, 0) + BitMap(deleted).serialize()
        blob = struct.pack(">I", len(vector)) + vector + b"a CRC"[:4]
        blobs.append(
            {
                "type": "deletion-vector-v1",
                "fields": [2147483646],
                "snapshot-id": -1,
                "sequence-number": -1,
                "offset": len(content),
                "length": len(blob),
                "properties": {"referenced-data-file": path, "cardinality": str(len(deleted))},
            }
        )
        content += blob
    footer = json.dumps({"blobs": blobs}).encode()
    return content + b"PFA1" + footer + struct.pack("<iI", len(footer), 0) + b"PFA1"


def test_runs_and_other_writers_go_on_after_a_rewrite(small_lake: Lake) -> None:
    lake, [first] = small_lake, [run.run_id for run in read_runs(small_lake.open_warehouse())]
    lake.land("customer/2.json", [customer("c@x", 10, shares=10)])
    lake.land("accelerometer/2.json", [reading(p, t) for p in ("a@x", "c@x") for t in range(200, 204)])
    lake.run()
    before, current = contents(lake, as_of=first), contents(lake)
    with table_history(lake) as history:
        found = history.erase("c@x")
        assert (found.snapshots, found.files_replaced) == (1, 1)
    assert contents(lake, as_of=first) == before
    kept = [row for row in current[TABLE.name] if "c@x" not in row]
    assert contents(lake, [TABLE.name])[TABLE.name] == kept != current[TABLE.name]
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}
    # The next run restores the table from the landing tables, which still contain the person.
    as_another(lake, TABLE.name, lambda rows: rows.slice(1))
    assert lake.run().tables[TABLE.name].reason == "another writer changed it"
    assert contents(lake) == current
    maintain(lake.settings)
    assert contents(lake, as_of=first) == before
    assert found_wrong(lake) == []


PEOPLE = st.sampled_from(["ann@x", "bob@x", "cleo@x", "a-long-address-of-somebody@example.com"])
ROWS = st.tuples(PEOPLE, st.sampled_from([1, 2, LATER]))
STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(ROWS, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["remove", "equality"]), PEOPLE),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("positions"), st.sampled_from([1, 2, LATER])),
    st.tuples(st.just("erase"), st.lists(PEOPLE, min_size=1, max_size=2, unique=True)),
)


def test_random_histories(tmp_path_factory: pytest.TempPathFactory, is_deep: bool) -> None:
    examples = settings(
        max_examples=60 if is_deep else 4,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @examples
    @given(st.lists(STEPS, min_size=3, max_size=8))
    def check(steps: list[tuple[str, Any]]) -> None:
        with table_history(Lake(tmp_path_factory.mktemp("random"))) as history:
            take_steps(history, [("append", [("ann@x", 1), ("bob@x", 2)]), *steps, ("erase", ["bob@x"])])

    check()


def take_steps(history: TableHistory, steps: list[tuple[str, Any]]) -> None:
    erased: set[str] = set()
    has_equality_deletes = False
    for step, value in steps:
        before = history.current
        if has_equality_deletes and step != "erase":
            # STEDI can't commit to such a table.
            assert history.erase().expired == {}
            has_equality_deletes = False
        if step == "append":
            history.append(*value)
            erased -= {person for person, _ in value}
        elif step == "remove":
            history.remove(value)
        elif step == "compact":
            history.compact()
        elif step == "equality":
            delete_by_equality(history.lake, TABLE.name, "person", value)
            history.by_another(without(before, value))
            has_equality_deletes = True
        elif step == "positions":
            delete_as_athena_does(history.lake, TABLE.name, f"timeStamp = {T0 + value}")
            history.by_another(type(before)({row: n for row, n in before.items() if row[1] != value}))
        else:
            assert history.erase(*value).expired == {}
            has_equality_deletes = False
            erased |= set(value)
            assert files_with(history.lake.warehouse, *erased) == []
            assert orphan_files(history.catalog, TABLE.name) == []
            assert_as_expected(history)
