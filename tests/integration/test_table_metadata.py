"""Read metadata files and catalogs of other writers and of other versions of PyIceberg."""

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from stedi.catalog import Catalog, CommitMetadata, Snapshot
from stedi.catalog.catalog_reader import SqliteCatalogReader
from stedi.catalog.metadata import TableMetadata
from stedi.catalog.snapshot import METADATA_KEY
from stedi.errors import NoWarehouseError, WarehouseError
from tests.support.compare import as_another
from tests.support.lake import Lake, small

NAME = "accelerometer_trusted"


@pytest.fixture
def lake(lake: Lake) -> Lake:
    small(lake)
    lake.run()
    as_another(lake, NAME, lambda rows: rows.slice(0, 3))
    return lake


def database(lake: Lake) -> Path:
    return lake.warehouse / "catalog.db"


def execute(file: Path, sql: str, *parameters: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


def history(lake: Lake, name: str = NAME) -> list[Snapshot]:
    with Catalog(lake.open_warehouse()) as catalog:
        return list(catalog.history(name))


def test_snapshots_equal_those_of_pyiceberg(lake: Lake) -> None:
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{database(lake)}")
    for _, name in catalog.list_tables("stedi"):
        table = catalog.load_table(("stedi", name))
        snapshots = history(lake, name)
        assert [snapshot.id for snapshot in snapshots] == [entry.snapshot_id for entry in reversed(table.snapshots())]
        for snapshot in snapshots:
            expected = table.snapshot_by_id(snapshot.id)
            assert expected is not None
            assert expected.summary is not None
            properties = expected.summary.additional_properties
            text = properties.get(METADATA_KEY)
            assert snapshot.metadata == (None if text is None else CommitMetadata.decode(text))
            assert snapshot.total_rows == int(properties["total-records"])
            assert snapshot.operation == expected.summary.operation.value
            assert snapshot.parent_id == expected.parent_snapshot_id
            assert round(snapshot.committed_at.timestamp() * 1000) == expected.timestamp_ms
    catalog.close()


def test_a_compressed_metadata_file_is_read(lake: Lake) -> None:
    before = history(lake)
    location = SqliteCatalogReader(database(lake)).metadata_location("stedi", NAME)
    assert location is not None
    compressed = location.replace(".metadata.json", ".gz.metadata.json")
    content = Path(location.removeprefix("file://")).read_bytes()
    Path(compressed.removeprefix("file://")).write_bytes(gzip.compress(content))
    execute(database(lake), "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?", compressed, NAME)
    assert history(lake) == before
    assert lake.run().tables[NAME].status == "refreshed"


def test_a_catalog_of_an_earlier_pyiceberg_is_read_and_views_are_ignored(lake: Lake) -> None:
    before = history(lake)
    execute(database(lake), "UPDATE iceberg_tables SET iceberg_type = 'VIEW' WHERE table_name = ?", NAME)
    assert history(lake) == []
    execute(database(lake), "ALTER TABLE iceberg_tables DROP COLUMN iceberg_type")
    assert history(lake) == before


@pytest.mark.parametrize("sql", ["DROP TABLE iceberg_namespace_properties", "DELETE FROM iceberg_namespace_properties"])
def test_a_catalog_without_properties_is_no_warehouse(lake: Lake, sql: str) -> None:
    execute(database(lake), sql)
    with pytest.raises(NoWarehouseError, match="no run has finished in"):
        Catalog(lake.open_warehouse())


def test_a_damaged_database_gives_a_one_line_error(lake: Lake) -> None:
    database(lake).write_bytes(b"no database at all, but long enough to be taken for one" * 99)
    with pytest.raises(WarehouseError, match=r"^warehouse \S+ can't be opened: file is not a database$"):
        Catalog(lake.open_warehouse())


def test_a_killed_commit_is_rolled_back(lake: Lake) -> None:
    """A read-only connection could not roll it back."""
    before = history(lake)
    connection = sqlite3.connect(database(lake))
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE iceberg_tables SET metadata_location = 'nowhere' || randomblob(9000)")
    # Both files as they are in the middle of a transaction.
    halfway, journal = database(lake).read_bytes(), Path(f"{database(lake)}-journal").read_bytes()
    connection.rollback()
    connection.close()
    database(lake).write_bytes(halfway)
    Path(f"{database(lake)}-journal").write_bytes(journal)
    assert history(lake) == before


SNAPSHOTS = [
    {"snapshot-id": 1, "timestamp-ms": 1_000},
    {"snapshot-id": 3, "parent-snapshot-id": 2, "sequence-number": 3, "timestamp-ms": 3_000, "manifest-list": "x"},
]


def metadata(**changes: Any) -> TableMetadata:
    document = {"format-version": 2, "current-snapshot-id": 3, "snapshots": SNAPSHOTS, "schema": {"fields": []}}
    return TableMetadata.parse(
        "somewhere", json.dumps(document | {name.replace("_", "-"): v for name, v in changes.items()})
    )


def test_an_expired_parent_is_followed_by_the_newest_older_snapshot() -> None:
    assert [snapshot.id for snapshot in metadata().history()] == [3, 1]


@pytest.mark.parametrize("current", [None, -1])
def test_a_table_without_a_commit_has_no_snapshot(current: int | None) -> None:
    empty = metadata(current_snapshot_id=current, snapshots=None)
    assert (empty.current, list(empty.history())) == (None, [])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: "",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"format-version": 2', '"format-version": 9'),
        lambda text: text.replace('"snapshot-id": 1', '"id": 1'),
        lambda text: text.replace("1000", '"then"'),
    ],
)
def test_damaged_metadata_is_refused(damage: Callable[[str], str]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        TableMetadata.parse("somewhere", damage(metadata().text))
