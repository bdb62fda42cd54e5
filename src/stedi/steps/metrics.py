"""Detection metrics with bootstrap confidence intervals over people."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Step times of the teacher are precise to about 0.1 s; half a step is about 0.25 s.
TOLERANCES_MS = (100, 250)
_BOOTSTRAPS = 1_000
# Where nobody walks, a false step counts as one of ten.
_FEW_STEPS = 10


def matched(true_ms: Floats, found_ms: Floats, tolerance_ms: float) -> list[tuple[float, float]]:
    """Pairs of a true and a found step no further apart than the tolerance, each used once, earliest first.

    For sorted times on a line this gives the most pairs that there are.
    """
    pairs = []
    i = j = 0
    while i < len(true_ms) and j < len(found_ms):
        away = found_ms[j] - true_ms[i]
        if abs(away) <= tolerance_ms:
            pairs.append((float(true_ms[i]), float(found_ms[j])))
            i, j = i + 1, j + 1
        elif away < 0:
            j += 1
        else:
            i += 1
    return pairs


def away_ms(steps_ms: Floats, at_ms: NDArray[Any]) -> Floats:
    """How far moments are from the nearest of some steps, in order; infinite where there is no step."""
    steps = np.concatenate(([-np.inf], steps_ms, [np.inf]))
    after = np.searchsorted(steps, at_ms)
    found: Floats = np.minimum(steps[after] - at_ms, at_ms - steps[after - 1])
    return found


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted on one stretch: steps, matches at ±0.1 and ±0.25 s, time without walking (s), steps found in it."""

    true: int
    found: int
    matched_100: int
    matched_250: int
    off_ms: Floats
    idle_seconds: float
    found_idle: int


# Nobody walks where no true step is this near: a pause of two seconds is longer than any walker's step.
_IDLE_AWAY_MS = 2_000


def tally(true_ms: Floats, found_ms: Floats, from_ms: float, to_ms: float) -> Tally:
    """Count on one stretch of time whose true steps are known."""
    true_ms, found_ms = np.sort(true_ms), np.sort(found_ms)
    found_ms = found_ms[(found_ms >= from_ms) & (found_ms <= to_ms)]
    close, wide = (matched(true_ms, found_ms, tolerance) for tolerance in TOLERANCES_MS)
    edges = np.concatenate(([from_ms - _IDLE_AWAY_MS], true_ms, [to_ms + _IDLE_AWAY_MS]))
    begins, ends = edges[:-1] + _IDLE_AWAY_MS, edges[1:] - _IDLE_AWAY_MS
    idle = ends > begins
    begins, ends = begins[idle], ends[idle]
    after = np.searchsorted(begins, found_ms, side="right") - 1
    in_idle = int(np.sum((after >= 0) & (found_ms <= ends[after]))) if len(begins) else 0
    return Tally(
        len(true_ms),
        len(found_ms),
        len(close),
        len(wide),
        np.array([found - true for true, found in wide], np.float64),
        float(np.sum(ends - begins)) / 1000,
        in_idle,
    )


@dataclass(frozen=True)
class Scores:
    """Figures over stretches; shares from 0 to 1, errors of counts in percent, times in milliseconds.

    Precision, recall and F1 are over all steps together; the mean absolute percentage error of
    counts is over stretches with true steps. A figure that nothing tells of is not a number.
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


def scores(tallies: Sequence[Tally]) -> Scores:
    """Figures of some stretches."""
    true, found = sum(t.true for t in tallies), sum(t.found for t in tallies)
    close, wide = sum(t.matched_100 for t in tallies), sum(t.matched_250 for t in tallies)
    walked = [abs(t.found - t.true) / t.true for t in tallies if t.true]
    idle_minutes = sum(t.idle_seconds for t in tallies) / 60
    off = np.abs(np.concatenate([np.empty(0), *(t.off_ms for t in tallies)]))
    return Scores(
        _share(close, found),
        _share(close, true),
        _share(2 * close, found + true),
        _share(wide, found),
        _share(wide, true),
        _share(2 * wide, found + true),
        100 * float(np.mean(walked)) if walked else float("nan"),
        100 * _share(found - true, true),
        _share(sum(t.found_idle for t in tallies), idle_minutes),
        float(np.median(off)) if len(off) else float("nan"),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def mean_worth(tallies: Sequence[Tally]) -> float:
    """How good steps are, in time and in number alike, over stretches that count alike; 1 at best."""
    return float(np.mean([_worth(each) for each in tallies]))


def _worth(counted: Tally) -> float:
    all_steps = counted.true + counted.found
    f1 = 2 * counted.matched_100 / all_steps if all_steps else 1.0
    return f1 - abs(counted.found - counted.true) / max(counted.true, _FEW_STEPS)


def people_again(people: int, seed: int, times: int = _BOOTSTRAPS) -> Iterator[NDArray[np.int64]]:
    """Numbers of as many people, drawn again and again from so many (the bootstrap, Efron 1979); of one none is drawn."""
    rng = np.random.default_rng(seed)
    return (rng.integers(people, size=people) for _ in range(times if people > 1 else 0))


def middle(values: Iterable[float]) -> tuple[float, float]:
    """The middle 95% of some values; of those that are numbers."""
    known = [value for value in values if not np.isnan(value)]
    return (float(np.quantile(known, 0.025)), float(np.quantile(known, 0.975))) if known else (float("nan"),) * 2


def intervals(by_person: Sequence[Sequence[Tally]], seed: int) -> dict[str, tuple[float, float]]:
    """For each figure the middle 95% of what it would be among as many people drawn again from these."""
    again = people_again(len(by_person), seed)
    drawn = [scores([counted for person in people for counted in by_person[person]]) for people in again]
    return {field.name: middle(getattr(each, field.name) for each in drawn) for field in fields(Scores)}
