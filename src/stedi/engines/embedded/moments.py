"""Read moments of people (user, timeStamp) from the user's own CSV or JSON file."""

from pathlib import Path
from typing import Any

import duckdb

from stedi.engines.embedded.session import Session
from stedi.engines.embedded.sql import plain
from stedi.engines.sql import literal
from stedi.errors import UsageError

_READERS = {".csv": "read_csv", ".json": "read_json", ".jsonl": "read_json", ".ndjson": "read_json"}


def moments(session: Session, path: Path, who: str) -> list[dict[str, Any]]:
    """The sorted `moments` (ms since the epoch) of each `who`.

    Args:
        session: whose parameters `who` may use.
        path: a file with the columns `user` and `timeStamp`.
        who: SQL over the user's name, `spelled`, for what they are to be known by.

    Raises:
        UsageError: the file is missing, is neither CSV nor JSON, or lacks a column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"file {path} is neither .csv nor .json; give it as user,timeStamp (ms)")
    if not path.is_file():
        raise UsageError(f"file {path} does not exist; give the place of one with user,timeStamp (ms)")
    try:
        return session.select(
            f"""SELECT {who} AS who, list(at_ms ORDER BY at_ms) AS moments FROM (
                SELECT "user"::VARCHAR AS spelled, timeStamp::DOUBLE AS at_ms FROM {reader}({literal(plain(str(path)))})
            ) AS given GROUP BY ALL"""
        )
    except duckdb.Error as error:
        raise UsageError(f"file {path} can't be read ({type(error).__name__}); give it as user,timeStamp (ms)") from None
