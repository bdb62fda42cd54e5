"""Peak picking: from the probability of a step in each frame to step times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from stedi.steps.features.graph import FRAME_MS

Floats = NDArray[np.float64]

# Sigma of the Gaussian. Twice the rounding of times to frames, and a tenth of the distance of steps.
_SMOOTHING_MS = 60
# The fastest runners take 5 steps a second. In real walking sped up to 3 steps a second, 280 ms lost a third of the steps
# and 200 ms a twentieth. At the recorded pace both count alike (errors of 1.6% and 1.7%).
_MIN_DISTANCE_MS = 200
# The rhythm is the median distance of the steps within 5 s on either side of a gap. If the gap has the length of two to
# four such distances, peaks in it of 0.3 times the threshold are steps: a phone in the pocket of one leg shows the steps
# of the other weakly. On three held-out people's recordings the count error is between 1.4% and 2.0% for any threshold
# from 0.03 to 0.15 with this rule, and up to 5% without.
_RHYTHM_MS = 5_000
_GAP_DISTANCES = (1.5, 4.0)
_MAX_STEP_DISTANCE_MS = 1_500
_WEAK_PEAK = 0.3
# Frames on either side on which the decision about a frame can depend.
RECEPTIVE_FIELD_FRAMES = (
    4 * _SMOOTHING_MS + _MIN_DISTANCE_MS + 2 * _MAX_STEP_DISTANCE_MS * int(_GAP_DISTANCES[1]) + 2 * _RHYTHM_MS
) // FRAME_MS


@dataclass(frozen=True)
class PeakPicker:
    """Picks the peaks of the smoothed probability that are at least 200 ms apart and reach the threshold.

    Lower peaks count where the rhythm of the steps around has a gap.

    Attributes:
        threshold: minimum smoothed probability of a step.
    """

    threshold: float

    def pick(self, probability: Floats) -> Floats:
        """Pick the steps of one stretch.

        Args:
            probability: probability of a step in each frame.

        Returns:
            Positions of the steps in frames from the first, sorted, with fractions.
        """
        if not len(probability):
            return np.empty(0)
        smooth = gaussian_filter1d(np.asarray(probability, np.float64), _SMOOTHING_MS / FRAME_MS, mode="nearest")
        min_distance = _MIN_DISTANCE_MS // FRAME_MS
        peaks = np.flatnonzero(smooth == maximum_filter1d(smooth, 2 * min_distance + 1, mode="nearest"))
        # All frames of a plateau are maxima. The first one counts.
        peaks = peaks[np.diff(peaks, prepend=-min_distance) > 1]
        is_high = smooth[peaks] >= self.threshold
        is_weak = ~is_high & (smooth[peaks] >= _WEAK_PEAK * self.threshold)
        steps = _fill_gaps(peaks[is_high], peaks[is_weak])
        return steps + _vertex_offsets(smooth, steps)

    def pick_ms(self, probability: Floats, start_ms: float) -> Floats:
        """Pick the steps of one stretch as times (ms since the epoch); `start_ms` is the time of the first frame."""
        return start_ms + FRAME_MS * self.pick(probability)


def _fill_gaps(steps: NDArray[np.intp], weak_peaks: NDArray[np.intp]) -> NDArray[np.intp]:
    """Add the weak peaks that lie in gaps of the rhythm."""
    distances = np.diff(steps)
    added = []
    for gap in np.flatnonzero(distances <= _MAX_STEP_DISTANCE_MS * _GAP_DISTANCES[1] / FRAME_MS):
        first = np.searchsorted(steps, steps[gap] - _RHYTHM_MS / FRAME_MS)
        last = np.searchsorted(steps, steps[gap + 1] + _RHYTHM_MS / FRAME_MS, side="right") - 1
        nearby = np.concatenate((distances[first:gap], distances[gap + 1 : last]))
        nearby = nearby[nearby <= _MAX_STEP_DISTANCE_MS / FRAME_MS]
        rhythm = np.median(nearby) if len(nearby) > 1 else 0
        if _GAP_DISTANCES[0] * rhythm <= distances[gap] <= _GAP_DISTANCES[1] * rhythm:
            is_inside = (weak_peaks > steps[gap] + rhythm / 2) & (weak_peaks < steps[gap + 1] - rhythm / 2)
            added.append(weak_peaks[is_inside])
    return np.sort(np.concatenate((steps, *added))).astype(np.intp)


def _vertex_offsets(smooth: Floats, peaks: NDArray[np.intp]) -> Floats:
    """Offset of the vertex of the parabola through each peak and its neighbours, in frames, at most half of one."""
    before, peak, after = (smooth[np.clip(peaks + shift, 0, len(smooth) - 1)] for shift in (-1, 0, 1))
    curvature = before - 2 * peak + after
    is_inside = (curvature < 0) & (peaks > 0) & (peaks < len(smooth) - 1)
    offsets: Floats = np.divide(0.5 * (before - after), curvature, out=np.zeros(len(peaks)), where=is_inside)
    return np.clip(offsets, -0.5, 0.5)
