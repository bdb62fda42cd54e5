"""The Iceberg catalog of a warehouse: its tables, their snapshots and their files."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stedi.catalog.catalog_reader import CatalogReader, SqliteCatalogReader
from stedi.catalog.layout import check_columns, check_database, check_layout, namespace_properties_of
from stedi.catalog.metadata import TableMetadata
from stedi.catalog.snapshot import Commit, CommitMetadata, Snapshot
from stedi.errors import CommitConflictError, WarehouseError
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.table import Table
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.errors import translate_damage, translate_storage_errors
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import DATA, METADATA, plain_path, table_folder

if TYPE_CHECKING:
    from stedi.catalog.iceberg import IcebergTables


class Catalog:
    """The tables of one warehouse.

    The metadata of each table is read once, and again after `forget`. PyIceberg is imported only for file lists and
    commits: importing it takes most of a second.

    Side files belong to a commit and are not data files of the table: ledgers and quarantined records. Their names are
    recorded in the commit metadata.
    """

    def __init__(self, warehouse: Warehouse, *, create: bool = False) -> None:
        """Open the catalog: a SQLite database for a warehouse in a folder, Glue for one in S3.

        Args:
            warehouse: the warehouse.
            create: create the catalog if there is none.

        Raises:
            NoWarehouseError: there is no catalog, and `create` is off.
            WarehouseError: the catalog can't be read, or another version created it.
        """
        self.warehouse = warehouse
        self._metadata: dict[str, TableMetadata] = {}
        with translate_storage_errors(f"warehouse {warehouse} can't be opened"):
            self._reader = self._open_reader(create)
            properties = self._reader.namespace_properties(warehouse.database)
            if create and "layout_version" not in (properties or {}):
                properties = self._create_namespace(properties)
        check_layout(warehouse, properties)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "iceberg" in self.__dict__:
            self.iceberg.close()

    @cached_property
    def iceberg(self) -> "IcebergTables":
        """The tables in PyIceberg, which is imported here."""
        from stedi.catalog.iceberg import IcebergTables

        return IcebergTables(self.warehouse)

    def _open_reader(self, create: bool) -> CatalogReader:
        if not isinstance(self.warehouse, WarehouseFolder):
            from stedi.catalog.glue import GlueCatalog

            assert isinstance(self.iceberg.catalog, GlueCatalog)
            return self.iceberg.catalog
        check_database(self.warehouse, create=create)
        if create:
            self.warehouse.make_folder("")
        return SqliteCatalogReader(self.warehouse.root / "catalog.db")

    def _create_namespace(self, properties: dict[str, str] | None) -> dict[str, str]:
        """Create the namespace, or set the properties of an empty one that another program created. Return them."""
        database, ours = self.warehouse.database, namespace_properties_of(self.warehouse)
        if properties is None:
            # Only if it is missing: jobs on AWS may not create databases. Their deployment has created it.
            self.iceberg.catalog.create_namespace_if_not_exists(database, ours)
            properties = self._reader.namespace_properties(database) or {}
        if "layout_version" not in properties:
            self.iceberg.catalog.update_namespace_properties(database, updates=ours)
            properties |= ours
        return properties

    def table_metadata(self, name: str) -> TableMetadata | None:
        """Return the metadata of a table, or None if the table does not exist.

        Raises:
            WarehouseError: the metadata can't be read, or an earlier version created the table.
        """
        if name not in self._metadata:
            with (
                translate_storage_errors(f"table {name} of warehouse {self.warehouse} can't be read"),
                translate_damage(f"metadata of {name}"),
            ):
                location = self._reader.metadata_location(self.warehouse.database, name)
                if location is None:
                    return None
                content = self.warehouse.read(self.warehouse.name_of(plain_path(location)))
                metadata = TableMetadata.decode(location, content)
            check_columns(self.warehouse, name, metadata)
            self._metadata[name] = metadata
        return self._metadata[name]

    def forget(self, name: str) -> None:
        """Drop the cached metadata of a table, after another writer committed to it."""
        self._metadata.pop(name, None)

    def _ensure_metadata(self, table: Table) -> TableMetadata:
        """Return the metadata of a table. Creates the table from its declaration if it does not exist."""
        metadata = self.table_metadata(table.name)
        if metadata is None:
            metadata = self._metadata[table.name] = self.iceberg.create(table)
        return metadata

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        """Remove and add data files and record the commit metadata, atomically. Return the new snapshot.

        Raises:
            CommitConflictError: another writer committed to the table at the same time.
            WarehouseBusyError: another run took over the write lock.
        """
        self.warehouse.confirm_write_lock()
        try:
            metadata = self._metadata[table.name] = self.iceberg.commit(table, self._ensure_metadata(table), commit)
        except CommitConflictError:
            self.forget(table.name)
            raise
        assert metadata.current is not None
        return metadata.current

    def snapshot(self, name: str) -> Snapshot | None:
        """Return the current snapshot of a table, or None if there is none."""
        return next(self.history(name), None)

    def latest_own_snapshot(self, name: str) -> Snapshot | None:
        """Return the newest snapshot that this program committed. Another writer's may be newer."""
        return next((snapshot for snapshot in self.history(name) if snapshot.is_ours), None)

    def latest_metadata(self, name: str) -> CommitMetadata | None:
        """Return the metadata of our newest commit. Ledger and rejects stay valid after commits of other writers."""
        snapshot = self.latest_own_snapshot(name)
        return snapshot.metadata if snapshot else None

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        """Return the newest snapshot with a version of the rows, or None if all of them expired."""
        return next((snapshot for snapshot in self.history(name) if snapshot.version == version), None)

    def history(self, name: str) -> Iterator[Snapshot]:
        """Return the unexpired snapshots of a table, newest first."""
        metadata = self.table_metadata(name)
        return metadata.history() if metadata else iter(())

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        """Return the files of a table at a snapshot, by default the current one.

        Raises:
            WarehouseError: the snapshot has expired.
        """
        metadata = self.table_metadata(name)
        if metadata is None or metadata.current is None:
            return DataFiles()
        snapshot_id = snapshot_id or metadata.current.id
        if snapshot_id not in metadata.snapshots:
            raise WarehouseError(
                f"snapshot {snapshot_id} of table {name} has expired; choose a newer run, see `stedi history {name}`"
            )
        scan = self.iceberg.plan_scan(name, metadata, snapshot_id)
        # DuckDB estimates a table's rows as the first file's rows times the number of files. An overestimated table is at
        # worst scanned, an underestimated one is loaded into memory whole. So the largest file comes first.
        largest_first = sorted(scan.data_files, key=lambda file: (-file.record_count, file.file_path))
        return DataFiles(
            tuple(plain_path(file.file_path) for file in largest_first),
            tuple(sorted(plain_path(path) for path in scan.delete_files)),
            snapshot_id,
        )

    def data_folder(self, table: Table) -> str:
        """Return the path of the folder for the table's data files. Creates the table if it does not exist."""
        self._ensure_metadata(table)
        return self.warehouse.make_folder(f"{table_folder(table.name)}/{DATA}")

    def side_folder(self, table: Table) -> str:
        """Return the path of the folder for the table's side files. Creates the table if it does not exist."""
        self._ensure_metadata(table)
        return self.warehouse.make_folder(f"{table_folder(table.name)}/{METADATA}")

    def write_side_file(self, table: Table, prefix: str, suffix: str, content: bytes) -> str:
        """Write a side file.

        Args:
            table: the table that it belongs to.
            prefix: start of the file name, such as "ledger".
            suffix: end of the file name.
            content: the content.

        Returns:
            The name to record.
        """
        name = self.warehouse.name_of(f"{self.side_folder(table)}/{prefix}-{own_uuid()}{suffix}")
        self.warehouse.create(name, content)
        return name

    def keep_side_file(self, path: str) -> str:
        """Make a side file durable that an engine wrote. Return the name to record."""
        self.warehouse.sync(path)
        return self.warehouse.name_of(path)

    def read_side_file(self, name: str) -> bytes:
        """Return the content of a side file by its recorded name."""
        return self.warehouse.read(name)

    def side_path(self, name: str) -> str:
        """Return the path of a side file by its recorded name."""
        return self.warehouse.path(name)

    def vacuum(self) -> None:
        """Remove what was deleted from the catalog's database for good.

        Raises:
            WarehouseError: the database can't be written.
        """
        with translate_storage_errors(f"catalog of warehouse {self.warehouse} can't be vacuumed"):
            self._reader.vacuum()

    def discard(self, written: Iterable[WrittenFile]) -> None:
        """Delete data files that will not be committed."""
        for file in written:
            self.warehouse.delete(self.warehouse.name_of(file.path))
