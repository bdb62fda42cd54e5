"""Fitting of a detector: gradient-boosted trees, their calibration, and the threshold of the peak picker."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from stedi.model.progress import Progress, Report
from stedi.steps.data.folds import person_folds
from stedi.steps.features.graph import compute_features
from stedi.steps.metrics import selection_score
from stedi.steps.model.examples import Example
from stedi.steps.model.peaks import PeakPicker

Floats = NDArray[np.float64]

# The trees' target is a Gaussian of the distance to the nearest step. True times are precise to about 100 ms, which is
# about two standard deviations.
_TARGET_SIGMA_MS = 50
# A frame is labelled as a step for calibration if a step is at most one and a half frames away.
STEP_LABEL_MS = 60
# With full weight, augmented motion makes counts worse.
_AUGMENTED_WEIGHT = 0.5
_FOLDS = 3
# Candidates for the threshold, as shares of the label rate near steps. None is above a half, because the detector is less
# certain on a person unlike those in the training data.
_THRESHOLD_SHARES = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
# Frames at most this far from a step count as walking.
_WALKING_DISTANCE_MS = 1_000
# Set once and not tuned since; "guide" is LightGBM's page on parameter tuning. bench/tree_settings.py changes one setting at
# a time. On 11 simulated people (16 minutes) F1 at ±0.1 s is 0.754 with these and 0.748 to 0.765 with the others: no single
# setting decides the result there.
TREES: dict[str, Any] = {
    # For targets between 0 and 1. Squared error: count error 5.4% for 9.4%, 1.65 for 0.96 false steps a minute.
    "objective": "cross_entropy",
    # Small steps and many trees (guide, for accuracy): half the default rate, three times the default number.
    "n_estimators": 300,
    "learning_rate": 0.05,
    # The default. F1 is 0.761 with 15 and 0.748 with 63.
    "num_leaves": 31,
    # 8 s of motion. Frames 40 ms apart are nearly equal, so a leaf of the default, 20, may be a single step.
    "min_child_samples": 200,
    # Features of neighbouring lags are nearly equal, too. With all of them, trees take twice the time (F1 0.749).
    "colsample_bytree": 0.3,
    # A new half of the frames for each tree (guide, against overfitting). F1 is 0.753 with all frames.
    "subsample": 0.5,
    "subsample_freq": 1,
    # Guide, against overfitting. F1 is 0.765 without.
    "reg_lambda": 5.0,
    # The same trees bit for bit on one machine (LightGBM's documentation asks for both).
    "deterministic": True,
    "force_row_wise": True,
    # With two threads that wait for each other at every split, training takes three times as long on a busy machine.
    "n_jobs": 1,
    "verbose": -1,
}


@dataclass(frozen=True)
class FittedDetector:
    """A fitted detector: probability = 1 / (1 + exp(-(slope · score of the trees + offset))).

    Attributes:
        trees: trees whose raw score grows with the nearness of a step.
        slope, offset: Platt's calibration.
        picker: turns probabilities into steps.
    """

    trees: LGBMRegressor
    slope: float
    offset: float
    picker: PeakPicker

    def probability(self, acceleration: NDArray[np.float32]) -> Floats:
        """Compute the probability of a step in each frame of a stretch (samples × 3 axes at 50 Hz, in any unit)."""
        return self.probability_of(compute_features(acceleration))

    def probability_of(self, features: NDArray[np.float32]) -> Floats:
        """Compute the probability of a step in each frame from its features (frames × features)."""
        return logistic(self.slope * raw_scores(self.trees, features) + self.offset)


def logistic(log_odds: Floats) -> Floats:
    """Convert log odds to probabilities."""
    probability: Floats = 1 / (1 + np.exp(-log_odds))
    return probability


def raw_scores(trees: LGBMRegressor, features: NDArray[np.float32]) -> Floats:
    """Compute the trees' score of each frame (frames × features), before the link function of the objective."""
    return np.asarray(trees.booster_.predict(features, raw_score=True, num_threads=1), np.float64)


class TreeCounter:
    """Counts grown trees across threads, and reports each."""

    def __init__(self, progress: Report, step: str, people: Iterable[int]) -> None:
        """Expect one call of `fit` for each number of people."""
        self._progress, self._step = progress, step
        self._done, self._lock = 0, Lock()
        self._total = TREES["n_estimators"] * sum(min(_FOLDS, number) + 1 for number in people)

    def add(self) -> None:
        """Count one tree."""
        with self._lock:
            self._done += 1
            self._progress(Progress(self._step, self._done, self._total, "trees"))


def fit(examples: Sequence[Example], seed: int, on_tree: Callable[[], None] = lambda: None) -> FittedDetector:
    """Fit a detector to examples of at least two people.

    Calibration and threshold are chosen on held-out people, by cross-validation within the examples. The detector's trees
    are then grown on all examples.

    Args:
        examples: stretches with features.
        seed: random seed of the folds and the trees.
        on_tree: called after each tree.
    """
    held_out: list[tuple[Example, Floats]] = []
    for fold in person_folds((example.stretch.person for example in examples), _FOLDS, seed):
        trees = grow_trees([example for example in examples if example.stretch.person not in fold], seed, on_tree)
        tested = [example for example in examples if example.stretch.person in fold]
        held_out += [(example, raw_scores(trees, example.features)) for example in tested]
    slope, offset = calibrate(held_out)
    picker = best_picker([(example, logistic(slope * scores + offset)) for example, scores in held_out])
    return FittedDetector(grow_trees(examples, seed, on_tree), slope, offset, picker)


def grow_trees(
    examples: Sequence[Example], seed: int, on_tree: Callable[[], None] = lambda: None, **settings: Any
) -> LGBMRegressor:
    """Grow trees that predict from a frame's features how near a step is; `settings` replace those of `TREES`."""
    recorded = [example.features for example in examples]
    augmented = [example.augmented_features for example in examples]
    features = np.concatenate(recorded + augmented)
    distances_ms = np.concatenate(
        [example.distance_ms for example in examples] + [example.augmented_distance_ms for example in examples]
    )
    is_recorded = np.arange(len(features)) < sum(map(len, recorded))
    targets = np.exp(-0.5 * (distances_ms / _TARGET_SIGMA_MS) ** 2)
    weights = np.where(is_recorded, 1, _AUGMENTED_WEIGHT)
    trees = LGBMRegressor(**(TREES | settings), random_state=seed)
    return trees.fit(features, targets, sample_weight=weights, callbacks=[lambda _: on_tree()])


def calibrate(held_out: Sequence[tuple[Example, Floats]]) -> tuple[float, float]:
    """Fit the slope and offset from raw scores to the log odds of a step (Platt 1999), on held-out people."""
    scores = np.concatenate([scores for _, scores in held_out])
    is_step = np.concatenate([example.distance_ms for example, _ in held_out]) <= STEP_LABEL_MS
    # Threads add up in another order: on 90,000 frames, one and two threads give offsets that differ in the last digits.
    with threadpool_limits(limits=1, user_api="blas"):
        line = LogisticRegression(C=np.inf).fit(scores[:, None], is_step)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def best_picker(held_out: Sequence[tuple[Example, Floats]]) -> PeakPicker:
    """Choose the threshold with the best selection score, from the probabilities on held-out people."""
    distances_ms = np.concatenate([example.distance_ms for example, _ in held_out])
    label_rate = float(np.mean(distances_ms[distances_ms <= _WALKING_DISTANCE_MS] <= STEP_LABEL_MS))
    pickers = [PeakPicker(label_rate * share) for share in _THRESHOLD_SHARES]

    def score(picker: PeakPicker) -> float:
        return selection_score(example.count(picker, probability) for example, probability in held_out)

    return max(pickers, key=score)
