"""The data files that DuckDB's COPY wrote, with their statistics."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stedi.model.column_types import ColumnType
from stedi.model.data_files import ColumnStatistics, Value, WrittenFile
from stedi.model.sql import quoted
from stedi.model.table import Table

_EPOCH = datetime.fromtimestamp(0, UTC)


def written_files(table: Table, copy_result: Sequence[Sequence[Any]]) -> list[WrittenFile]:
    """Parse the rows that COPY returns with RETURN_STATS, one for each file. Empty files are left out."""
    return [
        WrittenFile(
            path,
            rows,
            size,
            {c.name: _statistics(statistics[quoted(c.name)], c.type) for c in table.columns},
            int(partition["day_ms"]) if table.day else None,
        )
        for path, rows, size, _, statistics, partition, *_ in copy_result
        if rows > 0
    ]


def _statistics(texts: Mapping[str, str], column_type: ColumnType) -> ColumnStatistics:
    return ColumnStatistics(
        int(texts["column_size_bytes"]),
        int(texts["num_values"]),
        int(texts["null_count"]),
        int(texts["nan_count"]) if "nan_count" in texts else None,
        _value(texts["min"], column_type) if "min" in texts else None,
        _value(texts["max"], column_type) if "max" in texts else None,
    )


def _value(text: str, column_type: ColumnType) -> Value | None:
    """Parse a bound. Other types have none: readers then skip no file by the values of such a column."""
    if column_type == "timestamptz":
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    if column_type == "boolean":
        return bool(int(text))
    if column_type == "double":
        return float(text)
    if column_type in ("long", "int"):
        return int(text)
    return text if column_type == "string" else None
