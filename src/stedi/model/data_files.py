"""Data files of a table, and the statistics of written ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

# A column bound.
Value = str | int | float | bool


@dataclass(frozen=True)
class DataFiles:
    """The files of a table's snapshot, or some of them.

    STEDI writes no position-delete files. Athena and other engines do, and readers have to apply them.

    Attributes:
        paths: paths of the Parquet data files.
        deletes: paths of the position-delete files.
        snapshot_id: the Iceberg snapshot that lists the files; None for files outside a catalog.
        is_part: whether `paths` lists only some of the snapshot's data files.
    """

    paths: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    snapshot_id: int | None = None
    is_part: bool = False

    def __bool__(self) -> bool:
        """Whether there are data files."""
        return bool(self.paths)

    def part(self, paths: Iterable[str]) -> "DataFiles":
        """Select some of the data files, with the same delete files."""
        return replace(self, paths=tuple(paths), is_part=True)


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of one column of a data file, as an Iceberg manifest has them.

    Attributes:
        bytes: size on disk.
        values: number of values, nulls included.
        nulls: number of nulls.
        nans: number of NaNs; None unless the column is a double.
        lowest: lower bound, None if unknown. A time is in microseconds since the epoch.
        highest: upper bound, likewise.
    """

    bytes: int
    values: int
    nulls: int
    nans: int | None
    lowest: Value | None
    highest: Value | None


@dataclass(frozen=True)
class WrittenFile:
    """A Parquet file that an engine wrote for a table.

    Attributes:
        path: where the file is.
        rows: number of rows.
        bytes: size on disk.
        columns: statistics by column name.
        day_ms: start of the day of the file's partition (ms since the epoch, UTC); None without partitions.
    """

    path: str
    rows: int
    bytes: int
    columns: Mapping[str, ColumnStatistics]
    day_ms: int | None = None
