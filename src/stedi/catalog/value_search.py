"""The data files of each snapshot that may contain certain values, by the column bounds in the manifests."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stedi.catalog.catalog import Catalog
from stedi.model.data_files import DataFiles
from stedi.storage.paths import plain_path

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile


def files_by_snapshot(
    catalog: Catalog, name: str, column: str | None = None, values: Sequence[str] = ()
) -> dict[int, DataFiles]:
    """Return the data files of each unexpired snapshot of a table that may contain one of some values.

    All snapshots count: also those of a run that did not finish, and those of branches. Each manifest is read once.

    Args:
        catalog: the catalog.
        name: the table.
        column: a text column whose bounds decide; None for all files.
        values: the values to look for in it.

    Returns:
        The files by snapshot ID, oldest snapshot first; no snapshot if the table does not exist.

    Raises:
        WarehouseError: a manifest is damaged.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return {}
    field_id = None
    if column is not None:
        field_id = catalog.iceberg.table(name, metadata).schema().find_field(column).field_id
    encoded = sorted(value.encode() for value in values)
    files: dict[int, DataFiles] = {}
    for snapshot in sorted(metadata.snapshots.values(), key=lambda snapshot: snapshot.sequence_number):
        scan = catalog.iceberg.plan_scan(name, metadata, snapshot.id)
        candidates = (file for file in scan.data_files if field_id is None or may_contain(file, field_id, encoded))
        files[snapshot.id] = DataFiles(
            tuple(sorted(plain_path(file.file_path) for file in candidates)),
            tuple(sorted(plain_path(path) for path in scan.delete_files)),
            snapshot.id,
            is_part=True,
        )
    return files


def may_contain(file: "DataFile", field_id: int, values: Sequence[bytes]) -> bool:
    """Whether the bounds of a text column admit one of some sorted values."""
    return bounds_admit((file.lower_bounds or {}).get(field_id), (file.upper_bounds or {}).get(field_id), values)


def bounds_admit(lower: bytes | None, upper: bytes | None, values: Sequence[bytes]) -> bool:
    """Whether a lower and an upper bound of text admit one of some sorted values. UTF-8 sorts as bytes like the text does.

    Bounds are cut after some characters. A cut lower bound sorts before the values, and writers raise a cut upper bound.
    """
    first = 0 if lower is None else bisect_left(values, lower)
    return first < len(values) and (upper is None or values[first] <= upper)
