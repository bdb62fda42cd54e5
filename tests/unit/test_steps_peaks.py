"""Peaks of the probability become steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stedi.steps.model.peaks import RECEPTIVE_FIELD_FRAMES, PeakPicker

Floats = NDArray[np.float64]


def bumps(places: int, *tops: tuple[float, float]) -> Floats:
    """Bumps 50 ms wide, each at a place and of a height."""
    at = np.arange(places)[:, None]
    where, height = np.array(tops).T
    found: Floats = (height * np.exp(-0.5 * ((at - where) / 1.25) ** 2)).sum(axis=1)
    return found


def test_a_step_lies_between_places() -> None:
    found = PeakPicker(0.1).pick(bumps(100, (20.0, 0.9), (32.4, 0.9), (45.0, 0.9)))
    assert found == pytest.approx([20.0, 32.4, 45.0], abs=0.1)


def test_of_two_peaks_within_200_ms_the_higher_is_a_step() -> None:
    assert PeakPicker(0.1).pick(bumps(100, (20, 0.6), (25, 0.9))) == pytest.approx([25], abs=0.2)
    assert len(PeakPicker(0.1).pick(bumps(100, (20, 0.6), (27, 0.9)))) == 2


def test_a_weak_peak_counts_where_the_rhythm_misses_a_step() -> None:
    # Every 0.6 s (15 places) a step, one of them weak.
    rhythm = [(20.0 + 15 * step, 0.9) for step in range(8)]
    rhythm[4] = (80.0, 0.08)
    assert len(PeakPicker(0.1).pick(bumps(200, *rhythm))) == 8
    # Without its neighbours it is none.
    assert len(PeakPicker(0.1).pick(bumps(200, rhythm[4]))) == 0
    # After the last step nothing says that one more is due.
    assert len(PeakPicker(0.1).pick(bumps(200, *rhythm[:4], rhythm[4]))) == 4


def test_nothing_and_a_plateau() -> None:
    assert len(PeakPicker(0.1).pick(np.empty(0))) == 0
    assert len(PeakPicker(0.1).pick(np.zeros(50))) == 0
    assert len(PeakPicker(0.1).pick(np.full(50, 0.9))) == 1


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 499))
@settings(max_examples=50, deadline=None)
def test_a_part_with_what_reaches_it_has_the_steps_of_the_whole(seed: int, cut: int) -> None:
    probability = np.random.default_rng(seed).random(500)
    picker = PeakPicker(0.1)
    whole = picker.pick(probability)
    before = picker.pick(probability[: cut + RECEPTIVE_FIELD_FRAMES])
    begin = max(0, cut - RECEPTIVE_FIELD_FRAMES)
    after = picker.pick(probability[begin:]) + begin
    together = np.concatenate([before[np.round(before) < cut], after[np.round(after) >= cut]])
    assert together == pytest.approx(whole)
