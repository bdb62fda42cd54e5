"""Features of a phone's motion, as one ONNX graph.

The graph is the only definition of the features. Training runs it, and the detector's file contains it, so inference needs
only the ONNX runtime. Features do not depend on the unit or the orientation of the phone: acceleration is divided by its
own mean length over 5 s (which is gravity in any unit), and only its component along gravity, its component across gravity
and its norm are used.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stedi.model.resampling import RATE_HZ, SAMPLE_MS

Floats = NDArray[np.float32]

INPUT, OUTPUT = "acceleration", "features"
# A frame is a sample for which features are computed: every second one. Features of every sample detect steps no better
# and take twice the time.
STRIDE = 2
FRAME_MS = STRIDE * SAMPLE_MS
# Samples on either side on which a frame's features can depend: 2.5 s for the scale, 1 s for the direction of gravity in
# the scaled motion, and 2.5 s for the mean power along it.
RECEPTIVE_FIELD = 2 * (RATE_HZ * 5 // 2) + RATE_HZ

_SCALE_SECONDS = 5.0
# Longer than two strides, whose acceleration it averages out, and short enough to follow a phone that is turned.
_GRAVITY_SECONDS = 2.0
# Smoothed values around a frame: (signal, sigma of the Gaussian, largest lag, distance of lags), all in samples. Lags of
# 0.6 s reach about one step to either side. The longer lags of the smoother signal distinguish a step from the next one.
_LAGGED_VALUES = (("along", 1, 30, 2), ("norm", 1, 30, 2), ("across", 2, 30, 4), ("along", 4, 60, 6))
# Lags of the autocorrelation in samples: 0.24 to 1.26 s, which include a step (0.4 to 0.7 s) and a stride.
_AUTOCORRELATION_LAGS = range(12, 66, 3)
_AUTOCORRELATION_SECONDS = 3.0
_POWER_SECONDS = (0.26, 0.74, 2.02, 5.02)
_POWER_SIGNALS = ("norm", "across", "along")
IR_VERSION, OPSET = 10, 17


@dataclass(frozen=True)
class Feature:
    """Name and unit of a feature. The unit g is the mean length of the acceleration over 5 s."""

    name: str
    unit: str


def feature_list() -> tuple[Feature, ...]:
    """All features, in the order of the graph's output."""
    lagged_values = [
        Feature(f"{signal}_smoothed_{sigma}_at_{lag * 1000 // RATE_HZ:+d}_ms", "g")
        for signal, sigma, max_lag, lag_step in _LAGGED_VALUES
        for lag in range(-max_lag, max_lag + 1, lag_step)
    ]
    autocorrelations = [Feature(f"autocorrelation_at_{lag * 1000 // RATE_HZ}_ms", "1") for lag in _AUTOCORRELATION_LAGS]
    powers = [
        Feature(f"log_power_{signal}_over_{seconds:g}_s", "log g²")
        for seconds in _POWER_SECONDS
        for signal in _POWER_SIGNALS
    ]
    return (*lagged_values, *autocorrelations, *powers)


@cache
def _session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = helper.make_model(feature_graph(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compute_features(acceleration: Floats) -> Floats:
    """Compute the features of a stretch.

    Args:
        acceleration: samples × 3 axes at 50 Hz, in any unit.

    Returns:
        Frames × features, with (samples + 1) // 2 frames and the features in the order of `feature_list`.
    """
    [features] = _session().run([OUTPUT], {INPUT: acceleration})
    return np.asarray(features, np.float32)


class _Graph:
    """ONNX graph under construction. Signals are tensors of 1 × channels × samples, referred to by name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def convolve(self, signal: str, kernels: Floats, *, groups: int = 1, stride: int = 1) -> str:
        """Convolve with kernels of odd length, one output channel each. Beyond the ends, the end values continue."""
        half = kernels.shape[-1] // 2
        pads = self.constant(np.array([0, 0, half, 0, 0, half], np.int64))
        padded = self.add("Pad", signal, pads, mode="edge")
        return self.add("Conv", padded, self.constant(kernels.astype(np.float32)), group=groups, strides=[stride])

    def moving_average(self, signal: str, seconds: float, *, channels: int = 1, stride: int = 1) -> str:
        width = int(seconds * RATE_HZ) // 2 * 2 + 1
        kernels = np.full((channels, 1, width), 1 / width, np.float32)
        return self.convolve(signal, kernels, groups=channels, stride=stride)

    def length(self, vector: str, axis: str, minimum: str) -> str:
        squares = self.add("ReduceSum", self.add("Mul", vector, vector), axis, keepdims=1)
        return self.add("Sqrt", self.add("Max", squares, minimum))


def _gaussian(sigma: float, lag: int, half_width: int) -> Floats:
    """Smoothing kernel of 2 · half_width + 1 samples, centred on a lag."""
    distances = np.arange(-half_width, half_width + 1) - lag
    weights = np.exp(-0.5 * (distances / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


def feature_graph() -> onnx.GraphProto:
    """Build the graph from `acceleration` (samples × 3, float32) to `features` (frames × features, float32)."""
    graph = _Graph()
    signals = _add_signals(graph)
    features = _add_lagged_values(graph, signals)
    features.append(_add_autocorrelation(graph, signals["along"]))
    features += _add_log_powers(graph, signals)
    joined = graph.add("Squeeze", graph.add("Concat", *features, axis=1), graph.constant(np.array([0], np.int64)))
    graph.add("Transpose", joined, output=OUTPUT, perm=[1, 0])
    return helper.make_graph(
        graph.nodes,
        "features",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["samples", 3])],
        # "places" are frames: the names of dimensions are part of the file format.
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["places", len(feature_list())])],
        graph.constants,
    )


def _add_signals(graph: _Graph) -> dict[str, str]:
    """Add the signals free of unit and orientation: component along gravity, norm, component across gravity, all in g."""
    one = graph.constant(np.array(1, np.float32))
    # Avoids a division by zero in free fall, where gravity is not measured.
    minimum = graph.constant(np.array(1e-12, np.float32))
    channel = graph.constant(np.array([1], np.int64))
    axes = graph.add("Unsqueeze", graph.add("Transpose", INPUT, perm=[1, 0]), graph.constant(np.array([0], np.int64)))
    norm = graph.length(axes, channel, minimum)
    scale = graph.moving_average(norm, _SCALE_SECONDS)
    scaled = graph.add("Div", axes, scale)
    gravity = graph.moving_average(scaled, _GRAVITY_SECONDS, channels=3)
    down = graph.add("Div", gravity, graph.length(gravity, channel, minimum))
    along = graph.add("ReduceSum", graph.add("Mul", scaled, down), channel, keepdims=1)
    across = graph.length(graph.add("Sub", scaled, graph.add("Mul", down, along)), channel, minimum)
    return {
        "along": graph.add("Sub", along, one),
        "norm": graph.add("Sub", graph.add("Div", norm, scale), one),
        "across": across,
    }


def _add_lagged_values(graph: _Graph, signals: dict[str, str]) -> list[str]:
    """Add the smoothed values at lags around each frame."""
    features = []
    for signal, sigma, max_lag, lag_step in _LAGGED_VALUES:
        half_width = max_lag + 4 * sigma
        kernels = [_gaussian(sigma, lag, half_width) for lag in range(-max_lag, max_lag + 1, lag_step)]
        features.append(graph.convolve(signals[signal], np.stack(kernels)[:, None], stride=STRIDE))
    return features


def _add_autocorrelation(graph: _Graph, signal: str) -> str:
    """Add the autocorrelation at each lag, normalized by the power."""
    smooth = graph.convolve(signal, _gaussian(2, 0, 8)[None, None])
    power = graph.moving_average(graph.add("Mul", smooth, smooth), _AUTOCORRELATION_SECONDS, stride=STRIDE)
    lags, max_lag = np.array(_AUTOCORRELATION_LAGS), max(_AUTOCORRELATION_LAGS)
    # Kernels that shift the signal by each lag.
    shifts = np.zeros((len(lags), 1, 2 * max_lag + 1), np.float32)
    shifts[np.arange(len(lags)), 0, max_lag + lags] = 1
    products = graph.add("Mul", smooth, graph.convolve(smooth, shifts))
    covariance = graph.moving_average(products, _AUTOCORRELATION_SECONDS, channels=len(lags), stride=STRIDE)
    return graph.add("Div", covariance, graph.add("Add", power, graph.constant(np.array(1e-6, np.float32))))


def _add_log_powers(graph: _Graph, signals: dict[str, str]) -> list[str]:
    """Add the logarithm of the power over several durations. A floor of 1e-5 g² keeps it finite at rest."""
    floor = graph.constant(np.array(1e-5, np.float32))
    features = []
    for seconds in _POWER_SECONDS:
        for signal in _POWER_SIGNALS:
            squared = graph.add("Mul", signals[signal], signals[signal])
            power = graph.moving_average(squared, seconds, stride=STRIDE)
            features.append(graph.add("Log", graph.add("Add", power, floor)))
    return features
