"""The Iceberg catalog: open it, create tables from their declarations, commit files, list files."""

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError, ValidationException
from pyiceberg.manifest import DataFile, DataFileContent, ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from stedi.catalog.data_file import as_data_file
from stedi.catalog.schema import PROPERTIES, iceberg_schema, partition_spec, sort_order
from stedi.catalog.snapshot import MARK, Commit, Snapshot
from stedi.catalog.storage import DATA, METADATA, intact, location, plain_path, table_folder, warehouse_errors
from stedi.catalog.transaction import CommitTransaction
from stedi.errors import CatalogMovedError, NoWarehouseError, WarehouseError
from stedi.history import latest_run
from stedi.own_files import own_uuid
from stedi.table import DataFiles, Table, WrittenFile
from stedi.warehouse import Warehouse, WarehouseFolder

if TYPE_CHECKING:
    from stedi.catalog.glue import GlueCatalog
    from stedi.catalog.sqlite import SqliteCatalog

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

    def __init__(self, warehouse: Warehouse, *, create: bool = False) -> None:
        """Open the catalog: beside the data in a folder, or Glue's for data in S3.

        Raises:
            NoWarehouseError: there is none, and `create` is off.
            WarehouseError: it can't be read, or it was written by a newer version.
        """
        self.warehouse = warehouse
        self._seen: dict[str, IcebergTable] = {}
        # A snapshot never changes, and no manifest does, so what they name is looked up once.
        self._plans: dict[int, _Plan] = {}
        self._named: dict[str, tuple[DataFile, ...]] = {}
        with warehouse_errors(f"warehouse {warehouse} can't be opened"):
            self._catalog = _connect(warehouse, create)
            here = {"layout_version": str(LAYOUT_VERSION), "location": location(warehouse.path(""))}
            try:
                properties = self._catalog.load_namespace_properties(warehouse.database)
            except NoSuchNamespaceError:
                if not create:
                    raise NoWarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`") from None
                # Only now, because a job on AWS may not make databases: its deployment has made this one.
                self._catalog.create_namespace_if_not_exists(warehouse.database, here)
                properties = self._catalog.load_namespace_properties(warehouse.database)
            if create and "layout_version" not in properties:
                # Made by somebody before there was anything in it.
                self._catalog.update_namespace_properties(warehouse.database, updates=here)
                properties |= here
        if "layout_version" not in properties:
            raise NoWarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
        found = int(properties["layout_version"])
        if found > LAYOUT_VERSION:
            raise WarehouseError(
                f"warehouse {warehouse} has layout {found}, newer than this program's {LAYOUT_VERSION}; update stedi"
            )
        if found < LAYOUT_VERSION:
            raise WarehouseError(
                f"warehouse {warehouse} has layout {found}, older than this program's {LAYOUT_VERSION}; "
                "build another from the landing files with --warehouse"
            )
        if (made_at := plain_path(properties.get("location", here["location"])).rstrip("/")) != warehouse.path(""):
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
            with (
                warehouse_errors(f"table {name} of warehouse {self.warehouse} can't be read"),
                intact(f"metadata of {name}"),
            ):
                try:
                    self._seen[name] = self._catalog.load_table((self.warehouse.database, name))
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
                (self.warehouse.database, table.name),
                iceberg_schema(table),
                location=location(self.warehouse.path(table_folder(table.name))),
                partition_spec=partition_spec(table),
                sort_order=sort_order(table),
                properties=PROPERTIES | {"comment": f"{table.meaning}; one row is {table.grain}"},
            )
            made.commit_transaction()
            found = self._seen[table.name] = self._catalog.load_table((self.warehouse.database, table.name))
        return found

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        """Remove and add data files in one atomic commit that also records what it reflects.

        Raises:
            CatalogMovedError: somebody else committed to the table meanwhile.
            WarehouseBusyError: another run took over the warehouse.
        """
        self.warehouse.confirm_hold()
        iceberg = self.ensure(table)
        doomed, before = set(commit.removed), self._plan(table.name, None)
        gone = [file for file in before.data if plain_path(file.file_path) in doomed]
        came = [as_data_file(written, iceberg.metadata) for written in commit.added]
        mark = json.dumps(commit.recorded(self.snapshot(table.name)), sort_keys=True)
        try:
            with CommitTransaction(iceberg) as transaction:
                update = transaction.update_snapshot(snapshot_properties={MARK: mark})
                with update.overwrite() if gone else update.merge_append() as producer:
                    producer.commit_uuid = own_uuid()
                    for data_file in gone:
                        producer.delete_data_file(data_file)
                    for written, data_file in zip(commit.added, came, strict=True):
                        self.warehouse.keep(written.path)
                        producer.append_data_file(data_file)
        except (CommitFailedException, ValidationException):
            self.look_again(table.name)
            raise CatalogMovedError(f"table {table.name} was changed by another writer during this run; run again") from None
        snapshot = self.snapshot(table.name)
        assert snapshot is not None
        if not before.deletes:
            stays = (file for file in before.data if plain_path(file.file_path) not in doomed)
            self._plans[snapshot.id] = _Plan((*stays, *came), (), snapshot.id)
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
        # The embedded engine takes a table for as many times its first file's rows as it has files. Taken
        # for more than it has, a table is at worst looked through; for less, it is put into memory whole.
        largest_first = sorted(planned.data, key=lambda file: (-file.record_count, file.file_path))
        return DataFiles(
            tuple(plain_path(file.file_path) for file in largest_first),
            tuple(sorted(plain_path(path) for path in planned.deletes)),
            planned.snapshot_id,
        )

    def sizes(self, name: str) -> list[DataFileSize]:
        """The data files that make up a table now, and how large they are."""
        iceberg = self.find(name)
        tasks = iceberg.scan().plan_files() if iceberg is not None and iceberg.current_snapshot() else ()
        return [
            DataFileSize(
                plain_path(task.file.file_path),
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
        snapshot = iceberg.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise WarehouseError(f"table {name} no longer has snapshot {snapshot_id}; it expired")
        if snapshot_id not in self._plans:
            with intact(f"list of the files of table {name}"):
                named = [file for manifest in snapshot.manifests(iceberg.io) for file in self.named_by(iceberg, manifest)]
            if all(file.content is DataFileContent.DATA for file in named):
                self._plans[snapshot_id] = _Plan(tuple(named), (), snapshot_id)
            else:
                # Only a scan tells which of another writer's deletes are about which files.
                tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
                self._plans[snapshot_id] = _Plan(
                    tuple(task.file for task in tasks),
                    tuple({delete.file_path for task in tasks for delete in task.delete_files}),
                    snapshot_id,
                )
        return self._plans[snapshot_id]

    def named_by(self, iceberg: IcebergTable, manifest: ManifestFile) -> tuple[DataFile, ...]:
        """The files that a manifest of a table names."""
        if manifest.manifest_path not in self._named:
            entries = manifest.fetch_manifest_entry(iceberg.io, discard_deleted=True)
            self._named[manifest.manifest_path] = tuple(entry.data_file for entry in entries)
        return self._named[manifest.manifest_path]

    def data_folder(self, table: Table) -> str:
        """The path of the folder where the table's data files go."""
        self.ensure(table)
        return self.warehouse.folder(f"{table_folder(table.name)}/{DATA}")

    def side_folder(self, table: Table) -> str:
        """The path of the folder for files that a commit of the table will name in what it reflects."""
        self.ensure(table)
        return self.warehouse.folder(f"{table_folder(table.name)}/{METADATA}")

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        """Write such a file; returns the name to record."""
        name = self.warehouse.name_of(f"{self.side_folder(table)}/{kind}-{own_uuid()}{suffix}")
        self.warehouse.create(name, content)
        return name

    def keep_side_file(self, path: str) -> str:
        """Have such a file last that an engine wrote; returns the name to record."""
        self.warehouse.keep(path)
        return self.warehouse.name_of(path)

    def read_side_file(self, name: str) -> bytes:
        """The content of a recorded file."""
        return self.warehouse.read(name)

    def side_path(self, name: str) -> str:
        """The path of a recorded file."""
        return self.warehouse.path(name)

    def discard(self, written: Iterable[WrittenFile]) -> None:
        """Remove files that no commit will name."""
        for file in written:
            self.warehouse.remove(self.warehouse.name_of(file.path))


def _connect(warehouse: Warehouse, create: bool) -> "SqliteCatalog | GlueCatalog":
    if isinstance(warehouse, WarehouseFolder):
        from stedi.catalog.sqlite import SqliteCatalog

        file = warehouse.root / "catalog.db"
        if not (file.exists() and file.stat().st_size) and latest_run(warehouse) is not None:
            # A new one would know of no table, and upkeep would take all files for nobody's.
            raise WarehouseError(
                f"warehouse {warehouse} has lost its catalog: {file} is missing or empty, and runs have finished there; "
                "put it back, or build another warehouse from the landing files with --warehouse"
            )
        if create:
            warehouse.folder("")
        elif not file.exists():
            raise NoWarehouseError(f"no warehouse at {warehouse}; make one with `stedi run`")
        return SqliteCatalog(warehouse)
    from stedi.catalog.glue import GlueCatalog

    return GlueCatalog(warehouse)


def _before(iceberg: IcebergTable, snapshot: IcebergSnapshot) -> IcebergSnapshot | None:
    """The parent of a snapshot; where that has expired, the newest older one that has not."""
    if snapshot.parent_snapshot_id is None:
        return None
    if parent := iceberg.snapshot_by_id(snapshot.parent_snapshot_id):
        return parent
    older = [s for s in iceberg.snapshots() if (s.sequence_number or 0) < (snapshot.sequence_number or 0)]
    return max(older, key=lambda s: s.sequence_number or 0, default=None)
