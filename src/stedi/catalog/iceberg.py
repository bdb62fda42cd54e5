"""Create tables, list their data files and commit to them with PyIceberg."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadataUtil

from stedi.catalog.data_file import as_data_file
from stedi.catalog.metadata import TableMetadata
from stedi.catalog.schema import PROPERTIES, iceberg_schema, partition_spec, sort_order
from stedi.catalog.snapshot import METADATA_KEY, Commit
from stedi.catalog.transaction import CommitTransaction
from stedi.errors import CommitConflictError, WarehouseError
from stedi.model.table import Table
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.errors import translate_damage
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import location, plain_path, table_folder

if TYPE_CHECKING:
    from stedi.catalog.glue import GlueCatalog
    from stedi.catalog.sqlite import SqliteCatalog


@dataclass(frozen=True)
class ScanPlan:
    """The files that a scan of a snapshot reads.

    Attributes:
        data_files: the data files.
        delete_files: paths of the delete files, all from other writers.
    """

    data_files: tuple[DataFile, ...]
    delete_files: tuple[str, ...] = ()


class IcebergTables:
    """The tables of one warehouse in PyIceberg. The caller passes the metadata, and so selects the version of a table."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._tables: dict[str, IcebergTable] = {}
        # Snapshots and manifests never change, so each is read once.
        self._scan_plans: dict[int, ScanPlan] = {}
        self._manifest_files: dict[str, tuple[DataFile, ...]] = {}

    @cached_property
    def catalog(self) -> "SqliteCatalog | GlueCatalog":
        """PyIceberg's catalog for commits: SQLite for a warehouse in a folder, Glue for one in S3."""
        if isinstance(self._warehouse, WarehouseFolder):
            from stedi.catalog.sqlite import SqliteCatalog

            return SqliteCatalog(self._warehouse)
        from stedi.catalog.glue import GlueCatalog

        return GlueCatalog(self._warehouse)

    @cached_property
    def _io(self) -> FileIO:
        if isinstance(self._warehouse, WarehouseFolder):
            from stedi.catalog.local_files import LocalFileIO

            return LocalFileIO()
        from stedi.catalog.glue import WarehouseFileIO

        return WarehouseFileIO(self._warehouse)

    def close(self) -> None:
        """Close the catalog's connections, if it was opened."""
        if "catalog" in self.__dict__:
            self.catalog.close()

    def table(self, name: str, metadata: TableMetadata) -> IcebergTable:
        """Return a table for reading. It has no catalog, so SQLAlchemy and boto3 are not imported."""
        table = self._tables.get(name)
        if table is None or table.metadata_location != metadata.location:
            with translate_damage(f"metadata of {name}"):
                parsed = TableMetadataUtil.parse_raw(metadata.text)
            identifier = (self._warehouse.database, name)
            table = IcebergTable(identifier, parsed, metadata.location, self._io, NoopCatalog(self._warehouse.database))
            self._tables[name] = table
        return table

    def table_for_commits(self, name: str, metadata: TableMetadata) -> IcebergTable:
        """Return a table with its catalog, for commits."""
        table = self.table(name, metadata)
        table.catalog = self.catalog
        return table

    def create(self, table: Table) -> TableMetadata:
        """Create a table from its declaration. Return its metadata."""
        # `create_table` would write the metadata file without STEDI's suffix.
        transaction = self.catalog.create_table_transaction(
            (self._warehouse.database, table.name),
            iceberg_schema(table),
            location=location(self._warehouse.path(table_folder(table.name))),
            partition_spec=partition_spec(table),
            sort_order=sort_order(table),
            properties=PROPERTIES | {"comment": f"{table.meaning}; one row is {table.grain}"},
        )
        transaction.commit_transaction()
        created = self._tables[table.name] = self.catalog.load_table((self._warehouse.database, table.name))
        return _metadata(created)

    def commit(self, table: Table, metadata: TableMetadata, commit: Commit) -> TableMetadata:
        """Remove and add data files in one atomic commit.

        Args:
            table: the table.
            metadata: the table's metadata that the commit is based on.
            commit: the files to remove and add, and the commit metadata.

        Returns:
            The table's metadata after the commit.

        Raises:
            CommitConflictError: another writer committed to the table at the same time.
        """
        iceberg = self.table_for_commits(table.name, metadata)
        before, removed_paths = self.plan_scan(table.name, metadata), set(commit.removed)
        removed = [file for file in before.data_files if plain_path(file.file_path) in removed_paths]
        added = [as_data_file(written, iceberg.metadata) for written in commit.added]
        properties = {METADATA_KEY: commit.metadata_after(metadata.current).encode()}
        for written in commit.added:
            self._warehouse.sync(written.path)
        try:
            with CommitTransaction(iceberg) as transaction:
                update = transaction.update_snapshot(snapshot_properties=properties)
                with update.overwrite() if removed else update.merge_append() as producer:
                    producer.commit_uuid = own_uuid()
                    for file in removed:
                        producer.delete_data_file(file)
                    for file in added:
                        producer.append_data_file(file)
        except (CommitFailedException, ValidationException):
            raise _conflict(table.name) from None
        committed = _metadata(iceberg)
        if not before.delete_files and committed.current_id is not None:
            kept = (file for file in before.data_files if plain_path(file.file_path) not in removed_paths)
            self._scan_plans[committed.current_id] = ScanPlan((*kept, *added))
        return committed

    def expire(self, name: str, metadata: TableMetadata, snapshot_ids: Sequence[int]) -> None:
        """Expire snapshots of a table in one commit."""
        self.table_for_commits(name, metadata).maintenance.expire_snapshots().by_ids(list(snapshot_ids)).commit()

    def replace_metadata(self, name: str, metadata: TableMetadata, text: str) -> None:
        """Write a metadata file, and make it the current one of a table. Its snapshots may have other files than before.

        Args:
            name: the table.
            metadata: the metadata that it replaces.
            text: the JSON text of the new file.

        Raises:
            CommitConflictError: another writer committed to the table at the same time.
        """
        # A file that readers can't parse must not become the current one.
        TableMetadataUtil.parse_raw(text)
        folder, _, file_name = metadata.location.rpartition("/")
        version = int(found[0]) if (found := re.search(r"\d+", file_name)) else 0
        new_location = f"{folder}/{version + 1:05d}-{own_uuid()}.metadata.json"
        with self._io.new_output(new_location).create() as file:
            file.write(text.encode())
        try:
            self.catalog.swap_metadata(self._warehouse.database, name, metadata.location, new_location)
        except CommitFailedException:
            raise _conflict(name) from None
        for snapshot_id in metadata.snapshots:
            self._scan_plans.pop(snapshot_id, None)

    def plan_scan(self, name: str, metadata: TableMetadata, snapshot_id: int | None = None) -> ScanPlan:
        """Return the files of a table at a snapshot, by default the current one. An unknown snapshot has none.

        Raises:
            WarehouseError: a manifest is damaged, or another writer has left equality deletes.
        """
        snapshot_id = metadata.current_id if snapshot_id is None else snapshot_id
        if snapshot_id is None or snapshot_id not in metadata.snapshots:
            return ScanPlan(())
        if snapshot_id not in self._scan_plans:
            iceberg = self.table(name, metadata)
            snapshot = iceberg.snapshot_by_id(snapshot_id)
            assert snapshot is not None
            with translate_damage(f"file list of {name}"):
                files = [
                    file for manifest in snapshot.manifests(iceberg.io) for file in self.manifest_files(iceberg, manifest)
                ]
            if all(file.content is DataFileContent.DATA for file in files):
                self._scan_plans[snapshot_id] = ScanPlan(tuple(files))
            elif any(file.content is DataFileContent.EQUALITY_DELETES for file in files):
                raise WarehouseError(
                    f"table {name} has equality deletes of another writer, which can't be read; "
                    "apply them with Spark's rewrite_data_files, then try again"
                )
            else:
                # Delete files of another writer. Only a scan finds the data files that they apply to.
                tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
                self._scan_plans[snapshot_id] = ScanPlan(
                    tuple(task.file for task in tasks),
                    tuple({delete.file_path for task in tasks for delete in task.delete_files}),
                )
        return self._scan_plans[snapshot_id]

    def manifest_files(self, iceberg: IcebergTable, manifest: ManifestFile) -> tuple[DataFile, ...]:
        """Return the live files that a manifest of a table lists."""
        if manifest.manifest_path not in self._manifest_files:
            entries = manifest.fetch_manifest_entry(iceberg.io, discard_deleted=True)
            self._manifest_files[manifest.manifest_path] = tuple(entry.data_file for entry in entries)
        return self._manifest_files[manifest.manifest_path]


def _conflict(name: str) -> CommitConflictError:
    return CommitConflictError(f"table {name} was changed by another writer during this run; run again")


def _metadata(iceberg: IcebergTable) -> TableMetadata:
    """Return the metadata that a commit wrote, as if read from its file."""
    return TableMetadata.parse(iceberg.metadata_location, iceberg.metadata.model_dump_json())
