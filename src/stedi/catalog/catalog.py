"""The Iceberg catalog: open it, create tables from their declarations, commit files, list files."""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError, ValidationException
from pyiceberg.io import PY_IO_IMPL
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from stedi.catalog.data_file import as_data_file
from stedi.catalog.local_files import LocalFileIO, make_lasting
from stedi.catalog.schema import PROPERTIES, iceberg_schema, partition_spec, sort_order
from stedi.catalog.snapshot import MARK, Commit, Snapshot
from stedi.catalog.sqlite import SqliteCatalog
from stedi.catalog.storage import DATA, METADATA, NAMESPACE, local_path, location, table_folder, warehouse_errors
from stedi.catalog.transaction import CommitTransaction
from stedi.errors import CatalogMovedError, WarehouseError
from stedi.own_files import own_uuid
from stedi.table import DataFiles, Table

# Raised whenever this version's warehouses and the version's before can't be used by each other.
LAYOUT_VERSION = 2


@dataclass(frozen=True)
class DataFileSize:
    """A data file of a table: its partition, its size, whether another writer deleted rows from it."""

    path: str
    partition: str
    bytes: int
    has_deletes: bool


@dataclass(frozen=True)
class _Plan:
    """What a scan of a snapshot reads."""

    data: tuple[DataFile, ...]
    deletes: tuple[str, ...]
    snapshot_id: int | None = None


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
            # A snapshot never changes, so what it reads is looked up once.
            self._plans: dict[int, _Plan] = {}
            self._catalog = SqliteCatalog(
                "stedi",
                uri=f"sqlite:///{quote(str(database))}",
                warehouse=location(self.warehouse),
                **{PY_IO_IMPL: f"{LocalFileIO.__module__}.{LocalFileIO.__name__}"},
            )
            if create:
                place = {"layout_version": str(LAYOUT_VERSION), "location": location(self.warehouse)}
                self._catalog.create_namespace_if_not_exists(NAMESPACE, place)
            try:
                properties = self._catalog.load_namespace_properties(NAMESPACE)
            except NoSuchNamespaceError:
                raise WarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`") from None
        found = int(properties.get("layout_version", "0"))
        if found > LAYOUT_VERSION:
            raise WarehouseError(
                f"warehouse {warehouse} has layout {found}, newer than this program's {LAYOUT_VERSION}; update stedi"
            )
        if found < LAYOUT_VERSION:
            raise WarehouseError(
                f"warehouse {warehouse} has layout {found}, older than this program's {LAYOUT_VERSION}; "
                "build another from the landing files with --warehouse"
            )
        if (made_at := local_path(properties.get("location", str(self.warehouse)))) != str(self.warehouse):
            raise WarehouseError(
                f"warehouse {warehouse} was made elsewhere, at {made_at}, and its tables name their files by that place; "
                "move it back, or build another from the landing files"
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
            # By way of a transaction, whose metadata file is named as those of all commits are.
            made = self._catalog.create_table_transaction(
                (NAMESPACE, table.name),
                iceberg_schema(table),
                location=location(table_folder(self.warehouse, table.name)),
                partition_spec=partition_spec(table),
                sort_order=sort_order(table),
                properties=PROPERTIES | {"comment": f"{table.meaning}; one row is {table.grain}"},
            )
            made.commit_transaction()
            found = self._seen[table.name] = self._catalog.load_table((NAMESPACE, table.name))
        return found

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        """Remove and add data files in one atomic commit that also records what it reflects.

        Raises:
            CatalogMovedError: somebody else committed to the table meanwhile.
        """
        iceberg = self.ensure(table)
        doomed = set(commit.removed)
        gone = [f for f in self._plan(table.name, None).data if local_path(f.file_path) in doomed] if doomed else []
        mark = json.dumps(commit.recorded(self.snapshot(table.name)), sort_keys=True)
        try:
            with CommitTransaction(iceberg) as transaction:
                update = transaction.update_snapshot(snapshot_properties={MARK: mark})
                with update.overwrite() if gone else update.merge_append() as producer:
                    producer.commit_uuid = own_uuid()
                    for data_file in gone:
                        producer.delete_data_file(data_file)
                    for written in commit.added:
                        make_lasting(Path(written.path))
                        producer.append_data_file(as_data_file(written, iceberg.metadata))
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
        """The snapshots of a table that have not expired, newest first."""
        iceberg = self.find(name)
        current = iceberg.current_snapshot() if iceberg else None
        while iceberg is not None and current is not None:
            summary = current.summary
            at = datetime.datetime.fromtimestamp(current.timestamp_ms / 1000, datetime.UTC)
            values = dict(summary.additional_properties) if summary else {}
            operation = summary.operation.value if summary else ""
            yield Snapshot(current.snapshot_id, current.parent_snapshot_id, at, operation, values)
            current = _before(iceberg, current)

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        """The files that make up a table at a snapshot (the current one by default).

        Raises:
            WarehouseError: the snapshot has expired.
        """
        planned = self._plan(name, snapshot_id)
        return DataFiles(
            tuple(sorted(local_path(f.file_path) for f in planned.data)),
            tuple(sorted(local_path(path) for path in planned.deletes)),
            planned.snapshot_id,
        )

    def sizes(self, name: str) -> list[DataFileSize]:
        """The data files that make up a table now, and how large they are."""
        iceberg = self.find(name)
        tasks = iceberg.scan().plan_files() if iceberg is not None and iceberg.current_snapshot() else ()
        return [
            DataFileSize(
                local_path(task.file.file_path),
                str(task.file.partition),
                task.file.file_size_in_bytes,
                bool(task.delete_files),
            )
            for task in tasks
        ]

    def _plan(self, name: str, snapshot_id: int | None) -> "_Plan":
        iceberg = self.find(name)
        if iceberg is None or iceberg.current_snapshot() is None:
            return _Plan((), ())
        snapshot_id = snapshot_id or iceberg.metadata.current_snapshot_id
        assert snapshot_id is not None
        if iceberg.snapshot_by_id(snapshot_id) is None:
            raise WarehouseError(f"table {name} no longer has snapshot {snapshot_id}; it expired")
        if snapshot_id not in self._plans:
            tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
            self._plans[snapshot_id] = _Plan(
                tuple(task.file for task in tasks),
                tuple({delete.file_path for task in tasks for delete in task.delete_files}),
                snapshot_id,
            )
        return self._plans[snapshot_id]

    def data_folder(self, table: Table) -> Path:
        """Where the table's data files go."""
        return self._folder(table, DATA)

    def side_folder(self, table: Table) -> Path:
        """Where files go that a commit of the table will name in what it reflects."""
        return self._folder(table, METADATA)

    def _folder(self, table: Table, kind: str) -> Path:
        self.ensure(table)
        folder = table_folder(self.warehouse, table.name) / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        """Write such a file; returns the name to record."""
        path = self.side_folder(table) / f"{kind}-{own_uuid()}{suffix}"
        path.write_bytes(content)
        return self.keep_side_file(path)

    def keep_side_file(self, path: Path) -> str:
        """Put such a file on the disk; returns the name under which a commit records it, its path in the warehouse."""
        make_lasting(path)
        return path.relative_to(self.warehouse).as_posix()

    def side_path(self, name: str) -> Path:
        """Where a recorded file lies."""
        return self.warehouse / name


def _before(iceberg: IcebergTable, snapshot: IcebergSnapshot) -> IcebergSnapshot | None:
    """The parent of a snapshot; where that has expired, the newest older one that has not."""
    if snapshot.parent_snapshot_id is None:
        return None
    if parent := iceberg.snapshot_by_id(snapshot.parent_snapshot_id):
        return parent
    older = [s for s in iceberg.snapshots() if (s.sequence_number or 0) < (snapshot.sequence_number or 0)]
    return max(older, key=lambda s: s.sequence_number or 0, default=None)
