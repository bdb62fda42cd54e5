"""SQL text for DuckDB alone. Paths may contain anything, so they are escaped here and nowhere else."""

import re
from collections.abc import Iterable

from stedi.compute.sql import COMMENT_OR_TEXT
from stedi.model.data_files import DataFiles
from stedi.model.sql import columns, literals, no_rows
from stedi.model.table import Table

_PATTERN, _ITSELF = re.compile(r"[*?\[]"), r"[\g<0>]"
# Comments, string literals and quoted names are matched first, because they may contain a dollar sign.
_PARAMETER = re.compile(rf"""({COMMENT_OR_TEXT}|"(?:[^"]|"")*")|\$([a-z_]+)""")


def escape_glob(path: str) -> str:
    """Escape the characters of a file path that are special in glob patterns."""
    return _PATTERN.sub(_ITSELF, path)


def paths(files: Iterable[str]) -> str:
    """SQL list of file paths, escaped."""
    return f"[{literals(map(escape_glob, files))}]"


def bind_parameters(query: str) -> str:
    """Replace the `$name` parameters of a query by session variables."""
    return _PARAMETER.sub(lambda match: match[1] or f"getvariable('{match[2]}')", query)


def scan(table: Table, files: DataFiles) -> str:
    """SQL query for a table's rows in some of its data files. Without files it returns the table's columns and no rows."""
    if not files:
        return no_rows(table)
    if files.deletes:
        return f"SELECT {columns(table)} FROM ({scan_with_filename(files)}) AS rows"
    return f"SELECT {columns(table)} FROM read_parquet({paths(files.paths)}, hive_partitioning=false)"


def scan_with_filename(files: DataFiles) -> str:
    """SQL query for the rows of data files, with the path of each row's file in the column `filename`.

    Leaves out the rows that other writers' position-delete files list, by file and row number.
    """
    options = "filename=true, hive_partitioning=false"
    if not files.deletes:
        return f"SELECT * FROM read_parquet({paths(files.paths)}, {options})"
    # Writers spell locations as file:/x and as file:///x.
    deleted = (
        "SELECT regexp_replace(file_path, '^file:/+', '/') AS filename, pos AS file_row_number "
        f"FROM read_parquet({paths(files.deletes)}, hive_partitioning=false)"
    )
    return (
        f"SELECT data.* EXCLUDE (file_row_number) FROM read_parquet({paths(files.paths)}, {options}, "
        f"file_row_number=true) AS data ANTI JOIN ({deleted}) AS deleted USING (filename, file_row_number)"
    )
