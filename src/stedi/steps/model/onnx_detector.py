"""Detector loaded from its ONNX file. It needs the ONNX runtime and none of the training libraries."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stedi.errors import WarehouseError
from stedi.steps.features.graph import INPUT
from stedi.steps.model.peaks import PeakPicker

FILE_NAME = "detector.onnx"
PROBABILITY = "probability"
# Metadata key of the peak picker's threshold.
THRESHOLD_KEY = "stedi.picker.least"


class OnnxDetector:
    """Detector loaded from its ONNX file.

    Attributes:
        picker: turns probabilities into steps.
    """

    def __init__(self, content: bytes, name: str) -> None:
        """Load a detector from the content of its file; `name` is for messages.

        Raises:
            WarehouseError: the content is not a detector.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.picker = PeakPicker(float(metadata[THRESHOLD_KEY]))
        # The runtime's errors have no common class.
        except Exception as error:
            raise WarehouseError(
                f"{name} is not a step detector ({type(error).__name__}); train one with `stedi train`"
            ) from None

    @classmethod
    def load(cls, folder: Path) -> "OnnxDetector":
        """Load the detector of a model's folder.

        Raises:
            WarehouseError: there is none, or it can't be read.
        """
        path = folder / FILE_NAME
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise WarehouseError(f"{path} can't be read ({error.strerror}); train a model with `stedi train`") from None

    def probability(self, acceleration: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the probability of a step in each frame of a stretch.

        Args:
            acceleration: samples × 3 axes at 50 Hz, in any unit.

        Returns:
            (samples + 1) // 2 probabilities.
        """
        [probability] = self._session.run([PROBABILITY], {INPUT: np.ascontiguousarray(acceleration, np.float32)})
        return np.asarray(probability, np.float64)
