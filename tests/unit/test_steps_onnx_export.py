"""The exported trees take every split as LightGBM does, although they compare in single precision."""

import numpy as np
import onnxruntime as ort
import pytest
from lightgbm import LGBMRegressor
from onnx import TensorProto, helper

from stedi.steps.model.onnx_export import round_down, tree_ensemble


def test_thresholds_are_rounded_down_to_single_precision() -> None:
    one = np.float32(1)
    above, below = np.nextafter(one, np.float32(2)), np.nextafter(one, np.float32(0))
    assert round_down(1.0) == one
    assert round_down((float(above) + 1) / 2) == one
    assert round_down(np.nextafter(float(above), 0)) == one
    assert round_down(np.nextafter(1.0, 0)) == below
    assert float(round_down(-0.1)) < -0.1 < float(np.nextafter(round_down(-0.1), one))


@pytest.mark.parametrize("trees", [1, 30])
def test_trees_give_the_scores_of_lightgbm(trees: int) -> None:
    rng = np.random.default_rng(1)
    # Few distinct values, so that many are equal or next to a threshold.
    features = (rng.integers(0, 50, size=(5000, 4)) / 7).astype(np.float32)
    model = LGBMRegressor(n_estimators=trees, min_child_samples=5, n_jobs=1, verbose=-1)
    booster = model.fit(features, features.sum(axis=1) ** 2).booster_
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("features", "score")]
    graph = helper.make_graph([tree_ensemble(booster, "features", "score")], "trees", tensors[:1], tensors[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    [scores] = ort.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"features": features})
    # A single wrong split changes a score by much more.
    assert scores[:, 0] == pytest.approx(np.asarray(booster.predict(features, raw_score=True)), rel=1e-5)
