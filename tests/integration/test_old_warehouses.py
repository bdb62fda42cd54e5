"""A warehouse of an earlier version is opened, queried, refreshed, maintained and verified by this version.

The archive was written by `tests/support/old_warehouses.py` with the program of commit 7cca151. A version that can't
continue it has to increment `LAYOUT_VERSION`, and needs an archive of its own.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from stedi.catalog import Catalog
from stedi.catalog.catalog_reader import SqliteCatalogReader
from stedi.catalog.layout import LAYOUT_VERSION
from stedi.catalog.run_log import read_runs
from stedi.maintenance.maintain import maintain
from stedi.storage.paths import plain_path
from tests.support.compare import NAMES, commit_metadata, contents, found_wrong
from tests.support.lake import Lake, customer, distance, reading
from tests.support.old_warehouses import PATH_LENGTH, RUNS, warehouse_folder

ARCHIVES = Path(__file__).parents[1] / "data"


@pytest.fixture
def old_lake(tmp_path: Path) -> Lake:
    """A lake with the archived warehouse and without its landing files."""
    lake = Lake(tmp_path.resolve())
    folder = warehouse_folder(tmp_path.resolve())
    unpack(ARCHIVES / f"warehouse-layout-{LAYOUT_VERSION}.tar.xz", folder)
    lake.settings = lake.settings.model_copy(update={"warehouse": str(folder)})
    return lake


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a warehouse, and replace its original path in all files by a path of the same length."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    properties = SqliteCatalogReader(folder / "catalog.db").namespace_properties("stedi")
    assert properties is not None
    old_path, new_path = plain_path(properties["location"]).encode(), str(folder).encode()
    assert len(old_path) == len(new_path) == PATH_LENGTH
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes().replace(old_path, new_path))
    with closing(sqlite3.connect(folder / "catalog.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_its_snapshots_and_runs_are_read(old_lake: Lake) -> None:
    metadata = commit_metadata(old_lake)
    assert set(metadata) == set(NAMES)
    assert {name for name, commit in metadata.items() if commit.fingerprint is None} == {
        name for name, commit in metadata.items() if commit.ledger is not None
    }
    assert len(metadata["accelerometer_landing"].rejects) == 2
    assert metadata["customers_curated"].violations["has_device"] == 1
    with Catalog(old_lake.open_warehouse()) as catalog:
        assert [len(list(catalog.history(name))) for name in NAMES] == [2] * len(NAMES)
    first, second = read_runs(old_lake.open_warehouse())
    assert second.snapshots.keys() >= set(NAMES)
    people = "SELECT email FROM customer_trusted ORDER BY ALL"
    assert old_lake.rows(people, as_of=first.run_id) == [("a@x",), ("b@x",)]
    assert old_lake.rows(people) == [("a@x",), ("c@x",)]


def test_it_is_refreshed_incrementally(old_lake: Lake) -> None:
    before = contents(old_lake)
    assert len(before["accelerometer_landing"]) == sum(
        "x" in record for files in RUNS for records in files.values() for record in records
    )
    # Tables with a changed definition are computed again, and their rows are the same.
    for name, table in old_lake.run().tables.items():
        assert (table.added, table.removed) == (0, 0), name
        assert table.status == "up to date" or table.reason == "its definition changed", name
    assert contents(old_lake) == before

    times = range(500, 504)
    old_lake.land("customer/3.json", [customer("a@x", 30), customer("b@x", 30, shares=10, serial="s2")])
    old_lake.land("accelerometer/4.json", [reading(user, at) for user in ("a@x", "b@x") for at in times])
    old_lake.land("step_trainer/3.json", [distance("s2", at) for at in times])
    report = old_lake.run()
    assert report.tables["accelerometer_trusted"].removed == len(
        [row for row in before["accelerometer_trusted"] if "a@x" in row]
    )
    assert old_lake.rows("SELECT email FROM customer_trusted ORDER BY ALL") == [("b@x",), ("c@x",)]
    assert found_wrong(old_lake) == []
    now = contents(old_lake)
    maintain(old_lake.settings)
    assert contents(old_lake) == now
    assert found_wrong(old_lake) == []
