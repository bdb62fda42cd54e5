"""Query results as CSV, JSON and Parquet, written batch by batch in constant memory."""

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

_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")


def write_csv(result: QueryResult, out: IO[str]) -> None:
    """A header, then a line a row; null is empty, nested values are JSON."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    for batch in result.batches():
        columns = [_flat(column) for column in batch.columns]
        lines = pa.BufferOutputStream()
        write_batch = pa.record_batch(columns, names=[str(number) for number in range(len(columns))])
        pyarrow.csv.write_csv(write_batch, lines, _CSV)
        out.write(lines.getvalue().to_pybytes().decode())


def write_json(result: QueryResult, out: IO[str]) -> None:
    """One array with an object a row."""
    out.write("[")
    _write_all(out, (dict(zip(result.columns, row, strict=True)) for batch in result.batches() for row in _rows(batch)))
    out.write("]\n")


def write_columns_and_rows(result: QueryResult, out: IO[str]) -> None:
    """One object: the names of the columns, and an array a row; repeated names are kept apart by their place."""
    out.write(f'{{"columns": {_json(result.columns)}, "rows": [')
    _write_all(out, (row for batch in result.batches() for row in _rows(batch)))
    out.write("]}\n")


def write_parquet(result: QueryResult, out: IO[bytes]) -> None:
    """A Parquet file.

    Raises:
        QueryError: Parquet has no such type.
    """
    schema = pa.schema(_distinct(result.schema))
    try:
        writer = pq.ParquetWriter(out, schema)
    except pa.ArrowNotImplementedError as error:
        raise QueryError(f"the result can't be Parquet: {error}") from error
    with writer:
        for batch in result.batches():
            writer.write_batch(pa.record_batch(batch.columns, schema=schema))


def _distinct(schema: pa.Schema) -> Iterator[pa.Field]:
    """The fields under names of their own: readers of Parquet go by names."""
    taken: set[str] = set()
    for field in schema:
        name, number = field.name, 1
        while name in taken:
            name, number = f"{field.name}_{number}", number + 1
        taken.add(name)
        yield field.with_name(name)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*map(values, batch.columns), strict=True)


def _write_all(out: IO[str], values: Iterator[Any]) -> None:
    for number, value in enumerate(values):
        out.write((",\n" if number else "") + _json(value))


def _flat(column: pa.Array) -> pa.Array:
    """A column as CSV can hold it."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return pa.array([_cell(value) for value in values(column)], pa.string())
    return column


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _json(value) if isinstance(value, list | dict) else str(_plain(value))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=_plain, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> str | int | float:
    """What JSON has no type for: sums as numbers, bytes as base64, times in ISO 8601, the rest as its text."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    """NaN and infinity, which JSON does not know, as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
