"""Export of a fitted detector to ONNX: one graph from raw acceleration to the probability of a step."""

from typing import Any, NamedTuple

import numpy as np
import onnx
from lightgbm import Booster
from onnx import TensorProto, helper, numpy_helper

from stedi.steps.features.graph import IR_VERSION, OPSET, OUTPUT, feature_graph
from stedi.steps.model.fit import FittedDetector
from stedi.steps.model.onnx_detector import PROBABILITY, THRESHOLD_KEY

# TreeEnsembleRegressor exists since the first version of this operator set.
_TREES_OPSET = 1


def export_onnx(detector: FittedDetector) -> bytes:
    """Return the content of the detector's file: features, trees and calibration in one graph.

    Input `acceleration`: samples × 3 axes at 50 Hz, float32, in any unit. Output `probability`: of a step in each frame,
    float32. The metadata contains the threshold of the peak picker.
    """
    graph = feature_graph()
    graph.node.append(tree_ensemble(detector.trees.booster_, OUTPUT, "score"))
    for name, value in {"slope": detector.slope, "offset": detector.offset}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "column"))
    for operator, inputs, output in (
        ("Mul", ["score", "slope"], "scaled_score"),
        ("Add", ["scaled_score", "offset"], "log_odds"),
        ("Sigmoid", ["log_odds"], "probability_column"),
        ("Squeeze", ["probability_column", "column"], PROBABILITY),
    ):
        graph.node.append(helper.make_node(operator, inputs, [output]))
    del graph.output[:]
    # "places" are frames: the names of dimensions are part of the file format.
    graph.output.append(helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, ["places"]))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _TREES_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="stedi")
    helper.set_model_props(model, {THRESHOLD_KEY: repr(detector.picker.threshold)})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class _Node(NamedTuple):
    """Node of a tree: a split (value <= threshold goes left), or a leaf with its weight."""

    mode: str
    feature: int = 0
    threshold: float = 0.0
    left: int = 0
    right: int = 0
    weight: float = 0.0


def tree_ensemble(booster: Booster, features: str, score: str) -> onnx.NodeProto:
    """Convert LightGBM's trees to one ONNX node that adds up their leaves, without the link function of the objective."""
    trees = [_flatten(tree["tree_structure"], []) for tree in booster.dump_model()["tree_info"]]
    nodes = [(tree, number, node) for tree, nodes in enumerate(trees) for number, node in enumerate(nodes)]
    leaves = [(tree, number, node) for tree, number, node in nodes if node.mode == "LEAF"]
    return helper.make_node(
        "TreeEnsembleRegressor",
        [features],
        [score],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[tree for tree, _, _ in nodes],
        nodes_nodeids=[number for _, number, _ in nodes],
        nodes_modes=[node.mode for _, _, node in nodes],
        nodes_featureids=[node.feature for _, _, node in nodes],
        nodes_values=[node.threshold for _, _, node in nodes],
        nodes_truenodeids=[node.left for _, _, node in nodes],
        nodes_falsenodeids=[node.right for _, _, node in nodes],
        target_ids=[0] * len(leaves),
        target_treeids=[tree for tree, _, _ in leaves],
        target_nodeids=[number for _, number, _ in leaves],
        target_weights=[node.weight for _, _, node in leaves],
    )


def _flatten(structure: dict[str, Any], nodes: list[_Node]) -> list[_Node]:
    """Append a node of LightGBM's dump and its descendants to a tree's nodes, parents first; return all nodes."""
    if "leaf_value" in structure:
        nodes.append(_Node("LEAF", weight=structure["leaf_value"]))
        return nodes
    number = len(nodes)
    split = _Node("BRANCH_LEQ", structure["split_feature"], float(round_down(structure["threshold"])), left=number + 1)
    nodes.append(split)
    _flatten(structure["left_child"], nodes)
    nodes[number] = split._replace(right=len(nodes))
    return _flatten(structure["right_child"], nodes)


def round_down(threshold: float) -> np.float32:
    """Round to the next lower single-precision number.

    Features have single precision. A single-precision number is at most the threshold if and only if it is at most the
    rounded threshold, so a runtime with single precision takes every split as LightGBM does.
    """
    rounded = np.float32(threshold)
    return rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf))
