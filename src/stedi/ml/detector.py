"""The detector's file: one ONNX graph from raw acceleration to the probability of a step, which any runtime can run."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from stedi.errors import WarehouseError
from stedi.ml.features import INPUT, IR_VERSION, OPSET, OUTPUT, feature_graph, feature_list
from stedi.ml.picking import Picker
from stedi.ml.training import Model

PROBABILITY = "probability"
FILE_NAME = "detector.onnx"
# The newest that the converter knows; trees have been the same since 2017.
_TREES_OPSET = 15
_LEAST = "stedi.picker.least"


class Detector:
    """A detector read from its file.

    Attributes:
        picker: how its probabilities become steps.
    """

    def __init__(self, content: bytes, name: str) -> None:
        """Make a detector of the content of a file.

        Raises:
            WarehouseError: it is no detector.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            said = self._session.get_modelmeta().custom_metadata_map
            self.picker = Picker(float(said[_LEAST]))
        # The runtime's errors have no class of their own in common.
        except Exception as error:
            raise WarehouseError(
                f"{name} is no step detector ({type(error).__name__}); train one with `stedi train`"
            ) from None

    @classmethod
    def load(cls, folder: Path) -> "Detector":
        """The detector in a model's folder.

        Raises:
            WarehouseError: none is there, or it can't be read.
        """
        path = folder / FILE_NAME
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise WarehouseError(f"{path} can't be read ({error.strerror}); train a model with `stedi train`") from None

    def probability(self, acceleration: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of a step at every second sample of one unbroken stretch.

        Args:
            acceleration: samples × 3 axes at 50 Hz, in any unit.

        Returns:
            (samples + 1) // 2 probabilities.
        """
        [found] = self._session.run([PROBABILITY], {INPUT: np.ascontiguousarray(acceleration, np.float32)})
        return np.asarray(found, np.float64)


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
    helper.set_model_props(made, {_LEAST: repr(model.picker.least)})
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
