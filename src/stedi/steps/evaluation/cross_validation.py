"""Cross-validation of the detector by person."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stedi.model.progress import Report
from stedi.steps.data.folds import person_folds
from stedi.steps.data.stretches import Stretch
from stedi.steps.model.examples import Example
from stedi.steps.model.fit import FittedDetector, TreeCounter, fit

Floats = NDArray[np.float64]

MIN_PEOPLE = 3
_FOLDS = 5
# For two cores. Each fold takes 1 GB.
_PARALLEL_FOLDS = 2


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A stretch of a held-out person, with a detector fitted to other people.

    Attributes:
        stretch: motion and true steps.
        detector: the detector that was fitted without this person.
        probability: its probability of a step in each frame.
    """

    stretch: Stretch
    detector: FittedDetector
    probability: Floats

    @property
    def detected_ms(self) -> Floats:
        """Times of the detected steps (ms since the epoch), sorted."""
        return self.detector.picker.pick_ms(self.probability, self.stretch.start_ms)


def cross_validate(examples: Sequence[Example], seed: int, progress: Report = lambda _: None) -> list[HeldOut]:
    """Detect the steps of every person by a detector fitted to the others.

    People are held out one at a time, or a fifth of them if there are more than five. Calibration and threshold are
    fitted without them, too.

    Args:
        examples: stretches with features, of at least three people.
        seed: random seed of the folds and the trees.
        progress: receives the number of grown trees, from several threads but one at a time.

    Returns:
        One result for each example, fold by fold.
    """
    people = {example.stretch.person for example in examples}
    folds = person_folds(people, _FOLDS, seed)
    counter = TreeCounter(progress, f"{len(folds)}-fold cross-validation", (len(people - fold) for fold in folds))

    def hold_out(fold: set[str]) -> list[HeldOut]:
        detector = fit([example for example in examples if example.stretch.person not in fold], seed, counter.add)
        tested = [example for example in examples if example.stretch.person in fold]
        return [HeldOut(example.stretch, detector, detector.probability_of(example.features)) for example in tested]

    # The limit that `calibrate` sets is one for all threads: the first to end would lift it for the others.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(_PARALLEL_FOLDS) as pool:
        futures = [pool.submit(hold_out, fold) for fold in folds]
        try:
            return [held_out for future in futures for held_out in future.result()]
        finally:
            # After an interruption, folds that have not begun are not waited for.
            pool.shutdown(wait=False, cancel_futures=True)
