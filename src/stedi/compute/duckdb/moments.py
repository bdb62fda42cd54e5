"""Read true step times and phone positions from a file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from stedi.compute.duckdb.session import Session
from stedi.compute.duckdb.sql import plain
from stedi.errors import UsageError, WarehouseError
from stedi.model.sql import literal

Parameters = Callable[[], Mapping[str, str | bytes]]

_READERS = {
    ".csv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
    ".parquet": "read_parquet",
}


def moments(session: Session, path: Path, who: str, parameters: Parameters) -> list[dict[str, Any]]:
    """The sorted `moments` (ms since the epoch) of each `who`.

    Args:
        session: what reads the file.
        path: a file with the columns `user` and `timeStamp`.
        who: SQL over whom a row is about, `person`, for what they are to be known by.
        parameters: gives those that `who` reads; asked once the file is known to be good.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    columns = {"user": "VARCHAR", "timeStamp": "DOUBLE"}
    wanted = f'{who} AS who, list("timeStamp" ORDER BY "timeStamp") AS moments'
    return _read(session, path, columns, '"timeStamp" IS NOT NULL', wanted, parameters)


def stays(session: Session, path: Path, who: str, parameters: Parameters) -> list[dict[str, Any]]:
    """The `stays` of each `who`, by their beginnings: from_ms, to_ms (ms since the epoch) and the phone's position.

    Args:
        session: what reads the file.
        path: a file with the columns `user`, `from_ms`, `to_ms` and `position`.
        who: SQL over whom a row is about, `person`, for what they are to be known by.
        parameters: gives those that `who` reads; asked once the file is known to be good.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    columns = {"user": "VARCHAR", "from_ms": "DOUBLE", "to_ms": "DOUBLE", "position": "VARCHAR"}
    stay = "{'from_ms': from_ms, 'to_ms': to_ms, 'position': trim(position)}"
    good = "from_ms < to_ms AND trim(position) <> ''"
    return _read(session, path, columns, good, f"{who} AS who, list({stay} ORDER BY from_ms) AS stays", parameters)


def _read(
    session: Session, path: Path, columns: dict[str, str], good: str, wanted: str, parameters: Parameters
) -> list[dict[str, Any]]:
    named = ", ".join(columns)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"file {path} is neither .csv, .json nor .parquet; give it with the columns {named}")
    if not path.is_file():
        raise UsageError(f"file {path} does not exist; give the place of one with the columns {named}")
    typed = ", ".join(f'TRY_CAST("{name}" AS {kind}) AS "{name}"' for name, kind in columns.items())
    try:
        session.sql(f"CREATE OR REPLACE TEMP TABLE told AS SELECT {typed} FROM {reader}({literal(plain(str(path)))})")
    except (duckdb.Error, WarehouseError) as error:
        # The engine's message may quote the file's values.
        raise UsageError(
            f"file {path} can't be read ({type(error).__name__}); give it with the columns {named} (times in ms)"
        ) from None
    session.resolve("people", "person", 'SELECT "user" FROM told WHERE "user" IS NOT NULL')
    given = 'told LEFT JOIN people ON spelling = "user"'
    [(rows, sound)] = session.sql(f"SELECT count(*), count(*) FILTER ({good} AND identity IS NOT NULL) FROM {given}")
    if sound < rows:
        raise UsageError(
            f"{rows - sound:,} of {rows:,} rows of {path} lack a value, or end before they begin; "
            f"correct them: {named} (times in ms since the epoch, UTC)"
        )
    session.set_parameters(parameters())
    found = session.select(f"SELECT {wanted} FROM (SELECT *, identity AS person FROM {given}) AS given GROUP BY who")
    session.drop("told")
    session.drop("people")
    return found
