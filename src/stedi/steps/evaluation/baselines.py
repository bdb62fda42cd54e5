"""Two peak counters to be compared with: what a phone without a trained detector would do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt

from stedi.model.resampling import RATE_HZ

Floats = NDArray[np.float64]

# Steps come at 0.8 to 3 Hz; harmonics of the heel's strike lie above.
_BAND_HZ = (0.8, 3.0)


@dataclass(frozen=True)
class PeakCounter:
    """Counts peaks of the norm of acceleration, in the band of steps.

    `prominence` is in units of gravity, `apart_seconds` the least time between steps, `late_seconds`
    how much later than its peak a step is.
    """

    prominence: float
    apart_seconds: float
    late_seconds: float = 0.0

    def steps(self, moved: Floats) -> Floats:
        """Where the steps are, in samples from the first of one unbroken stretch, from its motion `in_band`."""
        peaks, _ = find_peaks(moved, prominence=self.prominence, distance=max(1, round(self.apart_seconds * RATE_HZ)))
        return np.asarray(peaks, np.float64) + self.late_seconds * RATE_HZ


def in_band(acceleration: NDArray[np.float32]) -> Floats:
    """The norm of acceleration about its mean, in gravities, as far as it moves as fast as steps.

    Args:
        acceleration: samples × 3 axes at 50 Hz, in any unit; less than a second is taken for rest.
    """
    norm = np.linalg.norm(np.asarray(acceleration, np.float64), axis=1)
    if len(norm) < RATE_HZ or not norm.mean() > 0:
        return np.zeros(len(norm))
    band = butter(2, _BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfiltfilt(band, norm / norm.mean() - 1, padlen=min(len(norm) - 1, 3 * RATE_HZ)))


# A tenth of gravity, and no more than three steps a second.
FIXED = PeakCounter(prominence=0.1, apart_seconds=1 / 3)
CHOICES = tuple(
    PeakCounter(prominence, apart, late)
    for prominence in (0.03, 0.06, 0.1, 0.2)
    for apart in (0.25, 0.4)
    for late in (-0.12, -0.06, 0.0, 0.06, 0.12)
)
