"""The Iceberg catalog: open it, look up tables and their snapshots. PyIceberg is loaded for files and commits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stedi.catalog.metadata import TableMetadata
from stedi.catalog.pointers import Pointers, SqlitePointers
from stedi.catalog.run_log import latest_run
from stedi.catalog.snapshot import Commit, CommitMetadata, Snapshot
from stedi.errors import CatalogMovedError, NoWarehouseError, WarehouseError
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.table import Table
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.errors import translate_damage, translate_storage_errors
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import DATA, METADATA, location, plain_path, table_folder
from stedi.tables.registry import BY_NAME

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

    from stedi.catalog.iceberg import IcebergTables

# Raised whenever this version's warehouses and the version's before can't be used by each other.
LAYOUT_VERSION = 4


@dataclass(frozen=True)
class DataFileSize:
    """A data file of a table: its partition, its size, whether another writer deleted rows from it."""

    path: str
    partition: str
    bytes: int
    has_deletes: bool


class Catalog:
    """The tables of one warehouse."""

    def __init__(self, warehouse: Warehouse, *, create: bool = False) -> None:
        """Open the catalog: beside the data in a folder, or Glue's for data in S3.

        Raises:
            NoWarehouseError: there is none, and `create` is off.
            WarehouseError: it can't be read, or it was written by a newer version.
        """
        self.warehouse = warehouse
        self._seen: dict[str, TableMetadata] = {}
        with translate_storage_errors(f"warehouse {warehouse} can't be opened"):
            self._pointers = self._connect(create)
            here = {"layout_version": str(LAYOUT_VERSION), "location": location(warehouse.path(""))}
            properties = self._pointers.namespace_properties(warehouse.database)
            if properties is None:
                if not create:
                    raise NoWarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
                # Only now, because a job on AWS may not make databases: its deployment has made this one.
                self.iceberg.catalog.create_namespace_if_not_exists(warehouse.database, here)
                properties = self._pointers.namespace_properties(warehouse.database) or {}
            if create and "layout_version" not in properties:
                # Made by somebody before there was anything in it.
                self.iceberg.catalog.update_namespace_properties(warehouse.database, updates=here)
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
        if "iceberg" in self.__dict__:
            self.iceberg.close()

    @cached_property
    def iceberg(self) -> "IcebergTables":
        """PyIceberg's side of the tables. Loading it takes most of a second."""
        from stedi.catalog.iceberg import IcebergTables

        return IcebergTables(self.warehouse)

    def _connect(self, create: bool) -> Pointers:
        if not isinstance(self.warehouse, WarehouseFolder):
            from stedi.catalog.glue import GlueCatalog

            assert isinstance(self.iceberg.catalog, GlueCatalog)
            return self.iceberg.catalog
        database = self.warehouse.root / "catalog.db"
        if not (database.exists() and database.stat().st_size) and latest_run(self.warehouse) is not None:
            # A new one would know of no table, and upkeep would take all files for nobody's.
            raise WarehouseError(
                f"warehouse {self.warehouse} has lost its catalog: {database} is missing or empty, and runs have finished "
                "there; put it back, or build another warehouse from the landing files with --warehouse"
            )
        if create:
            self.warehouse.make_folder("")
        elif not database.exists():
            raise NoWarehouseError(f"no warehouse at {self.warehouse}; make one with `stedi run`")
        return SqlitePointers(database)

    def find(self, name: str) -> TableMetadata | None:
        """The table's metadata as this catalog first read it, or None when the table does not exist yet.

        Raises:
            WarehouseError: the table can't be read, or an earlier version made it.
        """
        if name not in self._seen:
            with (
                translate_storage_errors(f"table {name} of warehouse {self.warehouse} can't be read"),
                translate_damage(f"metadata of {name}"),
            ):
                place = self._pointers.metadata_location(self.warehouse.database, name)
                if place is None:
                    return None
                content = self.warehouse.read(self.warehouse.name_of(plain_path(place)))
                found = TableMetadata.decode(place, content)
            self._refuse_older(name, found)
            self._seen[name] = found
        return self._seen[name]

    def _refuse_older(self, name: str, metadata: TableMetadata) -> None:
        """Refuse a table that an earlier version made.

        The database may be marked as this version's: a deployment marks it, and leaves its tables as they were.
        """
        declared = BY_NAME[name].column_names if name in BY_NAME else ()
        if missing := [column for column in declared if column not in metadata.columns]:
            raise WarehouseError(
                f"table {name} of warehouse {self.warehouse} has no column {missing[0]}: an earlier version of this program "
                "made it; build another warehouse from the landing files with --warehouse"
            )

    def look_again(self, name: str) -> None:
        """See a table as it stands now, after somebody else committed to it."""
        self._seen.pop(name, None)

    def ensure(self, table: Table) -> "IcebergTable":
        """The table, made from its declaration when it is new."""
        return self.iceberg.table(table.name, self._ensured(table))

    def _ensured(self, table: Table) -> TableMetadata:
        metadata = self.find(table.name)
        if metadata is None:
            metadata = self._seen[table.name] = self.iceberg.create(table)
        return metadata

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        """Remove and add data files in one atomic commit that also records its metadata.

        Raises:
            CatalogMovedError: somebody else committed to the table meanwhile.
            WarehouseBusyError: another run took over the warehouse.
        """
        self.warehouse.confirm_write_lock()
        try:
            metadata = self._seen[table.name] = self.iceberg.commit(table, self._ensured(table), commit)
        except CatalogMovedError:
            self.look_again(table.name)
            raise
        assert metadata.current is not None
        return metadata.current

    def snapshot(self, name: str) -> Snapshot | None:
        """The current snapshot of a table, or None where there is none."""
        return next(self.history(name), None)

    def latest_own_snapshot(self, name: str) -> Snapshot | None:
        """The newest snapshot that this program committed; other writers may have committed on top of it."""
        return next((snapshot for snapshot in self.history(name) if snapshot.is_ours), None)

    def latest_metadata(self, name: str) -> CommitMetadata | None:
        """What our newest commit recorded. It stays valid for ledger and rejects when others commit on top."""
        snapshot = self.latest_own_snapshot(name)
        return snapshot.metadata if snapshot else None

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        """The newest snapshot with the named rows, or None where all of them expired."""
        return next((snapshot for snapshot in self.history(name) if snapshot.version == version), None)

    def history(self, name: str) -> Iterator[Snapshot]:
        """The snapshots of a table that have not expired, newest first."""
        metadata = self.find(name)
        return metadata.history() if metadata else iter(())

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        """The files that make up a table at a snapshot (the current one by default).

        Raises:
            WarehouseError: the snapshot has expired.
        """
        metadata = self.find(name)
        if metadata is None or metadata.current is None:
            return DataFiles()
        snapshot_id = snapshot_id or metadata.current.id
        if snapshot_id not in metadata.snapshots:
            raise WarehouseError(f"table {name} no longer has snapshot {snapshot_id}; it expired")
        planned = self.iceberg.plan(name, metadata, snapshot_id)
        # The embedded engine takes a table for as many times its first file's rows as it has files. Taken
        # for more than it has, a table is at worst looked through; for less, it is put into memory whole.
        largest_first = sorted(planned.data, key=lambda file: (-file.record_count, file.file_path))
        return DataFiles(
            tuple(plain_path(file.file_path) for file in largest_first),
            tuple(sorted(plain_path(path) for path in planned.deletes)),
            snapshot_id,
        )

    def empty_manifests(self, name: str) -> int:
        """How many manifests of a table's current snapshot list no live file.

        A commit that replaces files leaves one, and PyIceberg keeps it until a commit that only adds files merges manifests.
        """
        metadata = self.find(name)
        if metadata is None or metadata.current is None:
            return 0
        iceberg = self.iceberg.table(name, metadata)
        snapshot = iceberg.current_snapshot()
        manifests = snapshot.manifests(iceberg.io) if snapshot else []
        return sum(not (manifest.added_files_count or manifest.existing_files_count) for manifest in manifests)

    def sizes(self, name: str) -> list[DataFileSize]:
        """The data files that make up a table now, and how large they are."""
        metadata = self.find(name)
        if metadata is None or metadata.current is None:
            return []
        return [
            DataFileSize(
                plain_path(task.file.file_path),
                str(task.file.partition),
                task.file.file_size_in_bytes,
                bool(task.delete_files),
            )
            for task in self.iceberg.table(name, metadata).scan().plan_files()
        ]

    def data_folder(self, table: Table) -> str:
        """The path of the folder where the table's data files go."""
        self._ensured(table)
        return self.warehouse.make_folder(f"{table_folder(table.name)}/{DATA}")

    def side_folder(self, table: Table) -> str:
        """The path of the folder for side files: ledgers and rejects, which commit metadata refers to."""
        self._ensured(table)
        return self.warehouse.make_folder(f"{table_folder(table.name)}/{METADATA}")

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        """Write such a file; returns the name to record."""
        name = self.warehouse.name_of(f"{self.side_folder(table)}/{kind}-{own_uuid()}{suffix}")
        self.warehouse.create(name, content)
        return name

    def keep_side_file(self, path: str) -> str:
        """Have such a file last that an engine wrote; returns the name to record."""
        self.warehouse.sync(path)
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
            self.warehouse.delete(self.warehouse.name_of(file.path))
