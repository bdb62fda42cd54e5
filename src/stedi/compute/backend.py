"""The interface of a compute backend, which runs SQL, reads files and writes files.

The pipeline, `stedi.compute.incremental` and `verify` use a backend through this protocol alone. `DuckDBBackend` is the
`embedded` engine of the settings, `SparkBackend` is `spark`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from stedi.ingest.landing_file import LandingFile
from stedi.model.column_types import ColumnType
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.feed import Feed
from stedi.model.table import Table


@dataclass(frozen=True)
class Ingested:
    """The records of landing files, as two relations of a backend.

    Attributes:
        landed: relation of the typed rows, with the columns of the landing table.
        quarantined: relation of the records that can't be used, with the columns of `quarantine`.
        counts: landed and quarantined rows by file name. A file that changed or vanished while it was read is missing.
        other_formats: the format by file name, of files that contain no JSON. They have no rows.
    """

    landed: str
    quarantined: str
    counts: Mapping[str, tuple[int, int]]
    other_formats: Mapping[str, str]


class Backend(Protocol):
    """Runs SQL over relations, reads landing files and data files, writes data files.

    Queries are SELECT statements in DuckDB's dialect. They may contain parameters, written `$name` (see `set_parameters`).
    A relation is a temporary table of the backend, or a query put before another by `stedi.compute.sql.with_relations`.
    Every method that runs SQL raises WarehouseError if memory or disk runs out, or if files are missing, damaged or
    refused by S3. Relations are gone when the context ends.
    """

    scratch: Path
    """Folder for temporary files."""

    def __enter__(self) -> Self:
        """Return the backend."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Free all resources."""
        ...

    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        """Set the values of the `$name` parameters of all later queries. Values never become part of a query's text."""
        ...

    def select(self, query: str) -> list[dict[str, Any]]:
        """Run a query; returns its rows by column name."""
        ...

    def materialize(self, relation: str, query: str) -> None:
        """Create a relation with the rows that a query returns now. Replaces a relation of this name."""
        ...

    def materialize_values(self, relation: str, columns: Iterable[tuple[str, ColumnType, Sequence[object]]]) -> None:
        """Create a relation with given values. Replaces a relation of this name.

        Args:
            relation: its name.
            columns: name, type and values of each column; all have equally many values. Values of type `timestamptz` are
                microseconds since the epoch.
        """
        ...

    def drop(self, relation: str) -> None:
        """Drop a relation, if it exists."""
        ...

    def checksum(self, columns: str) -> str:
        """SQL for a checksum of rows that does not depend on their order: an aggregate over a list of columns.

        Backends compute different checksums, so they are compared within one backend only.
        """
        ...

    def repeat_rows(self, columns: str, source: str, times: str) -> str:
        """SQL query for some columns of a source. Returns each row `times` times, a SQL expression for an integer > 0."""
        ...

    def scan(self, table: Table, files: DataFiles) -> str:
        """SQL query for a table's rows in some of its data files, without deleted rows.

        Without files it returns the table's columns and no rows.
        """
        ...

    def scan_with_filename(self, table: Table, files: DataFiles) -> str:
        """SQL query like that of `scan`, with the path of each row's file in the column `filename`. Needs a file."""
        ...

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        """Write a query's rows as Parquet files of a table, one folder per day if the table has a `day`. Commits nothing.

        Files contain Iceberg's field IDs, so readers do not depend on column names. Rows are sorted, except those of landing
        tables, which keep the order of their landing files.

        Args:
            table: declares the columns, the partitions and the order.
            query: its result has the table's columns, and those in `sort_by`.
            folder: path of the folder, on disk or in S3.
            sort_by: columns of the query to sort by instead of the table's `sort`.

        Returns:
            The files, with the statistics that Iceberg records. Empty files are left out.
        """
        ...

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """Read landing files, on disk or in S3. The caller must call `release` afterwards.

        Raises:
            LandingError: S3 or a file can't be read.
            OSError: temporary copies of files in S3 can't be written.
        """
        ...

    def release(self, feed: Feed) -> None:
        """Drop the relations of `ingest`."""
        ...
