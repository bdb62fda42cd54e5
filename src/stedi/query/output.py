"""Write query results as CSV, JSON or Parquet, batch by batch in constant memory."""

import base64
import csv
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from stedi.compute.duckdb.query import QueryResult, values
from stedi.errors import QueryError

_CSV_OPTIONS = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")


def write_csv(result: QueryResult, out: IO[str]) -> None:
    """Write CSV with a header. Null is empty, nested values are JSON, bytes are base64."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    for batch in result.batches():
        columns = [_csv_column(column) for column in batch.columns]
        lines = pa.BufferOutputStream()
        flat = pa.record_batch(columns, names=[str(number) for number in range(len(columns))])
        pyarrow.csv.write_csv(flat, lines, _CSV_OPTIONS)
        out.write(lines.getvalue().to_pybytes().decode())


def write_json(result: QueryResult, out: IO[str]) -> None:
    """Write a JSON array with one object per row."""
    out.write("[")
    _write_array_items(
        out, (dict(zip(result.columns, row, strict=True)) for batch in result.batches() for row in _rows(batch))
    )
    out.write("]\n")


def write_columns_and_rows(result: QueryResult, out: IO[str]) -> None:
    """Write a JSON object with the column names and one array per row. Columns with the same name are kept."""
    out.write(f'{{"columns": {_json(result.columns)}, "rows": [')
    _write_array_items(out, (row for batch in result.batches() for row in _rows(batch)))
    out.write("]}\n")


def write_parquet(result: QueryResult, out: IO[bytes]) -> None:
    """Write a Parquet file. Repeated column names get a number, because readers look columns up by name.

    Raises:
        QueryError: Parquet has no type for a column.
    """
    schema = pa.schema(_with_distinct_names(result.schema))
    try:
        writer = pq.ParquetWriter(out, schema)
    except pa.ArrowNotImplementedError as error:
        raise QueryError(f"the result can't be written as Parquet: {error}; cast the column to VARCHAR") from error
    with writer:
        for batch in result.batches():
            writer.write_batch(pa.record_batch(batch.columns, schema=schema))


def _with_distinct_names(schema: pa.Schema) -> Iterator[pa.Field]:
    used: set[str] = set()
    for field in schema:
        name, number = field.name, 1
        while name in used:
            name, number = f"{field.name}_{number}", number + 1
        used.add(name)
        yield field.with_name(name)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*map(values, batch.columns), strict=True)


def _write_array_items(out: IO[str], items: Iterator[Any]) -> None:
    for number, item in enumerate(items):
        out.write((",\n" if number else "") + _json(item))


def _csv_column(column: pa.Array) -> pa.Array:
    """Convert a column to a type that Arrow can write as CSV."""
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pa.array([_csv_text(value) for value in values(column)], pa.string())
    return column


def _csv_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _json(value) if isinstance(value, list | dict) else str(_json_value(value))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_json_value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_with_nulls(value), default=_json_value, ensure_ascii=False, allow_nan=False)


def _json_value(value: Any) -> str | int | float:
    """Convert a value of a type that JSON lacks: decimals to numbers, bytes to base64, times to ISO 8601, others to text."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _with_nulls(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, with null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    return [_with_nulls(inner) for inner in value] if isinstance(value, list | tuple) else value
