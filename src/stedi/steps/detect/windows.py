"""Overlapping windows of stretches, for detection in constant memory with the same steps as on whole stretches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.steps.features.graph import RECEPTIVE_FIELD, STRIDE
from stedi.steps.model.peaks import RECEPTIVE_FIELD_FRAMES, PeakPicker

# Twenty minutes: a window then takes less than 100 MB, and the overlap costs 5%.
WINDOW_SAMPLES = 1_200 * RATE_HZ
# Samples on either side on which a step can depend: those of the picker's frames and of the features, in whole frames, so
# that all windows have the same frames.
_OVERLAP = -(-RECEPTIVE_FIELD // STRIDE) * STRIDE + (RECEPTIVE_FIELD_FRAMES + 1) * STRIDE


class StepDetector(Protocol):
    """Detector of any kind: fitted, loaded from a file, or a test double."""

    @property
    def picker(self) -> PeakPicker:
        """Turns probabilities into steps."""

    def probability(self, acceleration: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Compute the probability of a step in each frame of a stretch (samples × 3 axes at 50 Hz)."""


@dataclass(frozen=True)
class Window:
    """Part of a stretch, with the samples on either side on which its steps can depend.

    Attributes:
        person: number of the person.
        start_ms: time of the first sample (ms since the epoch, UTC).
        acceleration: samples × 3 axes at 50 Hz, in the phone's unit.
        from_ms, to_ms: the window's steps are those from `from_ms` to before `to_ms`.
    """

    person: int
    start_ms: int
    acceleration: NDArray[np.float32]
    from_ms: float
    to_ms: float

    def detect(self, detector: StepDetector) -> NDArray[np.int64]:
        """Detect the window's steps; return their times in whole ms since the epoch, sorted."""
        times_ms = detector.picker.pick_ms(detector.probability(self.acceleration), self.start_ms)
        return np.rint(times_ms[(times_ms >= self.from_ms) & (times_ms < self.to_ms)]).astype(np.int64)


def cut_windows(batches: Iterable[pa.RecordBatch], window_samples: int = WINDOW_SAMPLES) -> Iterator[Window]:
    """Cut samples into windows. Memory holds one window and one batch at a time.

    Args:
        batches: samples with the columns number (of a person), at_ms, x, y and z, sorted by number and at_ms, on a grid of
            20 ms. A gap in the grid starts a new stretch.
        window_samples: samples of a window without its overlap; an even number.
    """
    stretch: _OpenStretch | None = None
    for batch in batches:
        person, at_ms = batch["number"].to_numpy(), batch["at_ms"].to_numpy()
        acceleration = np.stack([batch[axis].to_numpy() for axis in "xyz"], axis=1)
        gaps = np.flatnonzero((np.diff(person) != 0) | (np.diff(at_ms) != SAMPLE_MS)) + 1
        for start, end in zip((0, *gaps), (*gaps, len(at_ms)), strict=True):
            first_sample = (int(person[start]), int(at_ms[start]))
            if stretch is None or stretch.next_sample != first_sample:
                if stretch is not None:
                    yield stretch.last_window()
                stretch = _OpenStretch(*first_sample, window_samples)
            yield from stretch.append(acceleration[start:end])
    if stretch is not None:
        yield stretch.last_window()


class _OpenStretch:
    """Stretch whose end is not known yet. Holds the samples that future windows need."""

    def __init__(self, person: int, start_ms: int, window_samples: int) -> None:
        self._person, self._window_samples = person, window_samples
        self._held_from_ms = start_ms
        self._held = np.empty((0, 3), np.float32)
        self._window_from_ms = float("-inf")
        self._window_to_ms = start_ms + window_samples * SAMPLE_MS

    @property
    def next_sample(self) -> tuple[int, int]:
        """Person and time of the sample that would continue the stretch."""
        return self._person, self._held_from_ms + len(self._held) * SAMPLE_MS

    def append(self, acceleration: NDArray[np.float32]) -> Iterator[Window]:
        """Append samples; yield the windows that have all their samples."""
        self._held = np.concatenate([self._held, acceleration])
        while len(self._held) >= (needed := self._window_end() + _OVERLAP):
            yield self._window(self._held[:needed], self._window_to_ms)
            dropped = max(0, self._window_end() - _OVERLAP)
            self._window_from_ms = self._window_to_ms
            self._window_to_ms += self._window_samples * SAMPLE_MS
            self._held = self._held[dropped:]
            self._held_from_ms += dropped * SAMPLE_MS

    def last_window(self) -> Window:
        """Return the window up to the end of the stretch."""
        return self._window(self._held, float("inf"))

    def _window_end(self) -> int:
        """Index of the end of the current window among the held samples."""
        return (self._window_to_ms - self._held_from_ms) // SAMPLE_MS

    def _window(self, acceleration: NDArray[np.float32], to_ms: float) -> Window:
        return Window(self._person, self._held_from_ms, acceleration, self._window_from_ms, to_ms)
