"""Peak picking: from probabilities to steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stedi.steps.model.peaks import RECEPTIVE_FIELD_FRAMES, PeakPicker

Floats = NDArray[np.float64]


def bumps(frames: int, *tops: tuple[float, float]) -> Floats:
    """Gaussian bumps with a sigma of 50 ms, each given by frame and height."""
    at = np.arange(frames)[:, None]
    where, height = np.array(tops).T
    probability: Floats = (height * np.exp(-0.5 * ((at - where) / 1.25) ** 2)).sum(axis=1)
    return probability


def test_steps_are_located_between_frames() -> None:
    steps = PeakPicker(0.1).pick(bumps(100, (20.0, 0.9), (32.4, 0.9), (45.0, 0.9)))
    assert steps == pytest.approx([20.0, 32.4, 45.0], abs=0.1)


def test_of_two_peaks_within_200_ms_the_higher_is_a_step() -> None:
    assert PeakPicker(0.1).pick(bumps(100, (20, 0.6), (25, 0.9))) == pytest.approx([25], abs=0.2)
    assert len(PeakPicker(0.1).pick(bumps(100, (20, 0.6), (27, 0.9)))) == 2


def test_a_weak_peak_counts_in_a_gap_of_the_rhythm() -> None:
    # Every 0.6 s (15 frames) a step, one of them weak.
    rhythm = [(20.0 + 15 * step, 0.9) for step in range(8)]
    rhythm[4] = (80.0, 0.08)
    assert len(PeakPicker(0.1).pick(bumps(200, *rhythm))) == 8
    # Without its neighbours it is no step.
    assert len(PeakPicker(0.1).pick(bumps(200, rhythm[4]))) == 0
    # After the last step there is no gap.
    assert len(PeakPicker(0.1).pick(bumps(200, *rhythm[:4], rhythm[4]))) == 4


def test_empty_flat_and_constant_probabilities() -> None:
    assert len(PeakPicker(0.1).pick(np.empty(0))) == 0
    assert len(PeakPicker(0.1).pick(np.zeros(50))) == 0
    assert len(PeakPicker(0.1).pick(np.full(50, 0.9))) == 1


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 499))
@settings(max_examples=50, deadline=None)
def test_a_part_with_its_receptive_field_has_the_steps_of_the_whole(seed: int, cut: int) -> None:
    probability = np.random.default_rng(seed).random(500)
    picker = PeakPicker(0.1)
    whole = picker.pick(probability)
    before = picker.pick(probability[: cut + RECEPTIVE_FIELD_FRAMES])
    begin = max(0, cut - RECEPTIVE_FIELD_FRAMES)
    after = picker.pick(probability[begin:]) + begin
    together = np.concatenate([before[np.round(before) < cut], after[np.round(after) >= cut]])
    assert together == pytest.approx(whole)
