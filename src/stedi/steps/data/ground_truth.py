"""True step times and phone positions from files, with people under the pseudonyms of the training set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stedi.compute.duckdb import ground_truth
from stedi.compute.duckdb.session import Session
from stedi.config import Settings
from stedi.model.identity import customer_pseudonym
from stedi.pipeline import pseudonym_key, query_parameters
from stedi.steps.data.phone_positions import Positions, PositionSpan

# Sorted step times (ms since the epoch) by pseudonym.
TrueSteps = Mapping[str, NDArray[np.float64]]
_PSEUDONYM = customer_pseudonym("person")


def read_true_steps(settings: Settings, path: Path) -> TrueSteps:
    """Read true step times from a file with the columns `user` and `timeStamp` (ms since the epoch).

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    with _session() as session:
        times = ground_truth.read_step_times(session, path, _PSEUDONYM, lambda: _parameters(settings))
    return {person: np.asarray(person_times, np.float64) for person, person_times in times.items()}


def read_positions(settings: Settings, path: Path) -> Positions:
    """Read phone positions from a file with the columns `user`, `from_ms`, `to_ms` and `position`.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    with _session() as session:
        positions = ground_truth.read_positions(session, path, _PSEUDONYM, lambda: _parameters(settings))
    return {person: [PositionSpan(**span) for span in spans] for person, spans in positions.items()}


def _parameters(settings: Settings) -> dict[str, str | bytes]:
    """The query parameters with the pseudonym key, which is created now if no run has created it."""
    return query_parameters(settings.of_queries, pseudonym_key(settings))


@contextmanager
def _session() -> Iterator[Session]:
    with TemporaryDirectory() as scratch, Session(scratch=Path(scratch)) as session:
        yield session
