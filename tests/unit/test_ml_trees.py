"""Splits of single precision decide what the splits of double precision decided."""

import numpy as np
from lightgbm import LGBMRegressor

from stedi.steps.model.trees import with_single_thresholds


def test_no_decision_changes() -> None:
    rng = np.random.default_rng(1)
    # Few distinct values, so that many lie at a split.
    seen = (rng.integers(0, 50, size=(5000, 4)) / 7).astype(np.float32)
    trees = LGBMRegressor(n_estimators=30, min_child_samples=5, n_jobs=1, verbose=-1).fit(seen, seen.sum(axis=1) ** 2)
    before = trees.booster_.predict(seen, raw_score=True)
    after = with_single_thresholds(trees).booster_
    assert np.array_equal(before, after.predict(seen, raw_score=True))
    splits = after.trees_to_dataframe()["threshold"].dropna().to_numpy(float)
    assert len(splits) > 100
    assert np.array_equal(splits, splits.astype(np.float32).astype(float))
