"""From the probability of a step at each place to the times of the steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from stedi.model.resampling import SAMPLE_MS
from stedi.steps.features.features import EVERY

Floats = NDArray[np.float64]

PLACE_MS = EVERY * SAMPLE_MS
# Twice as wide as the rounding of times to places; steps are ten times as far apart.
_SMOOTHING_MS = 60
# The fastest runners take 5 steps a second. Of real walking sped up to 3 a second, 280 ms lost a third of the
# steps, and 200 ms a twentieth; at its own pace both count alike (an error of 1.6% and 1.7%).
_APART_MS = 200
# Where the rhythm of the steps within 5 s to either side leaves room for one more, of at most three
# missed in a row, a peak a third as high will do. Of one leg's steps a phone in the other's pocket
# tells less. Three people's recordings, unseen: with a rhythm, the error of their counts stays
# between 1.4% and 2.0% whatever `least` is between 0.03 and 0.15; without, it goes up to 5%.
_RHYTHM_MS = 5_000
_MISSED = (1.5, 4.0)
_SLOWEST_MS = 1_500
_WEAKER = 0.3
# Places beyond which nothing reaches a place's decision.
REACH_PLACES = (4 * _SMOOTHING_MS + _APART_MS + 2 * _SLOWEST_MS * int(_MISSED[1]) + 2 * _RHYTHM_MS) // PLACE_MS


@dataclass(frozen=True)
class Picker:
    """Peaks of the smoothed probability that are more than 200 ms apart and `least` high are steps.

    So are lower ones that keep the rhythm.
    """

    least: float

    def pick(self, probability: Floats) -> Floats:
        """Where the steps are, in places from the first, as fractions of them.

        Args:
            probability: of a step at each place of one unbroken stretch, 40 ms apart.
        """
        if not len(probability):
            return np.empty(0)
        smooth = gaussian_filter1d(np.asarray(probability, np.float64), _SMOOTHING_MS / PLACE_MS, mode="nearest")
        apart = _APART_MS // PLACE_MS
        peaks = np.flatnonzero(smooth == maximum_filter1d(smooth, 2 * apart + 1, mode="nearest"))
        # Of a plateau the first place counts.
        peaks = peaks[np.diff(peaks, prepend=-apart) > 1]
        is_high = smooth[peaks] >= self.least
        at = _in_rhythm(peaks[is_high], peaks[~is_high & (smooth[peaks] >= _WEAKER * self.least)])
        return at + _lean(smooth, at)


def _in_rhythm(steps: NDArray[np.intp], weak: NDArray[np.intp]) -> NDArray[np.intp]:
    """The steps, and those of the weak peaks that fall where the steps around a gap say that some are missing."""
    gaps = np.diff(steps)
    missing = []
    for number in np.flatnonzero(gaps <= _SLOWEST_MS * _MISSED[1] / PLACE_MS):
        near = _RHYTHM_MS / PLACE_MS
        first = np.searchsorted(steps, steps[number] - near)
        last = np.searchsorted(steps, steps[number + 1] + near, side="right") - 1
        around = np.concatenate((gaps[first:number], gaps[number + 1 : last]))
        around = around[around <= _SLOWEST_MS / PLACE_MS]
        rhythm = np.median(around) if len(around) > 1 else 0
        if _MISSED[0] * rhythm <= gaps[number] <= _MISSED[1] * rhythm:
            inside = (weak > steps[number] + rhythm / 2) & (weak < steps[number + 1] - rhythm / 2)
            missing.append(weak[inside])
    return np.sort(np.concatenate((steps, *missing))).astype(np.intp)


def _lean(smooth: Floats, at: NDArray[np.intp]) -> Floats:
    """How far, in places, the top of the parabola through a peak and its neighbours lies from the peak."""
    before, here, after = (smooth[np.clip(at + side, 0, len(smooth) - 1)] for side in (-1, 0, 1))
    bend = before - 2 * here + after
    is_inside = (bend < 0) & (at > 0) & (at < len(smooth) - 1)
    lean: Floats = np.divide(0.5 * (before - after), bend, out=np.zeros(len(at)), where=is_inside)
    return np.clip(lean, -0.5, 0.5)
