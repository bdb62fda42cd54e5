"""Compare lakes by rows, violation counts and files; commit as another writer; interrupt commits."""

import hashlib
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.table import Table as IcebergTable

from stedi.catalog import Catalog, Commit, CommitMetadata, Snapshot
from stedi.catalog.snapshot import METADATA_KEY
from stedi.compute.counts import count_rows
from stedi.compute.incremental import ComputedRows, InputChange, TemporaryRelations, affected_rows
from stedi.model.data_files import DataFiles
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.pipeline import RunReport
from stedi.tables.registry import BY_NAME, REFRESHED
from stedi.verify.verify import Finding, verify
from tests.support.lake import Lake

# The tables of a run without a selection.
NAMES = tuple(table.name for table in REFRESHED if not table.on_demand)
DERIVED = tuple(name for name in NAMES if not name.endswith("_landing"))
REBUILT = "rows that only the table or only a full rebuild has"


def contents(lake: Lake, tables: Sequence[str] = NAMES, **options: str) -> dict[str, list[str]]:
    """Return all rows of some tables as text, without arrival times. All are read by one query on a finished run."""
    parts = []
    for table in (t for t in REFRESHED if t.name in tables):
        columns = ", ".join(f'"{c.name}"' for c in table.columns if c.name not in ("arrived_at", "held_since"))
        parts.append(f"SELECT '{table.name}' AS name, r::VARCHAR AS row FROM (SELECT {columns} FROM {table.name}) AS r")
    found: dict[str, list[str]] = defaultdict(list)
    for name, row in lake.rows(" UNION ALL ".join(parts), **options):
        found[name].append(row)
    return {name: sorted(found[name]) for name in tables}


def commit_metadata(lake: Lake) -> dict[str, CommitMetadata]:
    """Return the metadata of our newest commit of each table."""
    with Catalog(lake.open_warehouse()) as catalog:
        return {name: metadata for name in NAMES if (metadata := catalog.latest_metadata(name))}


def rule_counts(lake: Lake, tables: Sequence[str] = NAMES) -> dict[str, dict[str, int]]:
    """Return the violation counts in the commit metadata, by table and rule."""
    return {name: {**each.violations} for name, each in commit_metadata(lake).items() if name in tables}


def found_wrong(lake: Lake) -> list[Finding]:
    """Return the failed findings of `verify`."""
    return [finding for finding in verify(lake.settings) if not finding.holds]


def done(report: RunReport) -> dict[str, tuple[object, ...]]:
    """Return status, rows, delta, people and reason of each table. Plans and runs are comparable."""
    return {
        name: (t.status.replace("would refresh", "refreshed"), t.rows, t.added, t.removed, t.people, t.reason)
        for name, t in report.tables.items()
    }


def tree(folder: Path) -> dict[str, str]:
    """Return every file and folder below a folder, with a checksum of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def opened(lake: Lake, name: str) -> Iterator[IcebergTable]:
    """Open a table with PyIceberg alone."""
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{lake.warehouse.resolve() / 'catalog.db'}")
    try:
        yield catalog.load_table(("stedi", name))
    finally:
        catalog.close()


def as_another(lake: Lake, name: str, change: Callable[[pa.Table], pa.Table], *, keeps_mark: bool = False) -> None:
    """Rewrite a table as another writer: all rows in new files. With `keeps_mark`, the commit has our metadata."""
    with opened(lake, name) as table:
        rows, folder = change(table.scan().to_arrow()), Path(table.location().removeprefix("file://")) / "data"
        current = table.current_snapshot()
        assert current is not None
        assert current.summary is not None
        mark = {METADATA_KEY: current.summary.additional_properties[METADATA_KEY]} if keeps_mark else {}
        with table.transaction() as transaction:
            producer = transaction.update_snapshot(snapshot_properties=mark).overwrite()
            for task in table.scan().plan_files():
                producer.delete_data_file(task.file)
            for part in _by_day(BY_NAME[name], rows):
                path = folder / f"{uuid.uuid4()}.parquet"
                pq.write_table(part.cast(table.schema().as_arrow()), path)
                producer.append_data_file(parquet_file_to_data_file(table.io, table.metadata, f"file://{path}"))
            producer.commit()


def _by_day(table: Table, rows: pa.Table) -> list[pa.Table]:
    if table.day is None:
        return [rows] if len(rows) else []
    days = [moment // MILLISECONDS_A_DAY for moment in rows[table.day].to_pylist()]
    return [rows.filter(pa.array([each == day for each in days])) for day in sorted(set(days))]


class Kept:
    """A lake that is created once for many tests, and restored after each.

    Tests may add landing files and must not change any: the ledger identifies a file by inode and time, too.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake, self._settings = lake, lake.settings
        self._landed = _versions(lake.landing)
        self._folder = lake.warehouse.parent
        self._copy = self._folder.with_name(f"{self._folder.name}-copy")
        shutil.copytree(self._folder, self._copy, ignore=shutil.ignore_patterns("landing"))

    def put_back(self) -> None:
        """Restore the lake: delete added landing files, and copy the warehouse back."""
        self.lake.settings = self._settings
        for path in _versions(self.lake.landing).keys() - self._landed.keys():
            path.unlink()
        assert _versions(self.lake.landing) == self._landed
        for path in set(self._folder.iterdir()) - {self.lake.landing}:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copytree(self._copy, self._folder, dirs_exist_ok=True)


def _versions(landing: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in landing.rglob("*") if path.is_file()}


@contextmanager
def narrowed() -> Iterator[dict[str, int]]:
    """Collect the number of candidate rows of each table that is refreshed incrementally."""
    found: dict[str, int] = {}

    def counted(
        relations: TemporaryRelations, table: Table, files: DataFiles, changes: Sequence[InputChange]
    ) -> ComputedRows:
        rows = affected_rows(relations, table, files, changes)
        found[table.name] = count_rows(relations.backend, rows.candidate)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stedi.pipeline.refresh.affected_rows", counted)
        yield found


class Died(BaseException):
    """Simulates the end of the process: the program does not catch it."""


@contextmanager
def commits(*, die_at: int = 0, after: bool = False) -> Iterator[list[str]]:
    """Collect the names of committed tables. Raise `Died` before, or after, commit number `die_at` (from 1)."""
    committed: list[str] = []
    real = Catalog.commit

    def commit(self: Catalog, table: Table, commit: Commit) -> Snapshot:
        if len(committed) + 1 == die_at and not after:
            raise Died
        snapshot = real(self, table, commit)
        committed.append(table.name)
        if len(committed) == die_at:
            raise Died
        return snapshot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "commit", commit)
        yield committed
