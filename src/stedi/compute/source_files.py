"""Find the rows of a landing table that came from given landing files."""

from collections.abc import Sequence
from dataclasses import dataclass

from stedi.compute.backend import Backend
from stedi.model.data_files import DataFiles
from stedi.model.sql import literals
from stedi.model.table import Table


@dataclass(frozen=True)
class SourceSplit:
    """The rows of a table's data files, by whether they came from given landing files.

    Attributes:
        touched_files: paths of the data files that contain rows from them.
        removed: query for these rows.
        kept: query for the other rows of the touched files.
    """

    touched_files: tuple[str, ...]
    removed: str
    kept: str


def split_by_source(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> SourceSplit:
    """Find a table's rows that came from landing files of these names."""
    condition = _from_sources(sources)
    paths: list[str] = []
    if files and sources:
        scanned = backend.scan_with_filename(table, files)
        rows = backend.select(f"SELECT DISTINCT filename FROM ({scanned}) AS rows WHERE {condition}")
        paths = sorted(row["filename"] for row in rows)
    touched = files.part(paths)
    source = f"SELECT * FROM ({backend.scan(table, touched)}) AS r"
    return SourceSplit(touched.paths, f"{source} WHERE {condition}", f"{source} WHERE NOT {condition}")


def without_sources(backend: Backend, table: Table, files: DataFiles, sources: Sequence[str]) -> str:
    """SQL query for a table's rows that did not come from landing files of these names."""
    return f"SELECT * FROM ({backend.scan(table, files)}) AS r WHERE NOT {_from_sources(sources)}"


def _from_sources(sources: Sequence[str]) -> str:
    return f"source_file IN ({literals(sources)})" if sources else "false"
