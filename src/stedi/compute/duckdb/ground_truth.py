"""Read ground-truth files: true step times, and the positions of phones."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from stedi.compute.duckdb.session import Session
from stedi.compute.duckdb.sql import escape_glob
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


def read_step_times(session: Session, path: Path, person: str, parameters: Parameters) -> dict[str, list[float]]:
    """Read step times: sorted times (ms since the epoch, UTC) by person.

    Args:
        session: DuckDB.
        path: a file with the columns `user` and `timeStamp` (ms since the epoch, UTC).
        person: SQL expression over the column `person`, such as a pseudonym.
        parameters: returns the parameters of `person`; called once the file is known to be valid.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    columns = {"user": "VARCHAR", "timeStamp": "DOUBLE"}
    times = 'list("timeStamp" ORDER BY "timeStamp")'
    return _read(session, path, columns, '"timeStamp" IS NOT NULL', person, times, parameters)


def read_positions(session: Session, path: Path, person: str, parameters: Parameters) -> dict[str, list[dict[str, Any]]]:
    """Read the positions of phones: dicts of `from_ms`, `to_ms` (ms since the epoch, UTC) and `position`, by person.

    Args:
        session: DuckDB.
        path: a file with the columns `user`, `from_ms`, `to_ms` and `position`.
        person: SQL expression over the column `person`, such as a pseudonym.
        parameters: returns the parameters of `person`; called once the file is known to be valid.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    columns = {"user": "VARCHAR", "from_ms": "DOUBLE", "to_ms": "DOUBLE", "position": "VARCHAR"}
    is_valid = "from_ms < to_ms AND trim(position) <> ''"
    positions = "list({'from_ms': from_ms, 'to_ms': to_ms, 'position': trim(position)} ORDER BY from_ms)"
    return _read(session, path, columns, is_valid, person, positions, parameters)


def _read(
    session: Session,
    path: Path,
    columns: Mapping[str, str],
    is_valid: str,
    person: str,
    values: str,
    parameters: Parameters,
) -> dict[str, Any]:
    """Read a file and aggregate its rows by person.

    Args:
        session: DuckDB.
        path: the file.
        columns: SQL type by column.
        is_valid: SQL condition for a valid row.
        person: SQL expression over the column `person`.
        values: SQL aggregate over a person's rows.
        parameters: returns the parameters of `person`.
    """
    names = ", ".join(columns)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"file {path} is neither .csv, .json nor .parquet; give one with the columns {names}")
    if not path.is_file():
        raise UsageError(f"file {path} does not exist; give the path of one with the columns {names}")
    converted = ", ".join(f'TRY_CAST("{name}" AS {sql_type}) AS "{name}"' for name, sql_type in columns.items())
    source = f"{reader}({literal(escape_glob(str(path)))})"
    try:
        session.sql(f"CREATE OR REPLACE TEMP TABLE truth AS SELECT {converted} FROM {source}")
    except (duckdb.Error, WarehouseError) as error:
        # DuckDB's message may quote values of the file.
        raise UsageError(
            f"file {path} can't be read ({type(error).__name__}); give one with the columns {names} (times in ms)"
        ) from None
    session.create_identities("people", "person", 'SELECT "user" FROM truth WHERE "user" IS NOT NULL')
    rows = 'truth LEFT JOIN people ON spelling = "user"'
    [(count, valid)] = session.sql(f"SELECT count(*), count(*) FILTER ({is_valid} AND identity IS NOT NULL) FROM {rows}")
    if valid < count:
        raise UsageError(
            f"{count - valid:,} of {count:,} rows of {path} lack a value, or end before they begin; "
            f"correct them: {names} (times in ms since the epoch, UTC)"
        )
    session.set_parameters(parameters())
    by_person = session.select(
        f"SELECT {person} AS person_key, {values} AS person_values "
        f"FROM (SELECT *, identity AS person FROM {rows}) AS rows_with_person GROUP BY person_key"
    )
    session.drop("truth")
    session.drop("people")
    return {row["person_key"]: row["person_values"] for row in by_person}
