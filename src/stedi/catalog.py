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
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile, DataFileContent
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

from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.table import MILLISECONDS_A_DAY, Table

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
}


@dataclass(frozen=True)
class Snapshot:
    """One committed state of a table: what it holds and what it reflects."""

    id: int
    committed_at: datetime.datetime
    operation: str
    summary: Mapping[str, str]

    @property
    def reflects(self) -> dict[str, Any]:
        """What the commit recorded about itself: run, policy, input snapshots, side files."""
        recorded: dict[str, Any] = json.loads(self.summary.get("stedi.reflects", "{}"))
        return recorded


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
        """The table as it stands now, or None where it has not been made yet."""
        try:
            return self._catalog.load_table((NAMESPACE, name))
        except NoSuchTableError:
            return None

    def ensure(self, table: Table) -> IcebergTable:
        """The table as it stands now, made from its declaration when it is new."""
        found = self.find(table.name)
        if found is not None:
            return found
        return self._catalog.create_table(
            (NAMESPACE, table.name),
            iceberg_schema(table),
            location=location(self.warehouse / NAMESPACE / table.name),
            partition_spec=partition_spec(table),
            sort_order=_sort_order(table),
            properties=_PROPERTIES | {"comment": f"{table.meaning}; one row is {table.grain}"},
        )

    def commit(self, table: Table, added: Sequence[str], removed: Sequence[str], reflects: Mapping[str, Any]) -> int:
        """Remove and add data files in one atomic commit that also records what it reflects.

        Returns the new snapshot's id.

        Raises:
            WarehouseBusyError: somebody else committed to the table meanwhile.
        """
        iceberg = self.ensure(table)
        doomed = set(removed)
        gone = {f.file_path: f for f in _data_files(iceberg, None) if local_path(f.file_path) in doomed}
        properties = {"stedi.reflects": json.dumps(reflects, sort_keys=True)}
        try:
            with iceberg.transaction() as transaction:
                update = transaction.update_snapshot(snapshot_properties=properties)
                with update.overwrite() if gone else update.fast_append() as producer:
                    for data_file in gone.values():
                        producer.delete_data_file(data_file)
                    for path in added:
                        producer.append_data_file(
                            parquet_file_to_data_file(iceberg.io, iceberg.metadata, location(Path(path)))
                        )
        except CommitFailedException:
            raise WarehouseBusyError(f"table {table.name} was changed by somebody else during this run; run again") from None
        snapshot = iceberg.current_snapshot()
        assert snapshot is not None
        return snapshot.snapshot_id

    def snapshot(self, name: str, snapshot_id: int | None = None) -> Snapshot | None:
        """One snapshot of a table (the current one by default), or None where there is none."""
        return next((s for s in self.history(name) if snapshot_id in (None, s.id)), None)

    def history(self, name: str) -> list[Snapshot]:
        """All snapshots of a table, newest first."""
        iceberg = self.find(name)
        current = iceberg.current_snapshot() if iceberg else None
        found: list[Snapshot] = []
        while iceberg is not None and current is not None:
            summary = current.summary
            at = datetime.datetime.fromtimestamp(current.timestamp_ms / 1000, datetime.UTC)
            values = dict(summary.additional_properties) if summary else {}
            operation = summary.operation.value if summary else ""
            found.append(Snapshot(current.snapshot_id, at, operation, values))
            parent = current.parent_snapshot_id
            current = iceberg.snapshot_by_id(parent) if parent is not None else None
        return found

    def files(self, name: str, snapshot_id: int | None = None) -> list[str]:
        """Paths of the data files that make up a table.

        Raises:
            WarehouseError: another writer left delete files, which only compaction resolves.
        """
        iceberg = self.find(name)
        if iceberg is None or iceberg.current_snapshot() is None:
            return []
        return [local_path(f.file_path) for f in _data_files(iceberg, snapshot_id)]

    def data_folder(self, table: Table) -> Path:
        """Where the table's data files go."""
        folder = Path(local_path(self.ensure(table).location())) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        """Write a file that a commit will name in what it reflects; returns its path in the warehouse."""
        folder = Path(local_path(self.ensure(table).location())) / "metadata"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{kind}-{uuid.uuid4()}{suffix}"
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path.relative_to(self.warehouse).as_posix()

    def read_side_file(self, name: str) -> bytes:
        """Read a file that a commit named."""
        return (self.warehouse / name).read_bytes()


def location(path: Path) -> str:
    """A path as Iceberg writes it. Not percent-encoded: its readers take the text as it stands."""
    return f"file://{path}"


def local_path(location: str) -> str:
    """A plain path from a location as Iceberg writes it."""
    return location.removeprefix("file://")


def _data_files(iceberg: IcebergTable, snapshot_id: int | None) -> Iterator[DataFile]:
    for task in iceberg.scan(snapshot_id=snapshot_id).plan_files():
        if task.delete_files:
            raise WarehouseError(
                f"table {'.'.join(iceberg.name())} has delete files of another writer; rewrite it there first"
            )
        assert task.file.content == DataFileContent.DATA
        yield task.file


@contextmanager
def warehouse_errors(what: str) -> Iterator[None]:
    """Turn the storage's own errors (no space, read only, damaged) into one clear line."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{what}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        raise WarehouseError(f"{what}: {getattr(error, 'orig', None) or error}") from error
