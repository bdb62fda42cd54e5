"""The Iceberg catalog: open it, create tables from their declarations, commit files, list files.

The only module that talks to PyIceberg.
"""

import datetime
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, TruncateTransform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import SQLAlchemyError

from stedi.errors import CatalogMovedError, WarehouseError
from stedi.table import MILLISECONDS_A_DAY, DataFiles, Table

NAMESPACE = "stedi"
# Raised when a warehouse written by this version can't be read by the one before.
LAYOUT_VERSION = 1

_TYPES: dict[str, IcebergType] = {
    "string": StringType(),
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
}

# Copy-on-write, so that every reader sees plain data files.
_PROPERTIES = {
    "format-version": "2",
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
    "write.parquet.compression-codec": "zstd",
    # A commit on top of another writer's would rest on rows that we have not seen: the run
    # looks again and decides anew instead.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
}
_MARK = "stedi.reflects"


@dataclass(frozen=True)
class Snapshot:
    """One committed state of a table: what it holds and what it reflects."""

    id: int
    parent_id: int | None
    committed_at: datetime.datetime
    operation: str
    summary: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        """Whether this program made it; Athena and others may write to the tables too."""
        return _MARK in self.summary

    @property
    def reflects(self) -> dict[str, Any]:
        """What the commit recorded about itself: run, policy, input versions, side files."""
        recorded: dict[str, Any] = json.loads(self.summary.get(_MARK, "{}"))
        return recorded

    @property
    def version(self) -> str:
        """Names the table's rows: commits that leave every row as it was keep their parent's version."""
        return str(self.reflects.get("version", self.id))

    @property
    def rows(self) -> int:
        """How many rows the table holds. Our commits say; others' summaries count records and deletes apart."""
        counted = int(self.summary.get("total-records", 0)) - int(self.summary.get("total-position-deletes", 0))
        return int(self.reflects.get("rows", counted))

    @classmethod
    def of_draft(cls, parent: "Snapshot | None", reflects: Mapping[str, Any], at: datetime.datetime) -> Self:
        """A snapshot that was never committed; drafts count downwards from zero."""
        number = parent.id - 1 if parent and parent.id < 0 else -1
        return cls(number, parent.id if parent else None, at, "draft", {_MARK: json.dumps(reflects)})


def iceberg_schema(table: Table) -> Schema:
    """The table's columns as an Iceberg schema; field numbers follow the declaration.

    Every field is optional: DuckDB writes no required Parquet columns, and a rule checks before
    each commit that what must be filled is.
    """
    fields = (
        NestedField(number, column.name, _TYPES[column.type], required=False, doc=column.meaning)
        for number, column in enumerate(table.columns, start=1)
    )
    return Schema(*fields)


def partition_spec(table: Table) -> PartitionSpec:
    """One partition a day (UTC) for tables of readings, none for the others."""
    if table.day is None:
        return PartitionSpec()
    source = table.column_names.index(table.day) + 1
    return PartitionSpec(PartitionField(source, 1000, TruncateTransform(MILLISECONDS_A_DAY), f"{table.day}_day"))


def _sort_order(table: Table) -> SortOrder:
    names = table.column_names
    return SortOrder(*(SortField(names.index(name) + 1, IdentityTransform()) for name in table.sort))


class Catalog:
    """The tables of one warehouse."""

    def __init__(self, warehouse: Path, *, create: bool = False) -> None:
        """Open the catalog beside the data.

        Raises:
            WarehouseError: there is none (and `create` is off), it can't be read, or it was
                written by a newer version.
        """
        self.warehouse = warehouse.resolve()
        database = self.warehouse / "catalog.db"
        if not create and not database.exists():
            raise WarehouseError(f"no warehouse at {warehouse}; make one with `stedi run`")
        with warehouse_errors(f"warehouse {warehouse} can't be opened"):
            self.warehouse.mkdir(parents=True, exist_ok=True)
            self._seen: dict[str, IcebergTable] = {}
            self._catalog = SqlCatalog("stedi", uri=f"sqlite:///{database}", warehouse=location(self.warehouse))
            if create:
                self._catalog.create_namespace_if_not_exists(NAMESPACE, {"layout_version": str(LAYOUT_VERSION)})
            found = int(self._catalog.load_namespace_properties(NAMESPACE).get("layout_version", "0"))
        if found > LAYOUT_VERSION:
            raise WarehouseError(
                f"warehouse {warehouse} has layout {found}, newer than this program's {LAYOUT_VERSION}; update stedi"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._catalog.close()

    def find(self, name: str) -> IcebergTable | None:
        """The table as this catalog last saw it, or None where it has not been made yet."""
        if name not in self._seen:
            try:
                self._seen[name] = self._catalog.load_table((NAMESPACE, name))
            except NoSuchTableError:
                return None
        return self._seen[name]

    def look_again(self, name: str) -> None:
        """See a table as it stands now, after somebody else committed to it."""
        self._seen.pop(name, None)

    def ensure(self, table: Table) -> IcebergTable:
        """The table, made from its declaration when it is new."""
        found = self.find(table.name)
        if found is None:
            found = self._seen[table.name] = self._catalog.create_table(
                (NAMESPACE, table.name),
                iceberg_schema(table),
                location=location(self.warehouse / NAMESPACE / table.name),
                partition_spec=partition_spec(table),
                sort_order=_sort_order(table),
                properties=_PROPERTIES | {"comment": f"{table.meaning}; one row is {table.grain}"},
            )
        return found

    def commit(
        self, table: Table, added: Sequence[str], removed: Sequence[str], reflects: Mapping[str, Any], *, version: str
    ) -> Snapshot:
        """Remove and add data files in one atomic commit that also records what it reflects.

        `version` names the table's rows from now on; where no file comes or goes the rows keep
        the name they have.

        Raises:
            CatalogMovedError: somebody else committed to the table meanwhile.
        """
        iceberg = self.ensure(table)
        before = self.snapshot(table.name)
        doomed = set(removed)
        gone = [f for f in self._plan(table.name, None).data if local_path(f.file_path) in doomed] if doomed else []
        if before is not None and not added and not gone:
            version = before.version
        mark = json.dumps({**reflects, "version": version}, sort_keys=True)
        try:
            with iceberg.transaction() as transaction:
                update = transaction.update_snapshot(snapshot_properties={_MARK: mark})
                with update.overwrite() if gone else update.merge_append() as producer:
                    for data_file in gone:
                        producer.delete_data_file(data_file)
                    for path in added:
                        producer.append_data_file(
                            parquet_file_to_data_file(iceberg.io, iceberg.metadata, location(Path(path)))
                        )
        except (CommitFailedException, ValidationException):
            self.look_again(table.name)
            raise CatalogMovedError(f"table {table.name} was changed by another writer during this run; run again") from None
        snapshot = self.snapshot(table.name)
        assert snapshot is not None
        return snapshot

    def snapshot(self, name: str) -> Snapshot | None:
        """The current snapshot of a table, or None where there is none."""
        return next(self.history(name), None)

    def latest_mark(self, name: str) -> Snapshot | None:
        """The newest snapshot that this program made: what it recorded still holds below another writer's commits."""
        return next((snapshot for snapshot in self.history(name) if snapshot.is_ours), None)

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        """The newest snapshot with the named rows, or None where all of them expired."""
        return next((snapshot for snapshot in self.history(name) if snapshot.version == version), None)

    def history(self, name: str) -> Iterator[Snapshot]:
        """The snapshots of a table, newest first, as far back as they have not expired."""
        iceberg = self.find(name)
        current = iceberg.current_snapshot() if iceberg else None
        while iceberg is not None and current is not None:
            summary = current.summary
            at = datetime.datetime.fromtimestamp(current.timestamp_ms / 1000, datetime.UTC)
            values = dict(summary.additional_properties) if summary else {}
            operation = summary.operation.value if summary else ""
            parent = current.parent_snapshot_id
            yield Snapshot(current.snapshot_id, parent, at, operation, values)
            current = iceberg.snapshot_by_id(parent) if parent is not None else None

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        """The files that make up a table at a snapshot (the current one by default).

        Raises:
            WarehouseError: the snapshot has expired.
        """
        planned = self._plan(name, snapshot_id)
        return DataFiles(
            tuple(sorted(local_path(f.file_path) for f in planned.data)),
            tuple(sorted(local_path(path) for path in planned.deletes)),
        )

    def _plan(self, name: str, snapshot_id: int | None) -> "_Plan":
        iceberg = self.find(name)
        if iceberg is None or iceberg.current_snapshot() is None:
            return _Plan((), ())
        if snapshot_id is not None and iceberg.snapshot_by_id(snapshot_id) is None:
            raise WarehouseError(f"table {name} no longer has snapshot {snapshot_id}; it expired")
        tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
        return _Plan(
            tuple(task.file for task in tasks),
            tuple({delete.file_path for task in tasks for delete in task.delete_files}),
        )

    def data_folder(self, table: Table) -> Path:
        """Where the table's data files go."""
        folder = Path(local_path(self.ensure(table).location())) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def side_folder(self, table: Table) -> Path:
        """Where files go that a commit of the table will name in what it reflects."""
        folder = Path(local_path(self.ensure(table).location())) / "metadata"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        """Write such a file; returns the name to record."""
        path = self.side_folder(table) / f"{kind}-{uuid.uuid4()}{suffix}"
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return self.side_name(path)

    def side_name(self, path: Path) -> str:
        """The name under which a commit records such a file: its path in the warehouse."""
        return path.relative_to(self.warehouse).as_posix()

    def side_path(self, name: str) -> Path:
        """Where a recorded file lies."""
        return self.warehouse / name


def location(path: Path) -> str:
    """A path as Iceberg writes it. Not percent-encoded: its readers take the text as it stands."""
    return f"file://{path}"


def local_path(location: str) -> str:
    """A plain path from a location as Iceberg writes it."""
    return location.removeprefix("file://")


@dataclass(frozen=True)
class _Plan:
    """What a scan of a snapshot reads."""

    data: tuple[DataFile, ...]
    deletes: tuple[str, ...]


@contextmanager
def warehouse_errors(what: str) -> Iterator[None]:
    """Turn the storage's own errors (no space, read only, damaged) into one clear line."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{what}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        raise WarehouseError(f"{what}: {getattr(error, 'orig', None) or error}") from error
