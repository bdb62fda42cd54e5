"""The training set as the detector's training takes it: unbroken stretches of samples with their steps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi.config import Settings
from stedi.query import query
from stedi.resampling import RATE_HZ, SAMPLE_MS

# Shorter stretches hold no two strides.
_SHORTEST_MS = 5_000
# Features of ten minutes take 8 MB; what is cut in two there loses the surroundings of a few seconds.
_LONGEST_SAMPLES = 600 * RATE_HZ
_QUERY = "SELECT customer_pseudonym, session, at_ms, x, y, z, is_step FROM step_training_set ORDER BY ALL"


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


def read_stretches(settings: Settings) -> Iterator[Stretch]:
    """The stretches of the newest finished run's training set that are long enough to learn from, person by person.

    Raises:
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    left = None
    for batch in query(settings, _QUERY).batches():
        rows = pa.Table.from_batches([batch] if left is None else [left, batch]).combine_chunks()
        ends = _ends(rows)
        for begin, end in zip((0, *ends), ends, strict=False):
            yield from _long_enough(rows.slice(begin, end - begin))
        left = rows.slice(ends[-1] if ends else 0).to_batches()[0]
    if left is not None:
        yield from _long_enough(pa.Table.from_batches([left]))


def _ends(rows: pa.Table) -> tuple[int, ...]:
    """Where a stretch ends and the next begins."""
    person = rows["customer_pseudonym"].combine_chunks().dictionary_encode().indices.to_numpy()
    session = rows["session"].to_numpy()
    return tuple(int(at) + 1 for at in np.flatnonzero((np.diff(person) != 0) | (np.diff(session) != 0)))


def _long_enough(rows: pa.Table) -> Iterator[Stretch]:
    if rows.num_rows > _LONGEST_SAMPLES:
        for first in range(0, rows.num_rows, _LONGEST_SAMPLES):
            yield from _long_enough(rows.slice(first, _LONGEST_SAMPLES))
        return
    times = rows["at_ms"].to_numpy()
    if times[-1] - times[0] < _SHORTEST_MS:
        return
    acceleration = np.stack([rows[axis].to_numpy().astype(np.float32) for axis in "xyz"], axis=1)
    steps = times[rows["is_step"].to_numpy()].astype(np.float64)
    yield Stretch(rows["customer_pseudonym"][0].as_py(), int(times[0]), acceleration, steps)
