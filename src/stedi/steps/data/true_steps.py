"""True step times and the positions of phones from files, by the pseudonyms under which the training set knows people."""

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
from stedi.steps.data.positions import Positions, Stay

# Step times by pseudonym, ms since the epoch, sorted.
Truth = Mapping[str, NDArray[np.float64]]
_WHO = customer_pseudonym("person")


def read_truth(settings: Settings, path: Path) -> Truth:
    """Step times (ms since the epoch) of each pseudonymous person, sorted, from a file with `user` and `timeStamp`.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    with _session() as session:
        times = ground_truth.read_step_times(session, path, _WHO, lambda: _parameters(settings))
    return {person: np.asarray(person_times, np.float64) for person, person_times in times.items()}


def read_positions(settings: Settings, path: Path) -> Positions:
    """Where each pseudonymous person's phone was, from a file with `user`, `from_ms`, `to_ms` and `position`.

    Raises:
        UsageError: the file is missing, is neither CSV, JSON nor Parquet, or lacks a column or a value.
    """
    with _session() as session:
        stays = ground_truth.read_positions(session, path, _WHO, lambda: _parameters(settings))
    return {person: [Stay(**stay) for stay in person_stays] for person, person_stays in stays.items()}


def _parameters(settings: Settings) -> dict[str, str | bytes]:
    """The key of the pseudonyms; on a new warehouse it is made, and the first run will use it."""
    return query_parameters(settings.of_queries, pseudonym_key(settings))


@contextmanager
def _session() -> Iterator[Session]:
    with TemporaryDirectory() as scratch, Session(scratch=Path(scratch)) as session:
        yield session
