"""The training set as the detector's training takes it: unbroken stretches of samples with their steps."""

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

# Shorter stretches hold no two strides.
_SHORTEST_MS = 5_000
# Features of ten minutes take 8 MB; what is cut in two there loses the surroundings of a few seconds.
_LONGEST_MS = 600_000
# Ten hours of motion: features of all of it, augmented too, take a gigabyte; more of the same strides teach little.
MOST_SAMPLES = 10 * 3600 * RATE_HZ


@dataclass(frozen=True)
class Stretch:
    """What one person's phone recorded without a break.

    Attributes:
        person: whose it is, under a pseudonym.
        start_ms: time of the first sample (ms since the epoch, UTC).
        acceleration: samples × 3 axes at 50 Hz, float32, in the phone's unit.
        steps_ms: times of the steps (ms since the epoch), in order.
    """

    person: str
    start_ms: int
    acceleration: NDArray[np.float32]
    steps_ms: NDArray[np.float64]

    @property
    def end_ms(self) -> int:
        """Time of the last sample."""
        return self.start_ms + (len(self.acceleration) - 1) * SAMPLE_MS


def read_stretches(settings: Settings, seed: int, most_samples: int = MOST_SAMPLES) -> Iterator[Stretch]:
    """Stretches of the newest finished run's training set, person by person: all, or so many drawn by chance.

    What is not drawn is not read: memory goes by what is learnt from, not by what was recorded.

    Args:
        settings: where the tables are.
        seed: what the drawing follows from.
        most_samples: stretches are drawn until they hold so many.

    Raises:
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    left = None
    for batch in query(settings, _query(seed, most_samples)).batches():
        rows = pa.Table.from_batches([batch] if left is None else [left, batch]).combine_chunks()
        ends = np.flatnonzero(np.diff(rows["stretch"].to_numpy())) + 1
        for begin, end in pairwise((0, *ends)):
            yield _stretch(rows.slice(begin, end - begin))
        left = rows.slice(ends[-1] if len(ends) else 0).to_batches()[0]
    if left is not None:
        yield _stretch(pa.Table.from_batches([left]))


def _query(seed: int, most_samples: int) -> str:
    """SQL for the samples of the stretches to learn from, in order, each with its stretch's number."""
    chance = f"sha256({literal(str(seed))} || customer_pseudonym || session || ' ' || place)"
    return f"""
WITH samples AS (SELECT *, (at_ms - session) // {_LONGEST_MS} AS place FROM step_training_set),
stretches AS (
    SELECT customer_pseudonym, session, place, count(*) AS samples
    FROM samples GROUP BY ALL HAVING count(*) > {_SHORTEST_MS // SAMPLE_MS}
),
drawn AS (
    SELECT *, row_number() OVER (ORDER BY customer_pseudonym, session, place) AS stretch
    FROM (SELECT *, sum(samples) OVER (ORDER BY {chance}) - samples AS before FROM stretches) AS in_line
    WHERE before < {most_samples}
)
SELECT stretch, customer_pseudonym, at_ms, x::FLOAT AS x, y::FLOAT AS y, z::FLOAT AS z, is_step
FROM samples JOIN drawn USING (customer_pseudonym, session, place) ORDER BY stretch, at_ms"""


def _stretch(rows: pa.Table) -> Stretch:
    times = rows["at_ms"].to_numpy()
    acceleration = np.stack([rows[axis].to_numpy() for axis in "xyz"], axis=1)
    steps = times[rows["is_step"].to_numpy()].astype(np.float64)
    return Stretch(rows["customer_pseudonym"][0].as_py(), int(times[0]), acceleration, steps)
