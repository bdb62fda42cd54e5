"""What the detector sees of a phone's motion around each sample, as one ONNX graph.

The graph is the only definition: training runs it, and the detector's file holds it, so that a
phone needs nothing but the runtime. All of it is free of the phone's unit and of how the phone
lies: acceleration is divided by its own mean over 5 s (which is gravity, whatever the unit), and
only its part along gravity, its part across and its norm are looked at.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stedi.model.resampling import RATE_HZ

Floats = NDArray[np.float32]

INPUT, OUTPUT = "acceleration", "features"
# Samples beyond which nothing reaches a sample's features: 2.5 s for the scale, and as far again
# for what is averaged over 5 s of scaled motion. Any stretch can so be worked on in parts.
REACH = 2 * (RATE_HZ * 5 // 2) + RATE_HZ
# Features are given for every second sample: steps are told apart as well, in half the time.
EVERY = 2

_SCALE_SECONDS = 5.0
# Long enough to average two strides away, short enough to follow a phone that is turned.
_GRAVITY_SECONDS = 2.0
# (signal, smoothing in samples, how far to look in samples, every how many samples). Half a second is
# about a step to either side; the wider look at smoothed motion tells one step from the next.
_LOOKS = (("along", 1, 30, 2), ("norm", 1, 30, 2), ("across", 2, 30, 4), ("along", 4, 60, 6))
# Lags of the autocorrelation: 0.24 to 1.26 s hold a step (0.4 to 0.7 s) and a stride.
_LAGS = range(12, 66, 3)
_AUTOCORRELATION_SECONDS = 3.0
_POWER_SECONDS = (0.26, 0.74, 2.02, 5.02)
IR_VERSION, OPSET = 10, 17


@dataclass(frozen=True)
class Feature:
    """One feature: its name, and its unit (g is the mean acceleration over 5 s)."""

    name: str
    unit: str


def feature_list() -> tuple[Feature, ...]:
    """All features, in the order of the graph's output."""
    looks = [
        Feature(f"{signal}_smoothed_{smoothing}_at_{lag * 1000 // RATE_HZ:+d}_ms", "g")
        for signal, smoothing, reach, stride in _LOOKS
        for lag in range(-reach, reach + 1, stride)
    ]
    lags = [Feature(f"autocorrelation_at_{lag * 1000 // RATE_HZ}_ms", "1") for lag in _LAGS]
    powers = [
        Feature(f"log_power_{signal}_over_{seconds:g}_s", "log g²")
        for seconds in _POWER_SECONDS
        for signal in ("norm", "across", "along")
    ]
    return (*looks, *lags, *powers)


@cache
def _session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = helper.make_model(feature_graph(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def features(acceleration: Floats) -> Floats:
    """Features of every second sample of one unbroken stretch, from its first.

    Args:
        acceleration: samples × 3 axes at 50 Hz, in any unit.

    Returns:
        (samples + 1) // 2 × features, in the order of `feature_list`.
    """
    [found] = _session().run([OUTPUT], {INPUT: acceleration})
    return np.asarray(found, np.float32)


class _Graph:
    """An ONNX graph that grows node by node; signals are 1 × channels × samples."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolve(self, signal: str, kernels: Floats, *, groups: int = 1, every: int = 1) -> str:
        """Each output channel is a weighted sum about each, or every second, sample; the ends go on as they end."""
        half = kernels.shape[-1] // 2
        pads = self.constant(np.array([0, 0, half, 0, 0, half], np.int64))
        padded = self.add("Pad", signal, pads, mode="edge")
        return self.add("Conv", padded, self.constant(kernels.astype(np.float32)), group=groups, strides=[every])

    def averaged(self, signal: str, seconds: float, *, channels: int = 1, every: int = 1) -> str:
        width = int(seconds * RATE_HZ) // 2 * 2 + 1
        kernels = np.full((channels, 1, width), 1 / width, np.float32)
        return self.convolve(signal, kernels, groups=channels, every=every)


def _gaussian(sigma: float, lag: int, reach: int) -> Floats:
    """A smoothing kernel of 2·reach + 1 samples about a lag."""
    at = np.arange(-reach, reach + 1) - lag
    weights = np.exp(-0.5 * (at / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


def feature_graph() -> onnx.GraphProto:
    """The graph from `acceleration` (samples × 3, float32) to `features` (every second sample × features, float32)."""
    graph = _Graph()
    one = graph.constant(np.array(1, np.float32))
    # A phone in free fall has no gravity; nothing may be divided by zero then.
    least = graph.constant(np.array(1e-12, np.float32))
    channel = graph.constant(np.array([1], np.int64))
    axes = graph.add("Unsqueeze", graph.add("Transpose", INPUT, perm=[1, 0]), graph.constant(np.array([0], np.int64)))

    def length(vector: str) -> str:
        squares = graph.add("ReduceSum", graph.add("Mul", vector, vector), channel, keepdims=1)
        return graph.add("Sqrt", graph.add("Max", squares, least))

    norm = length(axes)
    scale = graph.averaged(norm, _SCALE_SECONDS)
    scaled = graph.add("Div", axes, scale)
    gravity = graph.averaged(scaled, _GRAVITY_SECONDS, channels=3)
    down = graph.add("Div", gravity, length(gravity))
    along = graph.add("ReduceSum", graph.add("Mul", scaled, down), channel, keepdims=1)
    across = length(graph.add("Sub", scaled, graph.add("Mul", down, along)))
    signals = {
        "along": graph.add("Sub", along, one),
        "norm": graph.add("Sub", graph.add("Div", norm, scale), one),
        "across": across,
    }
    found = []
    for signal, sigma, reach, stride in _LOOKS:
        whole = reach + 4 * sigma
        kernels = [_gaussian(sigma, lag, whole) for lag in range(-reach, reach + 1, stride)]
        found.append(graph.convolve(signals[signal], np.stack(kernels)[:, None], every=EVERY))

    smooth = graph.convolve(signals["along"], _gaussian(2, 0, 8)[None, None])
    power = graph.averaged(graph.add("Mul", smooth, smooth), _AUTOCORRELATION_SECONDS, every=EVERY)
    later = np.zeros((len(_LAGS), 1, 2 * max(_LAGS) + 1), np.float32)
    later[np.arange(len(_LAGS)), 0, max(_LAGS) + np.array(_LAGS)] = 1
    products = graph.add("Mul", smooth, graph.convolve(smooth, later))
    together = graph.averaged(products, _AUTOCORRELATION_SECONDS, channels=len(_LAGS), every=EVERY)
    found.append(graph.add("Div", together, graph.add("Add", power, graph.constant(np.array(1e-6, np.float32)))))

    noise = graph.constant(np.array(1e-5, np.float32))
    for seconds in _POWER_SECONDS:
        for signal in ("norm", "across", "along"):
            squared = graph.add("Mul", signals[signal], signals[signal])
            found.append(graph.add("Log", graph.add("Add", graph.averaged(squared, seconds, every=EVERY), noise)))

    joined = graph.add("Squeeze", graph.add("Concat", *found, axis=1), graph.constant(np.array([0], np.int64)))
    graph.add("Transpose", joined, output=OUTPUT, perm=[1, 0])
    return helper.make_graph(
        graph.nodes,
        "features",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["samples", 3])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["places", len(feature_list())])],
        graph.constants,
    )
