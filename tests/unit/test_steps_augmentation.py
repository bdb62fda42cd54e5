"""Augmentation: steps move along with the motion, and gravity stays."""

import numpy as np
import pytest

from stedi.model.resampling import SAMPLE_MS
from stedi.steps.data.augmentation import augment, change_pace
from stedi.steps.data.stretches import Stretch

START = 1_600_000_000_000


def pushes() -> Stretch:
    """Ten seconds of gravity along z, with a push of one sample along z at each of nine steps."""
    acceleration = np.tile(np.array([0, 0, 9.81], np.float32), (501, 1))
    steps = np.arange(50, 500, 50)
    acceleration[steps, 2] += 2
    return Stretch("p", START, acceleration, START + SAMPLE_MS * steps.astype(np.float64))


def test_at_half_the_pace_steps_come_half_as_often_and_weaker() -> None:
    slow = change_pace(pushes(), 0.5, 0.25)
    assert (slow.start_ms, slow.acceleration.shape) == (START, (1001, 3))
    assert slow.steps_ms.tolist() == [START + 2_000 * step for step in range(1, 10)]
    at = ((slow.steps_ms - START) / SAMPLE_MS).astype(int)
    # A push of 2 in one of 50 samples lifts the mean by 0.04, to either side of which a quarter is left.
    assert slow.acceleration[at, 2] == pytest.approx(9.81 + 2 / 4, abs=0.05)
    assert slow.acceleration[at + 50, 2] == pytest.approx(9.81, abs=0.05)


def test_at_its_own_pace_and_strength_nothing_changes() -> None:
    same = change_pace(pushes(), 1, 1)
    assert np.allclose(same.acceleration, pushes().acceleration, atol=1e-5)
    assert same.steps_ms.tolist() == pushes().steps_ms.tolist()


def test_the_draw_depends_on_the_seed_and_is_within_bounds() -> None:
    def lengths(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [len(augment(pushes(), rng).acceleration) for _ in range(50)]

    assert lengths(1) == lengths(1) != lengths(2)
    assert min(lengths(1)) < 300
    assert 250 <= min(lengths(1)) <= max(lengths(1)) <= 801
