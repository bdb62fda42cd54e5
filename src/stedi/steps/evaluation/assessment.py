"""How good the detector is on people whom it has not seen, beside two peak counters on the same stretches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stedi.errors import UsageError
from stedi.model.resampling import SAMPLE_MS
from stedi.steps.data.positions import Positions, position_of
from stedi.steps.data.stretches import Stretch
from stedi.steps.data.true_steps import Truth
from stedi.steps.evaluation.baselines import CHOICES, FIXED, PeakCounter, in_band
from stedi.steps.metrics import Scores, Tally, intervals, mean_worth, middle, people_again, scores, tally
from stedi.steps.model.training import Unseen

Floats = NDArray[np.float64]

DETECTOR, TUNED, PLAIN = "detector", "tuned peak counter", "fixed peak counter"
_ELSEWHERE = "falls on what was recorded; name users as the landing files do, and give times in ms since the epoch, UTC"
# Far enough that a rhythm shifted so knows nothing of where the steps are.
_SHIFT_MS = (5_000, 60_000)


@dataclass(frozen=True)
class AtPosition:
    """The detector's figures while phones were in one position, with their intervals, and what they rest on."""

    people: int
    minutes: float
    steps: int
    scores: Scores
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Assessment:
    """Figures of the detector and of both peak counters, all on the same stretches.

    Attributes:
        people: how many people were each set aside in turn.
        minutes: how much was recorded of them.
        steps: how many true steps that holds.
        scores: by method.
        intervals: by method, the middle 95% of each figure over people drawn again.
        by_person: the detector's figures of each person, numbered, not named.
        above_chance: by how much the detector's F1 at ±0.1 s exceeds that of its own steps at wrong
            times: the middle 95% over people drawn again.
        by_position: the detector's figures by where the phone was, by name; empty where nobody told,
            and what nobody told of is in none.
    """

    people: int
    minutes: float
    steps: int
    scores: Mapping[str, Scores]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    by_person: Sequence[Scores]
    above_chance: tuple[float, float]
    by_position: Mapping[str, AtPosition]

    @property
    def better_methods(self) -> list[str]:
        """The peak counters that have the higher F1 at ±0.1 s than the detector."""
        ours = self.scores[DETECTOR].f1_100
        return [method for method, figures in self.scores.items() if figures.f1_100 > ours]


def within(truth: Truth | None, stretch: Stretch) -> Floats:
    """The true steps of a stretch: those of the training set, or those that truth from elsewhere has in its time."""
    if truth is None:
        return stretch.steps_ms
    steps = truth.get(stretch.person, np.empty(0))
    return steps[(steps >= stretch.start_ms) & (steps <= stretch.end_ms)]


def refuse_what_is_elsewhere(stretches: Sequence[Stretch], truth: Truth | None, positions: Positions | None) -> None:
    """See to it that what was told of people concerns what was recorded.

    Raises:
        UsageError: truth or positions are told, and none of any of the stretches.
    """
    if truth is not None and not any(len(within(truth, stretch)) for stretch in stretches):
        raise UsageError(f"none of the true steps {_ELSEWHERE}")
    if positions is not None and not any(position_of(stretch, positions) for stretch in stretches):
        raise UsageError(f"none of the positions {_ELSEWHERE}")


def assess(found: Sequence[Unseen], seed: int, truth: Truth | None = None, positions: Positions | None = None) -> Assessment:
    """Count, on every stretch, what a detector that learnt from other people makes of it.

    The tuned peak counter is tuned on the same other people. `truth` has the step times (ms since
    the epoch, sorted) of each person, in place of those that the training set derived.
    """
    by_method = {
        DETECTOR: [_tally(each, each.steps_ms, truth) for each in found],
        TUNED: _tuned(found, truth),
        PLAIN: [_tally(each, _counted(each, FIXED), truth) for each in found],
    }
    of_person = {method: _by_person(found, tallies) for method, tallies in by_method.items()}
    return Assessment(
        len(of_person[DETECTOR]),
        _minutes(found),
        sum(each.true for each in by_method[DETECTOR]),
        {method: scores(tallies) for method, tallies in by_method.items()},
        {method: intervals(tallies, seed) for method, tallies in of_person.items()},
        [scores(tallies) for tallies in of_person[DETECTOR]],
        _above_chance(found, of_person[DETECTOR], truth, seed),
        _by_position(found, truth, positions or {}, seed),
    )


def _minutes(found: Sequence[Unseen]) -> float:
    return sum(each.stretch.end_ms - each.stretch.start_ms for each in found) / 60_000


def _by_position(found: Sequence[Unseen], truth: Truth | None, positions: Positions, seed: int) -> dict[str, AtPosition]:
    of_position: dict[str, list[Unseen]] = defaultdict(list)
    for each in found:
        if (position := position_of(each.stretch, positions)) is not None:
            of_position[position].append(each)
    return {position: _at_position(some, truth, seed) for position, some in sorted(of_position.items())}


def _at_position(found: Sequence[Unseen], truth: Truth | None, seed: int) -> AtPosition:
    tallies = [_tally(each, each.steps_ms, truth) for each in found]
    people = _by_person(found, tallies)
    steps = sum(each.true for each in tallies)
    return AtPosition(len(people), _minutes(found), steps, scores(tallies), intervals(people, seed))


def _by_person(found: Sequence[Unseen], tallies: Sequence[Tally]) -> list[list[Tally]]:
    people: dict[str, list[Tally]] = defaultdict(list)
    for each, counted in zip(found, tallies, strict=True):
        people[each.stretch.person].append(counted)
    return list(people.values())


def _tally(unseen: Unseen, steps_ms: Floats, truth: Truth | None) -> Tally:
    return tally(within(truth, unseen.stretch), steps_ms, unseen.stretch.start_ms, unseen.stretch.end_ms)


def _counted(unseen: Unseen, counter: PeakCounter) -> Floats:
    return unseen.stretch.start_ms + SAMPLE_MS * counter.steps(in_band(unseen.stretch.acceleration))


def _tuned(found: Sequence[Unseen], truth: Truth | None) -> list[Tally]:
    """Each person's counts by the peak counter that suits the others best."""
    moved = [in_band(each.stretch.acceleration) for each in found]
    counts = [
        [
            _tally(each, each.stretch.start_ms + SAMPLE_MS * choice.steps(motion), truth)
            for each, motion in zip(found, moved, strict=True)
        ]
        for choice in CHOICES
    ]
    best: dict[str, list[Tally]] = {}
    for person in {each.stretch.person for each in found}:
        others = [number for number, each in enumerate(found) if each.stretch.person != person]
        worth = [mean_worth([tallies[number] for number in others]) for tallies in counts]
        best[person] = counts[int(np.argmax(worth))]
    return [best[each.stretch.person][number] for number, each in enumerate(found)]


def _above_chance(
    found: Sequence[Unseen], right: Sequence[Sequence[Tally]], truth: Truth | None, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    shifted = []
    for each in found:
        start, length = each.stretch.start_ms, each.stretch.end_ms - each.stretch.start_ms
        wrong_ms = start + (each.steps_ms - start + rng.uniform(*_SHIFT_MS)) % max(length, 1)
        shifted.append(_tally(each, wrong_ms, truth))
    wrong = _by_person(found, shifted)

    def f1(people: Sequence[Sequence[Tally]], drawn: NDArray[np.int64]) -> float:
        return float(np.nan_to_num(scores([counted for person in drawn for counted in people[person]]).f1_100))

    return middle(f1(right, drawn) - f1(wrong, drawn) for drawn in people_again(len(right), seed))
