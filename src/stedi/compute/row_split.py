"""Split the rows of a table's data files by a condition, such as the landing files that they came from."""

from collections.abc import Sequence
from dataclasses import dataclass

from stedi.compute.backend import Backend
from stedi.model.data_files import DataFiles
from stedi.model.sql import literals
from stedi.model.table import Table


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


def split_rows(backend: Backend, table: Table, files: DataFiles, condition: str) -> RowSplit:
    """Split the rows of data files.

    Args:
        backend: reads the files.
        table: the table.
        files: its data files.
        condition: SQL condition over the table's rows. Rows for which it is null are kept.
    """
    paths: list[str] = []
    if files:
        scanned = backend.scan_with_filename(table, files)
        rows = backend.select(f"SELECT DISTINCT filename FROM ({scanned}) AS rows WHERE {condition}")
        paths = sorted(row["filename"] for row in rows)
    touched = files.part(paths)
    source = f"SELECT * FROM ({backend.scan(table, touched)}) AS r"
    return RowSplit(touched.paths, f"{source} WHERE {condition}", f"{source} WHERE NOT coalesce({condition}, false)")


def split_by_source(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> RowSplit:
    """Split a table's rows by whether they came from landing files of these names."""
    return split_rows(backend, table, files if sources else DataFiles(), _from_sources(sources))


def without_sources(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> str:
    """SQL query for a table's rows that did not come from landing files of these names."""
    return f"SELECT * FROM ({backend.scan(table, files)}) AS r WHERE NOT {_from_sources(sources)}"


def _from_sources(sources: Sequence[str]) -> str:
    return f"source_file IN ({literals(sources)})" if sources else "false"
