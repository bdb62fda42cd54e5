"""A table with a history, committed without the pipeline, and an erasure of people from all of its snapshots."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import Record

from stedi.catalog import Catalog, Commit, CommitMetadata
from stedi.catalog.history import HistoryFile, LiveFile, data_files_of_all_snapshots
from stedi.catalog.history_rewrite import HistoryRewrite, rewrite_history
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.compute.start import start_duckdb
from stedi.compute.surviving_rows import surviving_rows
from stedi.maintenance.orphan_files import delete_everything_unreferenced
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.sql import literals
from stedi.tables.registry import BY_NAME
from tests.support.compare import opened
from tests.support.lake import T0, Lake
from tests.support.other_writers import delete_by_equality

TABLE = BY_NAME["accelerometer_trusted"]
# Rows of a snapshot: person and time, with their number.
Rows = Counter[tuple[str, int]]


class TableHistory:
    """The table `accelerometer_trusted` of a new warehouse, and the rows that each snapshot should have.

    Attributes:
        lake: the warehouse.
        catalog: its catalog.
        backend: reads and writes the data files.
        expected: rows by snapshot ID.
    """

    def __init__(self, lake: Lake, catalog: Catalog, backend: Backend) -> None:
        self.lake, self.catalog, self.backend = lake, catalog, backend
        self.expected: dict[int, Rows] = {}

    @property
    def current(self) -> Rows:
        """The rows of the current snapshot."""
        snapshot = self.catalog.snapshot(TABLE.name)
        return self.expected[snapshot.id] if snapshot else Counter()

    def _write(self, query: str) -> list[WrittenFile]:
        return self.backend.write(TABLE, query, self.catalog.data_folder(TABLE))

    def commit(self, added: Iterable[WrittenFile], removed: Iterable[str], rows: Rows) -> None:
        """Commit files as a run does."""
        number = len(self.expected)
        metadata = CommitMetadata(f"run {number}", rows.total(), f"version {number}", {"rule": rows["b@x", 0]})
        self.expected[self.catalog.commit(TABLE, Commit(tuple(added), tuple(removed), metadata)).id] = rows

    def append(self, *rows: tuple[str, int]) -> None:
        """Add rows: person, and time (ms after `T0`)."""
        self.commit(self._write(_query(*rows)), (), self.current + Counter(rows))

    def compact(self) -> None:
        """Rewrite all data files."""
        files = self.catalog.files(TABLE.name)
        if files:
            self.commit(self._write(self.backend.scan(TABLE, files)), files.paths, self.current)

    def remove(self, person: str) -> None:
        """Remove a person's rows by new files, as a run after a withdrawal does."""
        files = self.catalog.files(TABLE.name)
        if files:
            kept = f"SELECT * FROM ({self.backend.scan(TABLE, files)}) AS r WHERE person <> '{person}'"
            self.commit(self._write(kept), files.paths, without(self.current, person))

    def upsert_by_another(self, person: str, at: int) -> None:
        """Replace a person's rows by one in a single commit, as Flink does."""
        rows = without(self.current, person) + Counter([(person, at)])
        [file] = self._write(_query((person, at)))
        delete_by_equality(self.lake, TABLE.name, "person", person, added=[file.path])
        self.by_another(rows)

    def by_another(self, rows: Rows) -> None:
        """Take note of another writer's commit."""
        self.catalog.forget(TABLE.name)
        snapshot = self.catalog.snapshot(TABLE.name)
        assert snapshot is not None
        self.expected[snapshot.id] = rows

    def replacements(self, *people: str) -> dict[LiveFile, list[WrittenFile]]:
        """Write what replaces the data files with rows of people, and those with deletes."""
        theirs, replacements = f"person IN ({literals(people)})" if people else "false", {}
        for file in self.files():
            path = DataFiles((file.file.path,), is_part=True)
            all_rows = f"SELECT * FROM ({self.backend.scan(TABLE, path)}) AS r"
            if (
                file.file.has_deletes
                or file.bounds_contain(people)
                or count_rows(self.backend, f"{all_rows} WHERE {theirs}")
            ):
                rows = surviving_rows(self.backend, self.catalog, TABLE, file)
                replacements[file.file] = self._write(f"SELECT * FROM ({rows}) AS r WHERE NOT ({theirs})")
        return replacements

    def erase(self, *people: str) -> HistoryRewrite:
        """Remove people from all snapshots, and delete the files that contained them."""
        replacements = self.replacements(*people)
        rewrite = rewrite_history(
            self.catalog, TABLE.name, replacements, lambda snapshot, rows: with_rows(snapshot.metadata, rows)
        )
        delete_everything_unreferenced(self.catalog, TABLE.name)
        self.expected = {
            snapshot_id: without(rows, *people)
            for snapshot_id, rows in self.expected.items()
            if snapshot_id not in rewrite.expired
        }
        return rewrite

    def rows(self) -> dict[int, Rows]:
        """Return the rows of each snapshot, read by DuckDB."""
        metadata = self.catalog.table_metadata(TABLE.name)
        return {snapshot_id: self.rows_of(snapshot_id) for snapshot_id in (metadata.snapshots if metadata else ())}

    def rows_of(self, snapshot_id: int) -> Rows:
        """Return the rows of a snapshot, read by DuckDB."""
        rows = self.backend.select(self.backend.scan(TABLE, self.catalog.files(TABLE.name, snapshot_id)))
        return Counter((row["person"], row["timeStamp"] - T0) for row in rows)

    def rows_by_pyiceberg(self) -> dict[int, Rows]:
        """Return the rows of each snapshot, read by PyIceberg alone."""
        rows = {}
        with opened(self.lake, TABLE.name) as table:
            for snapshot in table.snapshots():
                read = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
                times = (at - T0 for at in read["timeStamp"].to_pylist())
                rows[snapshot.snapshot_id] = Counter(zip(read["person"].to_pylist(), times, strict=True))
        return rows

    def files(self) -> list[HistoryFile]:
        """Return the data files of all snapshots."""
        return data_files_of_all_snapshots(self.catalog, TABLE.name)


@contextmanager
def table_history(lake: Lake) -> Iterator[TableHistory]:
    """Create a warehouse with an empty table."""
    warehouse = lake.open_warehouse()
    with (
        warehouse.write_lock(),
        Catalog(warehouse, create=True) as catalog,
        warehouse.scratch() as scratch,
        start_duckdb(lake.settings, warehouse, scratch) as backend,
    ):
        yield TableHistory(lake, catalog, backend)


def _query(*rows: tuple[str, int]) -> str:
    values = ", ".join(f"('{person}', {T0 + at}::BIGINT)" for person, at in rows)
    return (
        'SELECT person AS "user", ms AS "timeStamp", 0.5 AS x, 0.5 AS y, 0.5 AS z, person '
        f"FROM (VALUES {values}) AS v (person, ms)"
    )


def without(rows: Rows, *people: str) -> Rows:
    """Return rows without those of some people."""
    return Counter({row: number for row, number in rows.items() if row[0] not in people})


def with_rows(metadata: CommitMetadata | None, rows: int) -> CommitMetadata:
    """Return commit metadata with another number of rows."""
    assert metadata is not None
    return replace(metadata, rows=rows)


def files_with(folder: Path, *values: str) -> list[str]:
    """Return the files below a folder that contain one of some texts, unpacked.

    Reads Parquet with Arrow, and Avro with PyIceberg's reader.
    """
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(value in _text(path) for value in values)
    ]


def _text(path: Path) -> str:
    content = path.read_bytes()
    text = content.decode("latin-1")
    if content.startswith(b"PAR1"):
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(number).to_dict() for number in range(metadata.num_row_groups)]
        return text + json.dumps([pq.ParquetFile(path).read().to_pylist(), groups], default=str)
    if content.startswith(b"Obj\x01"):
        with AvroFile[Record](PyArrowFileIO().new_input(str(path))) as file:
            return text + repr(file.header.meta) + repr(list(file))
    return text
