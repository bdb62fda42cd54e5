"""Assessment of the detector on held-out people, compared with two peak counters on the same stretches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stedi.errors import UsageError
from stedi.model.progress import Progress, Report
from stedi.model.resampling import SAMPLE_MS
from stedi.steps.data.ground_truth import TrueSteps
from stedi.steps.data.phone_positions import Positions, position_of
from stedi.steps.data.stretches import Stretch
from stedi.steps.evaluation.cross_validation import HeldOut
from stedi.steps.evaluation.peak_counter import CANDIDATES, FIXED, PeakCounter, step_band
from stedi.steps.metrics import (
    Metrics,
    StepCounts,
    bootstrap,
    compute_metrics,
    count_steps,
    metric_intervals,
    percentile_interval,
    selection_score,
)

Floats = NDArray[np.float64]

DETECTOR, TUNED_COUNTER, FIXED_COUNTER = "detector", "tuned peak counter", "fixed peak counter"
_NO_OVERLAP = "is within recorded motion; give users as in the landing files, and times in ms since the epoch (UTC)"
# Range of the shift in the test against chance: far enough to break the relation of a rhythm to the true steps.
_SHIFT_MS = (5_000, 60_000)


@dataclass(frozen=True)
class PositionMetrics:
    """The detector's metrics on the stretches with the phone in one position.

    Attributes:
        people, minutes, steps: size of these data; `steps` is the number of true steps.
        metrics: the metrics.
        intervals: 95% bootstrap interval of each metric.
    """

    people: int
    minutes: float
    steps: int
    metrics: Metrics
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Assessment:
    """Metrics of the detector and of both peak counters on the same stretches.

    Attributes:
        people: number of held-out people.
        minutes: recorded time.
        steps: number of true steps.
        metrics: metrics by method.
        intervals: by method, the 95% bootstrap interval of each metric.
        by_person: the detector's metrics of each person, without names.
        above_chance: 95% bootstrap interval of the detector's F1 at ±0.1 s minus that of its own steps at shifted times.
        by_position: the detector's metrics by phone position; without the stretches whose position is not known.
    """

    people: int
    minutes: float
    steps: int
    metrics: Mapping[str, Metrics]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    by_person: Sequence[Metrics]
    above_chance: tuple[float, float]
    by_position: Mapping[str, PositionMetrics]

    @property
    def better_baselines(self) -> list[str]:
        """The peak counters with a higher F1 at ±0.1 s than the detector."""
        f1 = self.metrics[DETECTOR].f1_100
        return [method for method, metrics in self.metrics.items() if metrics.f1_100 > f1]


def true_steps_of(stretch: Stretch, true_steps: TrueSteps | None) -> Floats:
    """True step times of a stretch: those of `true_steps`, or by default those of the training set."""
    if true_steps is None:
        return stretch.steps_ms
    steps_ms = true_steps.get(stretch.person, np.empty(0))
    return steps_ms[(steps_ms >= stretch.start_ms) & (steps_ms <= stretch.end_ms)]


def check_overlap(stretches: Sequence[Stretch], true_steps: TrueSteps | None, positions: Positions | None) -> None:
    """Check that the given true steps and positions overlap with the stretches, by person and time.

    Raises:
        UsageError: none of them do.
    """
    if true_steps is not None and not any(len(true_steps_of(stretch, true_steps)) for stretch in stretches):
        raise UsageError(f"none of the true steps {_NO_OVERLAP}")
    if positions is not None and not any(position_of(stretch, positions) for stretch in stretches):
        raise UsageError(f"none of the positions {_NO_OVERLAP}")


def assess(
    held_out: Sequence[HeldOut],
    seed: int,
    true_steps: TrueSteps | None = None,
    positions: Positions | None = None,
    progress: Report = lambda _: None,
) -> Assessment:
    """Compute the metrics of the detector and of the peak counters on held-out people.

    The tuned peak counter is tuned on all other people for each person.

    Args:
        held_out: results of the cross-validation.
        seed: random seed of the bootstrap and of the test against chance.
        true_steps: step times to compare with instead of those of the training set.
        positions: phone positions, for metrics by position.
        progress: receives the current step.
    """
    motions = [step_band(result.stretch.acceleration) for result in held_out]
    counts = {
        DETECTOR: [_count(result, result.detected_ms, true_steps) for result in held_out],
        TUNED_COUNTER: _count_peaks_tuned(held_out, motions, true_steps, progress),
        FIXED_COUNTER: _count_peaks(held_out, motions, FIXED, true_steps),
    }
    by_person = {method: _group_by_person(held_out, stretches) for method, stretches in counts.items()}
    intervals: dict[str, Mapping[str, tuple[float, float]]] = {}
    for method, people in by_person.items():
        progress(Progress("bootstrap", len(intervals), len(by_person), "methods"))
        intervals[method] = metric_intervals(people, seed)
    return Assessment(
        people=len(by_person[DETECTOR]),
        minutes=_minutes(held_out),
        steps=sum(stretch.true for stretch in counts[DETECTOR]),
        metrics={method: compute_metrics(stretches) for method, stretches in counts.items()},
        intervals=intervals,
        by_person=[compute_metrics(stretches) for stretches in by_person[DETECTOR]],
        above_chance=_above_chance(held_out, by_person[DETECTOR], true_steps, seed),
        by_position=_by_position(held_out, true_steps, positions or {}, seed),
    )


def _minutes(held_out: Sequence[HeldOut]) -> float:
    return sum(result.stretch.end_ms - result.stretch.start_ms for result in held_out) / 60_000


def _by_position(
    held_out: Sequence[HeldOut], true_steps: TrueSteps | None, positions: Positions, seed: int
) -> dict[str, PositionMetrics]:
    results: dict[str, list[HeldOut]] = defaultdict(list)
    for result in held_out:
        if (position := position_of(result.stretch, positions)) is not None:
            results[position].append(result)
    return {position: _position_metrics(results[position], true_steps, seed) for position in sorted(results)}


def _position_metrics(held_out: Sequence[HeldOut], true_steps: TrueSteps | None, seed: int) -> PositionMetrics:
    counts = [_count(result, result.detected_ms, true_steps) for result in held_out]
    by_person = _group_by_person(held_out, counts)
    return PositionMetrics(
        people=len(by_person),
        minutes=_minutes(held_out),
        steps=sum(stretch.true for stretch in counts),
        metrics=compute_metrics(counts),
        intervals=metric_intervals(by_person, seed),
    )


def _group_by_person(held_out: Sequence[HeldOut], counts: Sequence[StepCounts]) -> list[list[StepCounts]]:
    people: dict[str, list[StepCounts]] = defaultdict(list)
    for result, stretch_counts in zip(held_out, counts, strict=True):
        people[result.stretch.person].append(stretch_counts)
    return list(people.values())


def _count(result: HeldOut, detected_ms: Floats, true_steps: TrueSteps | None) -> StepCounts:
    stretch = result.stretch
    return count_steps(true_steps_of(stretch, true_steps), detected_ms, stretch.start_ms, stretch.end_ms)


def _count_peaks(
    held_out: Sequence[HeldOut], motions: Sequence[Floats], counter: PeakCounter, true_steps: TrueSteps | None
) -> list[StepCounts]:
    return [
        _count(result, result.stretch.start_ms + SAMPLE_MS * counter.count(motion), true_steps)
        for result, motion in zip(held_out, motions, strict=True)
    ]


def _count_peaks_tuned(
    held_out: Sequence[HeldOut], motions: Sequence[Floats], true_steps: TrueSteps | None, progress: Report
) -> list[StepCounts]:
    """Count each person's steps with the peak counter that scores best on all others."""
    by_candidate: list[list[StepCounts]] = []
    for candidate in CANDIDATES:
        progress(Progress("tuning the peak counter", len(by_candidate), len(CANDIDATES), "candidates"))
        by_candidate.append(_count_peaks(held_out, motions, candidate, true_steps))
    best: dict[str, list[StepCounts]] = {}
    for person in {result.stretch.person for result in held_out}:
        others = [number for number, result in enumerate(held_out) if result.stretch.person != person]
        scores = [selection_score(counts[number] for number in others) for counts in by_candidate]
        best[person] = by_candidate[int(np.argmax(scores))]
    return [best[result.stretch.person][number] for number, result in enumerate(held_out)]


def _above_chance(
    held_out: Sequence[HeldOut], by_person: Sequence[Sequence[StepCounts]], true_steps: TrueSteps | None, seed: int
) -> tuple[float, float]:
    """The 95% bootstrap interval of F1 at ±0.1 s minus F1 of the same steps, cyclically shifted within each stretch."""
    rng = np.random.default_rng(seed)
    counts = []
    for result in held_out:
        start_ms, duration_ms = result.stretch.start_ms, result.stretch.end_ms - result.stretch.start_ms
        shifted_ms = start_ms + (result.detected_ms - start_ms + rng.uniform(*_SHIFT_MS)) % max(duration_ms, 1)
        counts.append(_count(result, shifted_ms, true_steps))
    by_person_shifted = _group_by_person(held_out, counts)

    def f1(counts: Sequence[Sequence[StepCounts]], people: NDArray[np.int64]) -> float:
        return float(np.nan_to_num(compute_metrics(stretch for person in people for stretch in counts[person]).f1_100))

    return percentile_interval(
        f1(by_person, people) - f1(by_person_shifted, people) for people in bootstrap(len(by_person), seed)
    )
