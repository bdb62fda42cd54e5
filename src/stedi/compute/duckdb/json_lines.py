"""Write Arrow tables as JSON lines."""

from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from stedi.model.sql import literal, quoted


class JsonLinesWriter:
    """Writes Arrow tables as JSON lines, in order. Null values are omitted, as in the real feeds."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def write(self, rows: pa.Table, path: Path) -> None:
        """Write a file with one object per line."""
        self._connection.register("rows_to_write", rows)
        query = "SELECT * FROM rows_to_write"
        options = "FORMAT json"
        if any(column.null_count for column in rows.columns):
            fields = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in rows.column_names)
            # FORMAT json writes null members. A merge patch drops them, and CSV without quotes writes its text unchanged.
            query = f"SELECT json_merge_patch('{{}}', to_json(struct_pack({fields}))) AS record FROM rows_to_write"
            options = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"
        self._connection.execute(f"COPY ({query}) TO {literal(str(path))} ({options})").fetchall()
        self._connection.unregister("rows_to_write")
