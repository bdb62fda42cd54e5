"""SQL text for DuckDB alone. Paths are hostile too, so they are spelled here and nowhere else."""

import re
from collections.abc import Iterable

from stedi.model.data_files import DataFiles
from stedi.model.sql import columns, literals, no_rows
from stedi.model.table import Table

_PATTERN, _ITSELF = re.compile(r"[*?\[]"), r"[\g<0>]"
# Texts and names may hold what looks like one.
_PARAMETER = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|\$([a-z_]+)""")


def plain(path: str) -> str:
    """A file path in which the characters of patterns stand for themselves."""
    return _PATTERN.sub(_ITSELF, path)


def paths(files: Iterable[str]) -> str:
    """A SQL list of file paths, spelled so."""
    return f"[{literals(map(plain, files))}]"


def bound(query: str) -> str:
    """A query whose `$name` parameters read the session's variables."""
    return _PARAMETER.sub(lambda found: found[1] or f"getvariable('{found[2]}')", query)


def rows_with_file(files: DataFiles) -> str:
    """SQL source of a table's rows and, as `filename`, of the file that each lies in.

    Rows that another writer's position deletes name (file and row number) are left out.
    """
    options = "filename=true, hive_partitioning=false"
    if not files.deletes:
        return f"read_parquet({paths(files.paths)}, {options})"
    # Writers spell locations as file:/x and as file:///x.
    deleted = (
        "SELECT regexp_replace(file_path, '^file:/+', '/') AS filename, pos AS file_row_number "
        f"FROM read_parquet({paths(files.deletes)}, hive_partitioning=false)"
    )
    return (
        f"(SELECT data.* EXCLUDE (file_row_number) FROM read_parquet({paths(files.paths)}, {options}, "
        f"file_row_number=true) AS data ANTI JOIN ({deleted}) AS deleted USING (filename, file_row_number))"
    )


def rows(table: Table, files: DataFiles) -> str:
    """SQL query for a table's rows; an empty relation of the right columns where there are no files."""
    if not files:
        return no_rows(table)
    source = rows_with_file(files) if files.deletes else f"read_parquet({paths(files.paths)}, hive_partitioning=false)"
    return f"SELECT {columns(table)} FROM {source}"
