"""Matching and metrics against values worked out by hand, and against a solver."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from stedi.steps.evaluation.assessment import Assessment
from stedi.steps.metrics import compute_metrics, count_steps, match_steps, metric_intervals

times = st.lists(st.integers(0, 2000), max_size=12, unique=True).map(lambda values: np.array(sorted(values), float))


def test_each_step_is_used_once() -> None:
    assert match_steps(np.array([1000.0]), np.array([950.0, 1050.0]), 100) == [(1000, 950)]
    assert match_steps(np.array([0.0, 150.0]), np.array([100.0, 250.0]), 100) == [(0, 100), (150, 250)]
    assert match_steps(np.array([0.0]), np.array([101.0]), 100) == []
    assert match_steps(np.empty(0), np.array([1.0]), 100) == []


@given(true=times, detected=times)
def test_matching_is_maximal(true: np.ndarray, detected: np.ndarray) -> None:
    pairs = match_steps(true, detected, 100)
    near = csr_array((np.abs(true[:, None] - detected[None]) <= 100).astype(np.int8))
    most = int((maximum_bipartite_matching(near) >= 0).sum()) if len(true) and len(detected) else 0
    assert len(pairs) == most


def test_counts_and_metrics_of_a_stretch() -> None:
    # Steps from 10 to 11 s of 20 s; detected: one close, one 200 ms late, one 5 s later, one outside.
    counts = count_steps(np.array([10_000.0, 10_500, 11_000]), np.array([10_010.0, 10_700, 16_000, 20_001]), 0, 20_000)
    assert (counts.true, counts.detected, counts.matched_100, counts.matched_250) == (3, 3, 1, 2)
    # Nobody walks until 2 s before the first step, nor from 2 s after the last: 8 s and 7 s.
    assert counts.rest_seconds == pytest.approx(15)
    assert counts.detected_at_rest == 1
    metrics = compute_metrics([counts])
    assert metrics.precision_100 == pytest.approx(1 / 3)
    assert metrics.f1_250 == pytest.approx(2 / 3)
    assert (metrics.count_mape, metrics.count_bias) == (0, 0)
    assert metrics.false_steps_per_idle_minute == pytest.approx(4)
    assert metrics.median_timing_error_ms == pytest.approx(105)


def test_a_stretch_without_steps_is_all_rest() -> None:
    counts = count_steps(np.empty(0), np.array([30_000.0]), 0, 60_000)
    assert (counts.rest_seconds, counts.detected_at_rest) == (60, 1)
    assert math.isnan(compute_metrics([counts]).count_mape)
    assert compute_metrics([counts]).false_steps_per_idle_minute == 1


def test_one_person_has_no_interval_and_equal_people_an_interval_of_length_zero() -> None:
    good = [count_steps(np.array([1000.0, 2000]), np.array([1000.0, 2000]), 0, 3000)]
    bad = [count_steps(np.array([1000.0, 2000]), np.empty(0), 0, 3000)]
    assert all(map(math.isnan, metric_intervals([good], 1)["f1_100"]))
    assert metric_intervals([good, good, good], 1)["f1_100"] == (1, 1)
    low, high = metric_intervals([good, bad, good, bad], 1)["f1_100"]
    assert low < 2 / 3 < high
    assert metric_intervals([good, bad], 7)["f1_100"] == metric_intervals([good, bad], 7)["f1_100"]


def test_better_peak_counters_are_listed() -> None:
    good, bad = (compute_metrics([count_steps(np.array([1000.0]), np.array([1000.0 + off]), 0, 2000)]) for off in (0, 200))
    metrics = {"detector": bad, "tuned peak counter": good, "fixed peak counter": bad}
    assert Assessment(1, 1, 1, metrics, {}, [], (0, 0), {}).better_baselines == ["tuned peak counter"]
    assert Assessment(1, 1, 1, metrics | {"detector": good}, {}, [], (0, 0), {}).better_baselines == []
