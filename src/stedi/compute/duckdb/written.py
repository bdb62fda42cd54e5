"""What the engine says of the files that it wrote."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stedi.model.column_types import ColumnType
from stedi.model.data_files import ColumnStatistics, Value, WrittenFile
from stedi.model.sql import quoted
from stedi.model.table import Table

_EPOCH = datetime.fromtimestamp(0, UTC)


def written_files(table: Table, returned: Sequence[Sequence[Any]]) -> list[WrittenFile]:
    """The table's files out of the rows that COPY returns with RETURN_STATS; empty ones are left out."""
    return [
        WrittenFile(
            path,
            rows,
            size,
            {c.name: _statistics(statistics[quoted(c.name)], c.type) for c in table.columns},
            int(partition["day_ms"]) if table.day else None,
        )
        for path, rows, size, _, statistics, partition, *_ in returned
        if rows > 0
    ]


def _statistics(said: Mapping[str, str], kind: ColumnType) -> ColumnStatistics:
    return ColumnStatistics(
        int(said["column_size_bytes"]),
        int(said["num_values"]),
        int(said["null_count"]),
        int(said["nan_count"]) if "nan_count" in said else None,
        _value(said["min"], kind) if "min" in said else None,
        _value(said["max"], kind) if "max" in said else None,
    )


def _value(text: str, kind: ColumnType) -> Value:
    if kind == "timestamptz":
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    if kind == "boolean":
        return bool(int(text))
    if kind == "double":
        return float(text)
    return text if kind == "string" else int(text)
