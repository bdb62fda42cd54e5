"""The detector's file: one ONNX graph from raw acceleration to the probability of a step, which any runtime can run."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from stedi.steps.features.features import IR_VERSION, OPSET, OUTPUT, feature_graph, feature_list
from stedi.steps.model.detector import LEAST, PROBABILITY
from stedi.steps.model.training import Model

# The newest that the converter knows; trees have been the same since 2017.
_TREES_OPSET = 15


def detector_file(model: Model) -> bytes:
    """The content of the file of a trained model: features, trees and calibration in one graph."""
    graph = feature_graph()
    trees = _trees(model)
    graph.node.append(trees)
    calibration = {"slope": model.slope, "offset": model.offset}
    for name, value in calibration.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "column"))
    for kind, inputs, output in (
        ("Mul", [trees.output[0], "slope"], "sloped"),
        ("Add", ["sloped", "offset"], "log_odds"),
        ("Sigmoid", ["log_odds"], "certainty"),
        ("Squeeze", ["certainty", "column"], PROBABILITY),
    ):
        graph.node.append(helper.make_node(kind, inputs, [output]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, ["places"]))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="stedi")
    helper.set_model_props(made, {LEAST: repr(model.picker.least)})
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _trees(model: Model) -> onnx.NodeProto:
    """The trees as one node that gives their score, without what their objective makes of it."""
    booster = model.trees.booster_
    text = booster.model_to_string().replace("cross_entropy", "regression")
    inputs = [(OUTPUT, FloatTensorType([None, len(feature_list())]))]
    converted = convert_lightgbm(type(booster)(model_str=text), initial_types=inputs, target_opset=_TREES_OPSET)
    node: onnx.NodeProto
    [node] = [node for node in converted.graph.node if node.op_type == "TreeEnsembleRegressor"]
    node.input[0] = OUTPUT
    return node
