"""Copy rows to Parquet files and JSON lines that other programs open, and read texts batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stedi.compute.duckdb.session import Session, interruptible
from stedi.compute.duckdb.sql import bind_parameters, paths
from stedi.model.sql import literal, quoted

_BATCH_ROWS = 10_000


def parquet_rows(file: Path) -> str:
    """SQL query for the rows of a Parquet file."""
    return f"SELECT * FROM read_parquet({paths([str(file)])}, hive_partitioning=false)"


def write_parquet(session: Session, query: str, file: Path) -> int:
    """Write the rows of a query as one Parquet file; return their number.

    Raises:
        WarehouseError: memory or disk runs out, or a file can't be read or written.
    """
    options = "FORMAT parquet, COMPRESSION zstd"
    [(rows,)] = session.sql(f"COPY ({bind_parameters(query)}) TO {literal(str(file))} ({options})")
    return int(rows)


def write_json_lines(session: Session, query: str, file: Path, *, times: Sequence[str] = ()) -> None:
    """Write the rows of a query as JSON, one object per line.

    Args:
        session: runs the query.
        query: the query.
        file: the file.
        times: columns of type `timestamptz`. They are written in ISO 8601, in UTC.

    Raises:
        WarehouseError: memory or disk runs out, or a file can't be read or written.
    """
    replaced = ", ".join(f"strftime({quoted(time)}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {quoted(time)}" for time in times)
    columns = f"* REPLACE ({replaced})" if times else "*"
    rows = f"SELECT {columns} FROM ({bind_parameters(query)}) AS q"
    session.sql(f"COPY ({rows}) TO {literal(str(file))} (FORMAT json)")


def stream_rows(session: Session, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query in bounded memory. Until the last one is read, the session runs no other query."""
    with interruptible():
        result = session.connection.execute(bind_parameters(query))
        while batch := result.fetchmany(_BATCH_ROWS):
            yield from batch
