"""Equal trees give equal skops files, whenever and wherever in memory they were made."""

from pathlib import Path

import numpy as np
import skops.io
from lightgbm import LGBMRegressor

from stedi.steps.model.fit import TREES
from stedi.steps.model.skops_export import export_skops

FEATURES = np.random.default_rng(1).normal(size=(1_000, 4)).astype(np.float32)


def grown(seed: int) -> LGBMRegressor:
    trees = LGBMRegressor(**(TREES | {"n_estimators": 3}), random_state=seed)
    return trees.fit(FEATURES, (FEATURES[:, 0] > 0).astype(float))


def test_equal_trees_give_equal_files(tmp_path: Path) -> None:
    trees = grown(1)
    content = export_skops(trees)
    assert content == export_skops(grown(1))
    assert content != export_skops(grown(2))
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    loaded = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    assert np.array_equal(loaded.predict(FEATURES), trees.predict(FEATURES))
    assert loaded.get_params() == trees.get_params()
