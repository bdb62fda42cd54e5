"""Write tables as JSON lines, as the feeds do."""

from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from stedi.model.sql import literal, quoted


class JsonWriter:
    """Writes tables as JSON lines, in order; absent values are left out, as the feeds do."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def write(self, rows: pa.Table, path: Path) -> None:
        """Write one file of one object a line."""
        self._connection.register("rows_to_write", rows)
        query = "SELECT * FROM rows_to_write"
        options = "FORMAT json"
        if any(column.null_count for column in rows.columns):
            fields = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in rows.column_names)
            # An object is written as such only without its null members.
            query = f"SELECT json_merge_patch('{{}}', to_json(struct_pack({fields}))) AS record FROM rows_to_write"
            options = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"
        self._connection.execute(f"COPY ({query}) TO {literal(str(path))} ({options})").fetchall()
        self._connection.unregister("rows_to_write")
