"""Matching and counting, worked by hand, and against a solver."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from stedi.steps.evaluation.assessment import Assessment
from stedi.steps.metrics import intervals, matched, scores, tally

times = st.lists(st.integers(0, 2000), max_size=12, unique=True).map(lambda found: np.array(sorted(found), float))


def test_each_step_is_used_once() -> None:
    assert matched(np.array([1000.0]), np.array([950.0, 1050.0]), 100) == [(1000, 950)]
    assert matched(np.array([0.0, 150.0]), np.array([100.0, 250.0]), 100) == [(0, 100), (150, 250)]
    assert matched(np.array([0.0]), np.array([101.0]), 100) == []
    assert matched(np.empty(0), np.array([1.0]), 100) == []


@given(true=times, found=times)
def test_no_matching_has_more_pairs(true: np.ndarray, found: np.ndarray) -> None:
    pairs = matched(true, found, 100)
    near = csr_array((np.abs(true[:, None] - found[None]) <= 100).astype(np.int8))
    most = int((maximum_bipartite_matching(near) >= 0).sum()) if len(true) and len(found) else 0
    assert len(pairs) == most


def test_a_stretch_is_counted() -> None:
    # Steps from 10 to 11 s of 20 s; found: one close, one 200 ms late, one 5 s later, one outside.
    counted = tally(np.array([10_000.0, 10_500, 11_000]), np.array([10_010.0, 10_700, 16_000, 20_001]), 0, 20_000)
    assert (counted.true, counted.found, counted.matched_100, counted.matched_250) == (3, 3, 1, 2)
    # Nobody walks until 2 s before the first step, nor from 2 s after the last: 8 s and 7 s.
    assert counted.idle_seconds == pytest.approx(15)
    assert counted.found_idle == 1
    figures = scores([counted])
    assert figures.precision_100 == pytest.approx(1 / 3)
    assert figures.f1_250 == pytest.approx(2 / 3)
    assert (figures.count_mape, figures.count_bias) == (0, 0)
    assert figures.false_steps_per_idle_minute == pytest.approx(4)
    assert figures.median_timing_error_ms == pytest.approx(105)


def test_a_stretch_without_steps_is_idle_throughout() -> None:
    counted = tally(np.empty(0), np.array([30_000.0]), 0, 60_000)
    assert (counted.idle_seconds, counted.found_idle) == (60, 1)
    assert math.isnan(scores([counted]).count_mape)
    assert scores([counted]).false_steps_per_idle_minute == 1


def test_one_person_has_no_interval_and_alike_people_a_narrow_one() -> None:
    good = [tally(np.array([1000.0, 2000]), np.array([1000.0, 2000]), 0, 3000)]
    bad = [tally(np.array([1000.0, 2000]), np.empty(0), 0, 3000)]
    assert all(map(math.isnan, intervals([good], 1)["f1_100"]))
    assert intervals([good, good, good], 1)["f1_100"] == (1, 1)
    low, high = intervals([good, bad, good, bad], 1)["f1_100"]
    assert low < 2 / 3 < high
    assert intervals([good, bad], 7)["f1_100"] == intervals([good, bad], 7)["f1_100"]


def test_a_detector_says_which_peak_counter_is_better() -> None:
    good, bad = (scores([tally(np.array([1000.0]), np.array([1000.0 + off]), 0, 2000)]) for off in (0, 200))
    figures = {"detector": bad, "tuned peak counter": good, "fixed peak counter": bad}
    assert Assessment(1, 1, 1, figures, {}, [], (0, 0), {}).better_methods == ["tuned peak counter"]
    assert Assessment(1, 1, 1, figures | {"detector": good}, {}, [], (0, 0), {}).better_methods == []
