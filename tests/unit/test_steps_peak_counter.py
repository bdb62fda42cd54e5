"""Peak counters count steps in any unit, and none at rest."""

import numpy as np
import pytest

from stedi.steps.evaluation.peak_counter import FIXED, step_band


def walking(seconds: int, steps_a_second: float, strength: float) -> np.ndarray:
    t = np.arange(seconds * 50) / 50
    return np.stack([0 * t, 0 * t, 1 + strength * np.sin(2 * np.pi * steps_a_second * t)], axis=1).astype(np.float32)


@pytest.mark.parametrize("unit", [1, 9.81, 1000])
def test_two_steps_a_second(unit: float) -> None:
    steps = FIXED.count(step_band(walking(60, 2, 0.3) * np.float32(unit)))
    assert len(steps) == 120
    # The top of the sine is an eighth of a second after its start.
    assert steps / 50 == pytest.approx(np.arange(120) / 2 + 0.125, abs=0.021)


def test_no_steps_at_rest() -> None:
    still = walking(60, 2, 0)
    noise = np.random.default_rng(1).normal(scale=0.005, size=still.shape).astype(np.float32)
    assert len(FIXED.count(step_band(still + noise))) == 0
    assert len(FIXED.count(step_band(still[:10]))) == 0
    assert len(FIXED.count(step_band(np.zeros((500, 3), np.float32)))) == 0
