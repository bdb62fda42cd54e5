"""Inputs of the decision to compact: sizes of a table's data files, and manifests without live files."""

from dataclasses import dataclass

from stedi.catalog.catalog import Catalog
from stedi.storage.paths import plain_path


@dataclass(frozen=True)
class DataFileSize:
    """A data file of a table.

    Attributes:
        path: its path.
        partition: its partition, as text.
        bytes: its size.
        has_deletes: whether another writer deleted some of its rows with a delete file.
    """

    path: str
    partition: str
    bytes: int
    has_deletes: bool


def data_file_sizes(catalog: Catalog, name: str) -> list[DataFileSize]:
    """Return the data files of a table's current snapshot."""
    metadata = catalog.table_metadata(name)
    if metadata is None or metadata.current is None:
        return []
    return [
        DataFileSize(
            plain_path(task.file.file_path),
            str(task.file.partition),
            task.file.file_size_in_bytes,
            bool(task.delete_files),
        )
        for task in catalog.iceberg.table(name, metadata).scan().plan_files()
    ]


def count_empty_manifests(catalog: Catalog, name: str) -> int:
    """Count the manifests of a table's current snapshot that list no live file.

    A commit that replaces files leaves one. PyIceberg keeps it until a commit that only adds files merges manifests.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None or metadata.current is None:
        return 0
    iceberg = catalog.iceberg.table(name, metadata)
    snapshot = iceberg.current_snapshot()
    manifests = snapshot.manifests(iceberg.io) if snapshot else []
    return sum(not (manifest.added_files_count or manifest.existing_files_count) for manifest in manifests)
