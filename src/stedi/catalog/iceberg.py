"""Tables as PyIceberg sees them: create them, list their data files, commit to them."""

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
from stedi.errors import CatalogMovedError
from stedi.model.table import Table
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.errors import translate_damage
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import location, plain_path, table_folder

if TYPE_CHECKING:
    from stedi.catalog.glue import GlueCatalog
    from stedi.catalog.sqlite import SqliteCatalog


@dataclass(frozen=True)
class Plan:
    """The files that a scan of a snapshot reads."""

    data: tuple[DataFile, ...]
    deletes: tuple[str, ...]


class IcebergTables:
    """The tables of one warehouse, each in the version that the caller's metadata gives."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._tables: dict[str, IcebergTable] = {}
        # Snapshots and manifests never change, so each is read once.
        self._plans: dict[int, Plan] = {}
        self._listed: dict[str, tuple[DataFile, ...]] = {}

    @cached_property
    def catalog(self) -> "SqliteCatalog | GlueCatalog":
        """PyIceberg's catalog, which commits go to: SQLite beside the data in a folder, or Glue's for data in S3."""
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
        """A table for reading. It needs no catalog, which takes SQLAlchemy or boto3."""
        table = self._tables.get(name)
        if table is None or table.metadata_location != metadata.location:
            with translate_damage(f"metadata of {name}"):
                parsed = TableMetadataUtil.parse_raw(metadata.text)
            identifier = (self._warehouse.database, name)
            table = IcebergTable(identifier, parsed, metadata.location, self._io, NoopCatalog(self._warehouse.database))
            self._tables[name] = table
        return table

    def table_for_commits(self, name: str, metadata: TableMetadata) -> IcebergTable:
        """The same table, with the catalog that commits go to."""
        table = self.table(name, metadata)
        table.catalog = self.catalog
        return table

    def create(self, table: Table) -> TableMetadata:
        """Create a table from its declaration."""
        # In a transaction, which names the metadata file as all commits do.
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
        """Remove and add data files in one atomic commit; returns the metadata that it wrote.

        Raises:
            CatalogMovedError: another writer committed to the table meanwhile.
        """
        iceberg = self.table_for_commits(table.name, metadata)
        doomed, before = set(commit.removed), self.plan(table.name, metadata)
        gone = [file for file in before.data if plain_path(file.file_path) in doomed]
        came = [as_data_file(written, iceberg.metadata) for written in commit.added]
        recorded = commit.metadata_after(metadata.current).encode()
        try:
            with CommitTransaction(iceberg) as transaction:
                update = transaction.update_snapshot(snapshot_properties={METADATA_KEY: recorded})
                with update.overwrite() if gone else update.merge_append() as producer:
                    producer.commit_uuid = own_uuid()
                    for data_file in gone:
                        producer.delete_data_file(data_file)
                    for written, data_file in zip(commit.added, came, strict=True):
                        self._warehouse.sync(written.path)
                        producer.append_data_file(data_file)
        except (CommitFailedException, ValidationException):
            raise CatalogMovedError(f"table {table.name} was changed by another writer during this run; run again") from None
        committed = _metadata(iceberg)
        if not before.deletes and committed.current_id is not None:
            stays = (file for file in before.data if plain_path(file.file_path) not in doomed)
            self._plans[committed.current_id] = Plan((*stays, *came), ())
        return committed

    def expire(self, name: str, metadata: TableMetadata, snapshot_ids: Sequence[int]) -> None:
        """Expire snapshots of a table in one commit."""
        self.table_for_commits(name, metadata).maintenance.expire_snapshots().by_ids(list(snapshot_ids)).commit()

    def plan(self, name: str, metadata: TableMetadata, snapshot_id: int | None = None) -> Plan:
        """The files of a table at one of its snapshots, by default the current one."""
        snapshot_id = metadata.current_id if snapshot_id is None else snapshot_id
        if snapshot_id is None or snapshot_id not in metadata.snapshots:
            return Plan((), ())
        if snapshot_id not in self._plans:
            iceberg = self.table(name, metadata)
            snapshot = iceberg.snapshot_by_id(snapshot_id)
            assert snapshot is not None
            with translate_damage(f"list of the files of table {name}"):
                listed = [file for manifest in snapshot.manifests(iceberg.io) for file in self.listed_by(iceberg, manifest)]
            if all(file.content is DataFileContent.DATA for file in listed):
                self._plans[snapshot_id] = Plan(tuple(listed), ())
            else:
                # Only a scan matches another writer's deletes with data files.
                tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
                self._plans[snapshot_id] = Plan(
                    tuple(task.file for task in tasks),
                    tuple({delete.file_path for task in tasks for delete in task.delete_files}),
                )
        return self._plans[snapshot_id]

    def listed_by(self, iceberg: IcebergTable, manifest: ManifestFile) -> tuple[DataFile, ...]:
        """The files that a manifest of a table lists."""
        if manifest.manifest_path not in self._listed:
            entries = manifest.fetch_manifest_entry(iceberg.io, discard_deleted=True)
            self._listed[manifest.manifest_path] = tuple(entry.data_file for entry in entries)
        return self._listed[manifest.manifest_path]


def _metadata(iceberg: IcebergTable) -> TableMetadata:
    """The metadata that a commit wrote, in the form in which it is read from the file."""
    return TableMetadata.parse(iceberg.metadata_location, iceberg.metadata.model_dump_json())
