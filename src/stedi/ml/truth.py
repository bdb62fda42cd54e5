"""True step times from a file, by the pseudonyms under which the training set knows people."""

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

from stedi.config import Settings
from stedi.engines.embedded.session import Session
from stedi.engines.sql import literal
from stedi.errors import UsageError
from stedi.identity import person, pseudonym
from stedi.ml.assessment import Truth
from stedi.pipeline import pseudonym_key, query_parameters


def read_truth(settings: Settings, path: Path) -> Truth:
    """Step times (ms since the epoch) of each pseudonymous person, sorted, from CSV or JSON with `user` and `timeStamp`.

    Raises:
        UsageError: the file is missing, is neither, or lacks a column.
    """
    kind = {".csv": "read_csv", ".json": "read_json", ".jsonl": "read_json", ".ndjson": "read_json"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"truth file {path} is neither .csv nor .json; give step times as user,timeStamp")
    if not path.is_file():
        raise UsageError(f"truth file {path} does not exist; give its place with --truth")
    with TemporaryDirectory() as scratch, Session(scratch=Path(scratch)) as session:
        session.set_parameters(query_parameters(settings.consent.policy, pseudonym_key(settings, may_make=False)))
        person_known = person("spelled")
        who = pseudonym(f"'customer:' || {person_known}")
        try:
            rows = session.select(
                f"""SELECT {who} AS who, list(at_ms ORDER BY at_ms) AS steps FROM (
                    SELECT "user"::VARCHAR AS spelled, timeStamp::DOUBLE AS at_ms FROM {kind}({literal(str(path))})
                ) AS truth GROUP BY ALL"""
            )
        except duckdb.Error as error:
            raise UsageError(
                f"truth file {path} can't be read ({type(error).__name__}); give step times as user,timeStamp (ms)"
            ) from None
    return {row["who"]: np.asarray(row["steps"], np.float64) for row in rows}
