"""Expire snapshots, and find orphan files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedi.catalog.catalog import Catalog
from stedi.catalog.metadata import TableMetadata
from stedi.storage import StoredFile
from stedi.storage.paths import plain_path, table_folder

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


def expire_snapshots(catalog: Catalog, name: str, keep: set[int]) -> int:
    """Expire the snapshots of a table, except those to keep and those of a branch or tag.

    The files of expired snapshots become orphans.

    Args:
        catalog: the catalog.
        name: the table.
        keep: IDs of the snapshots to keep.

    Returns:
        Number of expired snapshots.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return 0
    iceberg = catalog.iceberg.table(name, metadata)
    referenced = {reference.snapshot_id for reference in iceberg.refs().values()}
    expired = [snapshot_id for snapshot_id in metadata.snapshots if snapshot_id not in keep | referenced]
    if expired:
        catalog.iceberg.expire(name, metadata, expired)
        catalog.forget(name)
    return len(expired)


def orphan_files(catalog: Catalog, name: str) -> list[StoredFile]:
    """The files in a table's folder that neither its metadata nor any of its snapshots refers to."""
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return []
    referenced = set(_referenced_paths(catalog, metadata, catalog.iceberg.table(name, metadata)))
    files = catalog.warehouse.list(table_folder(name))
    return [file for file in files if catalog.warehouse.path(file.name) not in referenced]


@dataclass(frozen=True)
class DeletedFiles:
    """Deleted files: their number, and their size in bytes."""

    files: int = 0
    bytes: int = 0


def delete_everything_unreferenced(catalog: Catalog, name: str) -> DeletedFiles:
    """Delete all orphan files in a table's folder at once, whatever their age and their writer.

    Maintenance waits a day for other writers, who may commit such a file later. Their commit then fails, or refers to a
    missing file.

    Args:
        catalog: the catalog. The caller holds the write lock.
        name: the table.

    Raises:
        WarehouseBusyError: another run took over the write lock.
    """
    # Another writer may have committed meanwhile.
    catalog.forget(name)
    orphans = orphan_files(catalog, name)
    for file in orphans:
        catalog.warehouse.confirm_write_lock()
        catalog.warehouse.delete(file.name)
    catalog.warehouse.delete_empty_folders(table_folder(name))
    return DeletedFiles(len(orphans), sum(file.bytes for file in orphans))


def _referenced_paths(catalog: Catalog, metadata: TableMetadata, iceberg: "IcebergTable") -> Iterator[str]:
    """The paths of metadata files, statistics, side files, manifest lists, manifests and data files."""
    yield plain_path(iceberg.metadata_location)
    for entry in iceberg.metadata.metadata_log:
        yield plain_path(entry.metadata_file)
    for statistics in (*iceberg.metadata.statistics, *iceberg.metadata.partition_statistics):
        yield plain_path(statistics.statistics_path)
    for snapshot in metadata.snapshots.values():
        if snapshot.metadata is not None:
            yield from map(catalog.side_path, snapshot.metadata.side_files)
    manifests: set[str] = set()
    for iceberg_snapshot in iceberg.snapshots():
        yield plain_path(iceberg_snapshot.manifest_list)
        for manifest in iceberg_snapshot.manifests(iceberg.io):
            if manifest.manifest_path in manifests:
                continue
            manifests.add(manifest.manifest_path)
            yield plain_path(manifest.manifest_path)
            for file in catalog.iceberg.manifest_files(iceberg, manifest):
                yield plain_path(file.file_path)
