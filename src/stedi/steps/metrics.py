"""Detection metrics with bootstrap confidence intervals over people."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The true times of the training set are precise to about 100 ms. Half a step takes about 250 ms.
TOLERANCES_MS = (100, 250)
# Time more than 2 s away from every true step counts as rest: no walker pauses that long within a stride.
_REST_DISTANCE_MS = 2_000
# Lower bound of the denominator of a relative count error: at rest one false step counts as an error of 10%.
_MIN_STEPS = 10
_RESAMPLES = 1_000


def match_steps(true_ms: Floats, detected_ms: Floats, tolerance_ms: float) -> list[tuple[float, float]]:
    """Pair true and detected steps, each used at most once.

    Taking the earliest possible pair first gives the largest number of pairs, because times are points on a line.

    Args:
        true_ms: true step times, sorted.
        detected_ms: detected step times, sorted.
        tolerance_ms: largest distance within a pair.

    Returns:
        Pairs (true, detected) in the order of time.
    """
    pairs = []
    i = j = 0
    while i < len(true_ms) and j < len(detected_ms):
        error_ms = detected_ms[j] - true_ms[i]
        if abs(error_ms) <= tolerance_ms:
            pairs.append((float(true_ms[i]), float(detected_ms[j])))
            i, j = i + 1, j + 1
        elif error_ms < 0:
            j += 1
        else:
            i += 1
    return pairs


def distance_to_step_ms(steps_ms: Floats, times_ms: NDArray[Any]) -> Floats:
    """Distance of each time to the nearest step; infinite if there is no step. `steps_ms` is sorted."""
    steps = np.concatenate(([-np.inf], steps_ms, [np.inf]))
    following = np.searchsorted(steps, times_ms)
    distances: Floats = np.minimum(steps[following] - times_ms, times_ms - steps[following - 1])
    return distances


@dataclass(frozen=True, eq=False)
class StepCounts:
    """Counts on one stretch, from which all metrics are computed.

    Attributes:
        true: number of true steps.
        detected: number of detected steps.
        matched_100: number of pairs at most 100 ms apart.
        matched_250: number of pairs at most 250 ms apart.
        timing_errors_ms: detected minus true time of each pair at most 250 ms apart.
        rest_seconds: time more than 2 s away from every true step.
        detected_at_rest: number of steps detected in that time.
    """

    true: int
    detected: int
    matched_100: int
    matched_250: int
    timing_errors_ms: Floats
    rest_seconds: float
    detected_at_rest: int


def count_steps(true_ms: Floats, detected_ms: Floats, start_ms: float, end_ms: float) -> StepCounts:
    """Compare detected with true steps from `start_ms` to `end_ms`, both included."""
    true_ms, detected_ms = np.sort(true_ms), np.sort(detected_ms)
    detected_ms = detected_ms[(detected_ms >= start_ms) & (detected_ms <= end_ms)]
    matched_100, matched_250 = (match_steps(true_ms, detected_ms, tolerance) for tolerance in TOLERANCES_MS)
    borders = np.concatenate(([start_ms - _REST_DISTANCE_MS], true_ms, [end_ms + _REST_DISTANCE_MS]))
    rest_starts, rest_ends = borders[:-1] + _REST_DISTANCE_MS, borders[1:] - _REST_DISTANCE_MS
    is_rest = rest_ends > rest_starts
    rest_starts, rest_ends = rest_starts[is_rest], rest_ends[is_rest]
    rest = np.searchsorted(rest_starts, detected_ms, side="right") - 1
    return StepCounts(
        true=len(true_ms),
        detected=len(detected_ms),
        matched_100=len(matched_100),
        matched_250=len(matched_250),
        timing_errors_ms=np.array([detected - true for true, detected in matched_250], np.float64),
        rest_seconds=float(np.sum(rest_ends - rest_starts)) / 1000,
        detected_at_rest=int(np.sum((rest >= 0) & (detected_ms <= rest_ends[rest]))) if len(rest_ends) else 0,
    )


@dataclass(frozen=True)
class Metrics:
    """Metrics over stretches. A metric without data is NaN.

    Attributes:
        precision_100, recall_100, f1_100: shares (0 to 1) over all steps together, for pairs at most 100 ms apart.
        precision_250, recall_250, f1_250: the same for pairs at most 250 ms apart.
        count_mape: mean absolute percentage error of the step count, over the stretches with true steps.
        count_bias: detected minus true steps, in percent of the true steps.
        false_steps_per_idle_minute: steps detected per minute more than 2 s away from every true step.
        median_timing_error_ms: median absolute timing error of the pairs at most 250 ms apart.
    """

    precision_100: float
    recall_100: float
    f1_100: float
    precision_250: float
    recall_250: float
    f1_250: float
    count_mape: float
    count_bias: float
    false_steps_per_idle_minute: float
    median_timing_error_ms: float


def compute_metrics(counts: Iterable[StepCounts]) -> Metrics:
    """Compute the metrics of some stretches."""
    counts = list(counts)
    true, detected = sum(stretch.true for stretch in counts), sum(stretch.detected for stretch in counts)
    matched_100, matched_250 = sum(stretch.matched_100 for stretch in counts), sum(stretch.matched_250 for stretch in counts)
    count_errors = [abs(stretch.detected - stretch.true) / stretch.true for stretch in counts if stretch.true]
    timing_errors_ms = np.abs(np.concatenate([np.empty(0), *(stretch.timing_errors_ms for stretch in counts)]))
    return Metrics(
        precision_100=_ratio(matched_100, detected),
        recall_100=_ratio(matched_100, true),
        f1_100=_ratio(2 * matched_100, detected + true),
        precision_250=_ratio(matched_250, detected),
        recall_250=_ratio(matched_250, true),
        f1_250=_ratio(2 * matched_250, detected + true),
        count_mape=100 * float(np.mean(count_errors)) if count_errors else float("nan"),
        count_bias=100 * _ratio(detected - true, true),
        false_steps_per_idle_minute=_ratio(
            sum(stretch.detected_at_rest for stretch in counts), sum(stretch.rest_seconds for stretch in counts) / 60
        ),
        median_timing_error_ms=float(np.median(timing_errors_ms)) if len(timing_errors_ms) else float("nan"),
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def selection_score(counts: Iterable[StepCounts]) -> float:
    """Score for choosing among settings: mean over stretches of F1 at ±0.1 s minus the relative count error; at most 1."""
    return float(np.mean([_stretch_score(stretch) for stretch in counts]))


def _stretch_score(counts: StepCounts) -> float:
    steps = counts.true + counts.detected
    f1 = 2 * counts.matched_100 / steps if steps else 1.0
    return f1 - abs(counts.detected - counts.true) / max(counts.true, _MIN_STEPS)


def bootstrap(size: int, seed: int, resamples: int = _RESAMPLES) -> Iterator[NDArray[np.int64]]:
    """Draw resamples with replacement (Efron 1979), as arrays of `size` indices; none if there is only one element.

    scipy.stats.bootstrap draws the same resamples, but its interval is NaN as soon as a metric is NaN in one of them, such
    as the count error among people without steps.
    """
    rng = np.random.default_rng(seed)
    return (rng.integers(size, size=size) for _ in range(resamples if size > 1 else 0))


def percentile_interval(values: Iterable[float]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not np.isnan(value)]
    return (float(np.quantile(known, 0.025)), float(np.quantile(known, 0.975))) if known else (float("nan"),) * 2


def metric_intervals(by_person: Sequence[Sequence[StepCounts]], seed: int) -> dict[str, tuple[float, float]]:
    """The 95% bootstrap interval of each metric, by its name. People are resampled, each with all their stretches."""
    resamples = [
        compute_metrics(counts for person in people for counts in by_person[person])
        for people in bootstrap(len(by_person), seed)
    ]
    names = [field.name for field in fields(Metrics)]
    return {name: percentile_interval(getattr(metrics, name) for metrics in resamples) for name in names}
