"""Unbroken stretches of samples, cut into windows that overlap so far that cutting changes no step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.steps.features.features import EVERY, REACH
from stedi.steps.model.picking import PLACE_MS, REACH_PLACES

# Twenty minutes: 5% is worked on twice, and all of it fits in a hundred megabytes.
SAMPLES = 1_200 * RATE_HZ
# How far a step's place may be seen from, in whole places, so that all windows share these.
_REACH = -(-REACH // EVERY) * EVERY + (REACH_PLACES + 1) * EVERY


class Picks(Protocol):
    """How probabilities become steps."""

    def pick(self, probability: NDArray[np.float64], /) -> NDArray[np.float64]: ...


class Detects(Protocol):
    """What a detector offers: the probability of a step at each place, and how to pick steps."""

    @property
    def picker(self) -> Picks: ...

    def probability(self, acceleration: NDArray[np.float32], /) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Window:
    """Part of an unbroken stretch, with as much on either side as its steps depend on.

    Attributes:
        person: number of the person.
        start_ms: time of the first sample (ms since the epoch, UTC).
        acceleration: samples × 3 axes at 50 Hz, float32, in the phone's unit.
        from_ms, to_ms: the time that is this window's to tell of, without its end.
    """

    person: int
    start_ms: int
    acceleration: NDArray[np.float32]
    from_ms: float
    to_ms: float

    def steps_ms(self, detector: Detects) -> NDArray[np.int64]:
        """Times of the window's own steps, in whole ms since the epoch, in order."""
        at = self.start_ms + PLACE_MS * detector.picker.pick(detector.probability(self.acceleration))
        return np.rint(at[(at >= self.from_ms) & (at < self.to_ms)]).astype(np.int64)


def windows(batches: Iterable[pa.RecordBatch], samples: int = SAMPLES) -> Iterator[Window]:
    """Cut samples into windows, holding no more of them than one window and one batch.

    Args:
        batches: number (of a person), at_ms, x, y, z, sorted by number and at_ms, on a grid of 20 ms.
        samples: how many samples a window tells of; an even number.
    """
    open_stretch: _Stretch | None = None
    for batch in batches:
        person, at_ms = batch["number"].to_numpy(), batch["at_ms"].to_numpy()
        acceleration = np.stack([batch[axis].to_numpy() for axis in "xyz"], axis=1)
        breaks = np.flatnonzero((np.diff(person) != 0) | (np.diff(at_ms) != SAMPLE_MS)) + 1
        for begin, end in zip((0, *breaks), (*breaks, len(at_ms)), strict=True):
            first = (int(person[begin]), int(at_ms[begin]))
            if open_stretch is None or open_stretch.next != first:
                if open_stretch is not None:
                    yield from open_stretch.end()
                open_stretch = _Stretch(*first, samples)
            yield from open_stretch.grow(acceleration[begin:end])
    if open_stretch is not None:
        yield from open_stretch.end()


class _Stretch:
    """An unbroken stretch as it comes: what windows still need of it."""

    def __init__(self, person: int, start_ms: int, samples: int) -> None:
        self._person, self._samples = person, samples
        self._held_from_ms = start_ms
        self._held = np.empty((0, 3), np.float32)
        self._told_to_ms = float("-inf")
        self._next_cut_ms = start_ms + samples * SAMPLE_MS

    @property
    def next(self) -> tuple[int, int]:
        """Whose sample of what time would go on with it."""
        return self._person, self._held_from_ms + len(self._held) * SAMPLE_MS

    def grow(self, acceleration: NDArray[np.float32]) -> Iterator[Window]:
        """Take more samples; gives the windows that nothing beyond can change."""
        self._held = np.concatenate([self._held, acceleration])
        while len(self._held) >= (needed := self._index(self._next_cut_ms) + _REACH):
            yield self._window(self._held[:needed], self._next_cut_ms)
            self._told_to_ms = self._next_cut_ms
            dropped = max(0, self._index(self._next_cut_ms) - _REACH)
            self._held = self._held[dropped:]
            self._held_from_ms += dropped * SAMPLE_MS
            self._next_cut_ms += self._samples * SAMPLE_MS

    def end(self) -> Iterator[Window]:
        """The last window."""
        yield self._window(self._held, float("inf"))

    def _index(self, at_ms: int) -> int:
        return (at_ms - self._held_from_ms) // SAMPLE_MS

    def _window(self, acceleration: NDArray[np.float32], to_ms: float) -> Window:
        return Window(self._person, self._held_from_ms, acceleration, self._told_to_ms, to_ms)
