"""Learn a detector from stretches with steps, and find out on people whom it has not seen how good it is."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from stedi.steps.data.augmentation import augmented
from stedi.steps.data.stretches import Stretch
from stedi.steps.features.features import features
from stedi.steps.metrics import Tally, away_ms, mean_worth, tally
from stedi.steps.model.picking import PLACE_MS, Picker
from stedi.steps.model.trees import with_single_thresholds

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

# What a place is worth as a step falls off with its distance from one: the teacher's times are
# precise to about 100 ms, which as a standard deviation is about half of it.
_TARGET_SPREAD_MS = 50
# For the calibrated probability a place is a step's when the step is nearer than to the next place but one.
AT_STEP_MS = 60
# What is not as recorded counts for less.
_AUGMENTED_WEIGHT = 0.5
_OUTER_FOLDS, _INNER_FOLDS = 5, 3
_AT_A_TIME = 2
FEWEST_PEOPLE = 3
# A peak is taken for a step from so far on, as shares of how often a place of somebody who walks is a
# step's. What is best is found by cross-validation among the people of a training fold alone. No
# share above a half is tried: of somebody unlike them a detector is less sure than of any of these.
_THRESHOLDS = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
_WALKING_MS = 1_000
_TREES: dict[str, Any] = {
    "objective": "cross_entropy",
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 200,
    "colsample_bytree": 0.3,
    "subsample": 0.5,
    "subsample_freq": 1,
    "reg_lambda": 5.0,
    # The same trees bit for bit on one machine.
    "deterministic": True,
    "force_row_wise": True,
    # Two threads that wait for each other at every split take three times as long where the machine is busy.
    "n_jobs": 1,
    "verbose": -1,
}


@dataclass(frozen=True)
class Model:
    """A trained detector: trees that give a score, a line that makes it a probability, and how to pick peaks.

    probability = 1 / (1 + exp(-(slope · score + offset)))
    """

    trees: LGBMRegressor
    slope: float
    offset: float
    picker: Picker

    def probability(self, acceleration: NDArray[np.float32]) -> Floats:
        """Of a step at every place of one unbroken stretch (samples × 3 at 50 Hz)."""
        return self.said(features(acceleration))

    def said(self, seen: NDArray[np.float32]) -> Floats:
        """The same from the features of its places."""
        return _probability(self.slope, self.offset, _raw_scores(self.trees, seen))


def _probability(slope: float, offset: float, raw: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-(slope * raw + offset)))
    return found


def _raw_scores(trees: LGBMRegressor, seen: NDArray[np.float32]) -> Floats:
    return np.asarray(trees.booster_.predict(seen, raw_score=True, num_threads=1), np.float64)


@dataclass(frozen=True, eq=False)
class Example:
    """A stretch to learn from, or to be tried on.

    Attributes:
        stretch: whose motion, and its steps.
        seen: places × features.
        away_ms: how far each place is from the nearest step.
        augmented, augmented_away_ms: the same at another pace and with more tremor; what is learnt from beside what
            was recorded, and never tried on.
    """

    stretch: Stretch
    seen: NDArray[np.float32]
    away_ms: Floats
    augmented: NDArray[np.float32]
    augmented_away_ms: Floats

    def tally(self, picker: Picker, probability: Floats) -> Tally:
        """Count the steps that a picker finds in probabilities against the training set's own."""
        stretch = self.stretch
        return tally(stretch.steps_ms, steps_ms(stretch, picker, probability), stretch.start_ms, stretch.end_ms)


def steps_ms(stretch: Stretch, picker: Picker, probability: Floats) -> Floats:
    """When the steps are that a picker finds in the probabilities of a stretch's places (ms since the epoch)."""
    return stretch.start_ms + PLACE_MS * picker.pick(probability)


def examples(stretches: Iterable[Stretch], seed: int) -> list[Example]:
    """Stretches with what is seen of them."""
    rng = np.random.default_rng(seed)
    return [Example(stretch, *_places(stretch), *_places(augmented(stretch, rng))) for stretch in stretches]


def _places(stretch: Stretch) -> tuple[NDArray[np.float32], Floats]:
    seen = features(stretch.acceleration)
    return seen, away_ms(stretch.steps_ms, stretch.start_ms + PLACE_MS * np.arange(len(seen)))


def _grow(learnt: Sequence[Example], seed: int) -> LGBMRegressor:
    """Trees that know from a place's features how near a step is."""
    rows = np.concatenate([each.seen for each in learnt] + [each.augmented for each in learnt])
    recorded = np.concatenate([each.away_ms for each in learnt])
    away = np.concatenate([recorded] + [each.augmented_away_ms for each in learnt])
    weights = np.where(np.arange(len(away)) < len(recorded), 1, _AUGMENTED_WEIGHT)
    near = np.exp(-0.5 * (away / _TARGET_SPREAD_MS) ** 2)
    trees = LGBMRegressor(**_TREES, random_state=seed).fit(rows, near, sample_weight=weights)
    return with_single_thresholds(trees)


def folds(people: Sequence[str], most: int, seed: int) -> list[set[str]]:
    """People in at most so many groups of about one size, in an order that the seed gives."""
    shuffled = list(np.random.default_rng(seed).permutation(sorted(set(people))))
    return [set(map(str, shuffled[first::most])) for first in range(min(most, len(shuffled)))]


def fit(learnt: Sequence[Example], seed: int, progress: Progress = lambda _: None) -> Model:
    """Learn from examples of at least two people.

    What turns scores into probabilities and peaks into steps is chosen by what trees say of
    people whom they have not seen; the trees themselves are then grown on everybody.
    """
    unseen: list[tuple[Example, Floats]] = []
    groups = folds([each.stretch.person for each in learnt], _INNER_FOLDS, seed)
    for number, group in enumerate(groups, start=1):
        progress(f"calibrating, part {number} of {len(groups)}")
        trees = _grow([each for each in learnt if each.stretch.person not in group], seed)
        unseen += [(each, _raw_scores(trees, each.seen)) for each in learnt if each.stretch.person in group]
    slope, offset = _calibration(unseen)
    progress("growing the trees on everybody")
    picker = _best_picker([(each, _probability(slope, offset, raw)) for each, raw in unseen])
    return Model(_grow(learnt, seed), slope, offset, picker)


def _calibration(unseen: Sequence[tuple[Example, Floats]]) -> tuple[float, float]:
    """Platt's line from scores to the log odds of a step at a place (Platt 1999)."""
    raw = np.concatenate([raw for _, raw in unseen])
    is_step = np.concatenate([each.away_ms for each, _ in unseen]) <= AT_STEP_MS
    line = LogisticRegression(C=np.inf).fit(raw[:, None], is_step)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def _best_picker(unseen: Sequence[tuple[Example, Floats]]) -> Picker:
    """The picker whose steps are the best in time and in number alike."""
    away = np.concatenate([each.away_ms for each, _ in unseen])
    usual = float(np.mean(away[away <= _WALKING_MS] <= AT_STEP_MS))
    pickers = [Picker(usual * share) for share in _THRESHOLDS]
    return max(pickers, key=lambda picker: mean_worth([each.tally(picker, said) for each, said in unseen]))


@dataclass(frozen=True, eq=False)
class Unseen:
    """A stretch, and what a detector that learnt from other people says of it."""

    stretch: Stretch
    model: Model
    probability: Floats

    @property
    def steps_ms(self) -> Floats:
        """When the detector says that the steps are (ms since the epoch)."""
        return steps_ms(self.stretch, self.model.picker, self.probability)


def on_unseen_people(learnt: Sequence[Example], seed: int, progress: Progress = lambda _: None) -> list[Unseen]:
    """What detectors say of each person that learnt, in all, from the others: one person a time, or a fifth of many.

    Two are taught at a time, where there are two cores: each holds a gigabyte.
    """
    groups = folds([each.stretch.person for each in learnt], _OUTER_FOLDS, seed)

    def part(number: int) -> list[Unseen]:
        def say(what: str) -> None:
            progress(f"people set aside, part {number + 1} of {len(groups)}: {what}")

        group = groups[number]
        model = fit([each for each in learnt if each.stretch.person not in group], seed, say)
        return [Unseen(each.stretch, model, model.said(each.seen)) for each in learnt if each.stretch.person in group]

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        parts = [pool.submit(part, number) for number in range(len(groups))]
        try:
            return [each for done in parts for each in done.result()]
        finally:
            # Who gives up does not wait for what has not begun.
            pool.shutdown(wait=False, cancel_futures=True)
