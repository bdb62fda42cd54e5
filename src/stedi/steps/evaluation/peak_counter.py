"""Baselines: peak counters, which need no training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt

from stedi.model.resampling import RATE_HZ

Floats = NDArray[np.float64]

# Walkers take 0.8 to 3 steps a second. Harmonics of the heel strike are above.
_BAND_HZ = (0.8, 3.0)


@dataclass(frozen=True)
class PeakCounter:
    """Counts peaks of the band-passed norm of acceleration.

    Attributes:
        prominence: minimum prominence of a peak, in g.
        min_distance_seconds: minimum time between steps.
        delay_seconds: time from a peak to its step; negative if the step comes first.
    """

    prominence: float
    min_distance_seconds: float
    delay_seconds: float = 0.0

    def count(self, motion: Floats) -> Floats:
        """Return the positions of the steps in samples from the first, from the motion given by `step_band`."""
        distance = max(1, round(self.min_distance_seconds * RATE_HZ))
        peaks, _ = find_peaks(motion, prominence=self.prominence, distance=distance)
        return np.asarray(peaks, np.float64) + self.delay_seconds * RATE_HZ


def step_band(acceleration: NDArray[np.float32]) -> Floats:
    """Band-pass the norm of acceleration to the frequencies of steps.

    Args:
        acceleration: samples × 3 axes at 50 Hz, in any unit.

    Returns:
        One value per sample, in g; zeros for less than a second of motion.
    """
    norm = np.linalg.norm(np.asarray(acceleration, np.float64), axis=1)
    if len(norm) < RATE_HZ or not norm.mean() > 0:
        return np.zeros(len(norm))
    band = butter(2, _BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfiltfilt(band, norm / norm.mean() - 1, padlen=min(len(norm) - 1, 3 * RATE_HZ)))


# Peaks of a tenth of gravity, at most three a second.
FIXED = PeakCounter(prominence=0.1, min_distance_seconds=1 / 3)
# Candidates for tuning.
CANDIDATES = tuple(
    PeakCounter(prominence, min_distance_seconds, delay_seconds)
    for prominence in (0.03, 0.06, 0.1, 0.2)
    for min_distance_seconds in (0.25, 0.4)
    for delay_seconds in (-0.12, -0.06, 0.0, 0.06, 0.12)
)
