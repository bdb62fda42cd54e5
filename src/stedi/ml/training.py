"""Learn a detector from stretches with steps, and find out on people whom it has not seen how good it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from stedi.ml.features import EVERY, features
from stedi.ml.picking import PLACE_MS, Picker
from stedi.ml.scores import Tally, tally
from stedi.ml.stretches import Stretch
from stedi.ml.trees import with_single_thresholds
from stedi.resampling import RATE_HZ

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

# What a place is worth as a step falls off with its distance from one: the teacher's times are
# precise to about 100 ms, which as a standard deviation is about half of it.
_TARGET_SPREAD_MS = 50
# For the calibrated probability a place is a step's when the step is nearer than to the next place but one.
_AT_STEP_MS = 60
# Ten hours of motion: features of all of it take half a gigabyte, and more of the same strides teach little.
_MOST_SAMPLES = 10 * 3600 * RATE_HZ
# Where nobody walks, a false step counts as one of ten.
_FEW_STEPS = 10
_OUTER_FOLDS, _INNER_FOLDS = 5, 3
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
        return self.calibrated(_raw_scores(self.trees, features(acceleration)))

    def calibrated(self, raw: Floats) -> Floats:
        """Probabilities from the trees' scores."""
        found: Floats = 1 / (1 + np.exp(-(self.slope * raw + self.offset)))
        return found

    def tally(self, stretch: Stretch, truth_ms: Floats | None = None) -> Tally:
        """Count this detector's steps on a stretch against its own, or against truth from elsewhere."""
        return _tally(stretch, self.picker, self.probability(stretch.acceleration), truth_ms)


def _raw_scores(trees: LGBMRegressor, seen: NDArray[np.float32]) -> Floats:
    return np.asarray(trees.booster_.predict(seen, raw_score=True, num_threads=1), np.float64)


def _tally(stretch: Stretch, picker: Picker, probability: Floats, truth_ms: Floats | None = None) -> Tally:
    found = stretch.start_ms + PLACE_MS * picker.pick(probability)
    return tally(stretch.steps_ms if truth_ms is None else truth_ms, found, stretch.start_ms, stretch.end_ms)


def _away_ms(stretch: Stretch) -> Floats:
    """How far each place of a stretch is from the nearest step; infinite where there is none."""
    at = stretch.start_ms + PLACE_MS * np.arange((len(stretch.acceleration) + EVERY - 1) // EVERY)
    steps = np.concatenate(([-np.inf], stretch.steps_ms, [np.inf]))
    after = np.searchsorted(steps, at)
    found: Floats = np.minimum(steps[after] - at, at - steps[after - 1])
    return found


def _grow(stretches: Sequence[Stretch], seed: int) -> LGBMRegressor:
    """Trees that know from a place's features how near a step is."""
    rows = [features(stretch.acceleration) for stretch in stretches]
    targets = [np.exp(-0.5 * (_away_ms(stretch) / _TARGET_SPREAD_MS) ** 2) for stretch in stretches]
    trees = LGBMRegressor(**_TREES, random_state=seed).fit(np.concatenate(rows), np.concatenate(targets))
    return with_single_thresholds(trees)


def drawn(stretches: Sequence[Stretch], seed: int) -> list[Stretch]:
    """Stretches of ten hours in all, drawn by chance where there are more."""
    order = np.random.default_rng(seed).permutation(len(stretches))
    total = np.cumsum([len(stretches[number].acceleration) for number in order])
    return [stretches[number] for number in sorted(order[: int(np.searchsorted(total, _MOST_SAMPLES)) + 1])]


def folds(people: Sequence[str], most: int, seed: int) -> list[set[str]]:
    """People in at most so many groups of about one size, in an order that the seed gives."""
    shuffled = list(np.random.default_rng(seed).permutation(sorted(set(people))))
    return [set(map(str, shuffled[first::most])) for first in range(min(most, len(shuffled)))]


def fit(stretches: Sequence[Stretch], seed: int, progress: Progress = lambda _: None) -> Model:
    """Learn from stretches of at least two people.

    What turns scores into probabilities and peaks into steps is chosen by what trees say of
    people whom they have not seen; the trees themselves are then grown on everybody.
    """
    unseen: list[tuple[Stretch, Floats]] = []
    groups = folds([stretch.person for stretch in stretches], _INNER_FOLDS, seed)
    for number, group in enumerate(groups, start=1):
        progress(f"calibrating, part {number} of {len(groups)}")
        trees = _grow([stretch for stretch in stretches if stretch.person not in group], seed)
        unseen += [(s, _raw_scores(trees, features(s.acceleration))) for s in stretches if s.person in group]
    slope, offset = _calibration(unseen)
    progress("growing the trees on everybody")
    trees = _grow(stretches, seed)
    model = Model(trees, slope, offset, Picker(least=1.0))
    return Model(trees, slope, offset, _best_picker([(stretch, model.calibrated(raw)) for stretch, raw in unseen]))


def _calibration(unseen: Sequence[tuple[Stretch, Floats]]) -> tuple[float, float]:
    """Platt's line from scores to the log odds of a step at a place (Platt 1999)."""
    raw = np.concatenate([each for _, each in unseen])
    is_step = np.concatenate([_away_ms(stretch) <= _AT_STEP_MS for stretch, _ in unseen])
    line = LogisticRegression(C=np.inf).fit(raw[:, None], is_step)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def _best_picker(unseen: Sequence[tuple[Stretch, Floats]]) -> Picker:
    """The picker whose steps are the best in time and in number alike."""
    away = np.concatenate([_away_ms(stretch) for stretch, _ in unseen])
    usual = float(np.mean(away[away <= _WALKING_MS] <= _AT_STEP_MS))
    pickers = [Picker(usual * share) for share in _THRESHOLDS]
    worth = [np.mean([_worth(_tally(stretch, picker, said)) for stretch, said in unseen]) for picker in pickers]
    return pickers[int(np.argmax(worth))]


def _worth(counted: Tally) -> float:
    """What a detector makes of a stretch: steps at the right times and in the right number, 1 at best."""
    all_steps = counted.true + counted.found
    f1 = 2 * counted.matched_100 / all_steps if all_steps else 1.0
    return f1 - abs(counted.found - counted.true) / max(counted.true, _FEW_STEPS)


@dataclass(frozen=True)
class Unseen:
    """A stretch, and what a detector that learnt from other people says of it."""

    stretch: Stretch
    model: Model
    probability: Floats

    def tally(self, truth_ms: Floats | None = None) -> Tally:
        """Counts against the training set's own steps, or against truth from elsewhere."""
        return _tally(self.stretch, self.model.picker, self.probability, truth_ms)


def on_unseen_people(stretches: Sequence[Stretch], seed: int, progress: Progress = lambda _: None) -> list[Unseen]:
    """What detectors say of each person that learnt, in all, from the others: one person a time, or a fifth of many."""
    found = []
    groups = folds([stretch.person for stretch in stretches], _OUTER_FOLDS, seed)
    for number, group in enumerate(groups, start=1):

        def say(what: str, number: int = number) -> None:
            progress(f"people set aside, part {number} of {len(groups)}: {what}")

        model = fit([stretch for stretch in stretches if stretch.person not in group], seed, say)
        found += [Unseen(s, model, model.probability(s.acceleration)) for s in stretches if s.person in group]
    return found
