"""What keeps a table's folder small: expired snapshots, and files that nothing names any more."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stedi.catalog.catalog import Catalog
from stedi.catalog.metadata import TableMetadata
from stedi.storage import StoredFile
from stedi.storage.paths import plain_path, table_folder

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


def expire(catalog: Catalog, name: str, keep: set[int]) -> int:
    """Forget all snapshots of a table but some (never the current one); returns how many.

    Their files stay until `unnamed_files` finds them.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return 0
    iceberg = catalog.iceberg.table(name, metadata)
    referenced = {reference.snapshot_id for reference in iceberg.refs().values()}
    doomed = [snapshot_id for snapshot_id in metadata.snapshots if snapshot_id not in keep | referenced]
    if doomed:
        catalog.iceberg.expire(name, metadata, doomed)
        catalog.forget(name)
    return len(doomed)


def unnamed_files(catalog: Catalog, name: str) -> list[StoredFile]:
    """Files in a table's folder that no snapshot, no metadata and no commit names."""
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return []
    named = set(_named(catalog, metadata, catalog.iceberg.table(name, metadata)))
    return [file for file in catalog.warehouse.list(table_folder(name)) if catalog.warehouse.path(file.name) not in named]


def _named(catalog: Catalog, metadata: TableMetadata, iceberg: "IcebergTable") -> Iterator[str]:
    """The paths of all files that something names."""
    yield plain_path(iceberg.metadata_location)
    for entry in iceberg.metadata.metadata_log:
        yield plain_path(entry.metadata_file)
    for statistics in iceberg.metadata.statistics:
        yield plain_path(statistics.statistics_path)
    for ours in (snapshot.metadata for snapshot in metadata.snapshots.values()):
        yield from map(catalog.side_path, ours.side_files if ours else ())
    seen: set[str] = set()
    for snapshot in iceberg.snapshots():
        yield plain_path(snapshot.manifest_list)
        for manifest in snapshot.manifests(iceberg.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield plain_path(manifest.manifest_path)
            for file in catalog.iceberg.manifest_files(iceberg, manifest):
                yield plain_path(file.file_path)
