"""Split the rows of a table's data files by a condition, such as the landing files that they came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stedi.compute.backend import Backend
from stedi.model.data_files import DataFiles
from stedi.model.sql import literals
from stedi.model.table import Table


@dataclass(frozen=True)
class Removal:
    """Which rows of a table to remove, and what remains of them.

    Attributes:
        condition: SQL condition over the table's rows. Rows for which it is null are kept.
        redacted: given a query for removed rows, returns a query for what remains of them; None if nothing does.
    """

    condition: str
    redacted: Callable[[str], str] | None = None

    def removed(self, rows: str) -> str:
        """SQL query for the rows to remove, of a query's rows."""
        return f"SELECT * FROM ({rows}) AS r WHERE {self.condition}"

    def kept(self, rows: str) -> str:
        """SQL query for the rows that remain of a query's rows."""
        kept = f"SELECT * FROM ({rows}) AS r WHERE NOT coalesce({self.condition}, false)"
        return kept if self.redacted is None else f"{kept} UNION ALL {self.redacted(self.removed(rows))}"


@dataclass(frozen=True)
class RowSplit:
    """The rows of a table's data files, by a condition.

    Attributes:
        touched_files: paths of the data files that contain rows for which the condition is true.
        removed: query for these rows.
        kept: query for the other rows of the touched files.
    """

    touched_files: tuple[str, ...]
    removed: str
    kept: str


def split_rows(backend: Backend, table: Table, files: DataFiles, removal: Removal) -> RowSplit:
    """Split the rows of data files.

    Args:
        backend: reads the files.
        table: the table.
        files: its data files.
        removal: which rows to remove.
    """
    paths: list[str] = []
    if files:
        scanned = backend.scan_with_filename(table, files)
        rows = backend.select(f"SELECT DISTINCT filename FROM ({scanned}) AS rows WHERE {removal.condition}")
        paths = sorted(row["filename"] for row in rows)
    touched = files.part(paths)
    source = backend.scan(table, touched)
    return RowSplit(touched.paths, removal.removed(source), removal.kept(source))


def split_by_source(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> RowSplit:
    """Split a table's rows by whether they came from landing files of these names."""
    return split_rows(backend, table, files if sources else DataFiles(), Removal(_from_sources(sources)))


def without_sources(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> str:
    """SQL query for a table's rows that did not come from landing files of these names."""
    return f"SELECT * FROM ({backend.scan(table, files)}) AS r WHERE NOT {_from_sources(sources)}"


def _from_sources(sources: Sequence[str]) -> str:
    return f"source_file IN ({literals(sources)})" if sources else "false"
