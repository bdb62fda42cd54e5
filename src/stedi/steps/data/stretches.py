"""Stretches of the training set: uninterrupted samples of one person with the true steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi.config import Settings
from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.model.sql import literal
from stedi.query.sandbox import query

# Shorter stretches contain less than two strides.
_MIN_LENGTH_MS = 5_000
# Features of ten minutes take 8 MB. At a cut, features lack the context of a few seconds.
_MAX_LENGTH_MS = 600_000
# Features of ten hours of motion, recorded and augmented, take 1 GB. More of the same strides improve little.
MAX_SAMPLES = 10 * 3600 * RATE_HZ


@dataclass(frozen=True)
class Stretch:
    """Uninterrupted motion of one person.

    Attributes:
        person: pseudonym.
        start_ms: time of the first sample (ms since the epoch, UTC).
        acceleration: samples × 3 axes at 50 Hz, in the phone's unit.
        steps_ms: true step times (ms since the epoch), sorted.
    """

    person: str
    start_ms: int
    acceleration: NDArray[np.float32]
    steps_ms: NDArray[np.float64]

    @property
    def end_ms(self) -> int:
        """Time of the last sample (ms since the epoch, UTC)."""
        return self.start_ms + (len(self.acceleration) - 1) * SAMPLE_MS


def read_stretches(settings: Settings, seed: int, max_samples: int = MAX_SAMPLES) -> Iterator[Stretch]:
    """Read stretches of the training set of the newest finished run, in the order of pseudonym and time.

    If there are more than `max_samples`, whole stretches are drawn at random until that number is reached. Only drawn
    stretches are read, so memory does not depend on the size of the table.

    Args:
        settings: where the tables are.
        seed: random seed of the draw.
        max_samples: number of samples after which no further stretch is drawn.

    Raises:
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    unfinished = None
    for batch in query(settings, _query(seed, max_samples)).batches():
        rows = pa.Table.from_batches([batch] if unfinished is None else [unfinished, batch]).combine_chunks()
        ends = np.flatnonzero(np.diff(rows["stretch"].to_numpy())) + 1
        for start, end in pairwise((0, *ends)):
            yield _stretch(rows.slice(start, end - start))
        unfinished = rows.slice(ends[-1] if len(ends) else 0).to_batches()[0]
    if unfinished is not None:
        yield _stretch(pa.Table.from_batches([unfinished]))


def _query(seed: int, max_samples: int) -> str:
    """SQL for the samples of the drawn stretches, each sample with the number of its stretch, in order."""
    random_order = f"sha256({literal(str(seed))} || customer_pseudonym || session || ' ' || part)"
    return f"""
-- Sessions are cut into parts of at most ten minutes. A part is a stretch.
WITH samples AS (SELECT *, (at_ms - session) // {_MAX_LENGTH_MS} AS part FROM step_training_set),
stretches AS (
    SELECT customer_pseudonym, session, part, count(*) AS samples
    FROM samples GROUP BY ALL HAVING count(*) > {_MIN_LENGTH_MS // SAMPLE_MS}
),
shuffled AS (SELECT *, sum(samples) OVER (ORDER BY {random_order}) - samples AS samples_before FROM stretches),
drawn AS (
    SELECT *, row_number() OVER (ORDER BY customer_pseudonym, session, part) AS stretch
    FROM shuffled WHERE samples_before < {max_samples}
)
SELECT stretch, customer_pseudonym, at_ms, x::FLOAT AS x, y::FLOAT AS y, z::FLOAT AS z, is_step
FROM samples JOIN drawn USING (customer_pseudonym, session, part) ORDER BY stretch, at_ms"""


def _stretch(rows: pa.Table) -> Stretch:
    times_ms = rows["at_ms"].to_numpy()
    acceleration = np.stack([rows[axis].to_numpy() for axis in "xyz"], axis=1)
    steps_ms = times_ms[rows["is_step"].to_numpy()].astype(np.float64)
    return Stretch(rows["customer_pseudonym"][0].as_py(), int(times_ms[0]), acceleration, steps_ms)
