"""Fitting gives the same detector whatever the number of threads."""

import numpy as np
from threadpoolctl import threadpool_limits

from stedi.steps.data.stretches import Stretch
from stedi.steps.model.examples import Example
from stedi.steps.model.fit import calibrate

FRAMES = 90_000


def test_the_calibration_does_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=FRAMES)
    distance_ms = np.where(scores + rng.normal(size=FRAMES) > 0, 0.0, 1_000.0)
    nothing = np.empty((0, 3), np.float32)
    example = Example(Stretch("p", 0, nothing, np.empty(0)), nothing, distance_ms, nothing, np.empty(0))
    lines = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            lines.append(calibrate([(example, scores)]))
    assert len(set(lines)) == 1
