"""A detector read from its file; needs the runtime, and nothing of what it was trained with."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stedi.errors import WarehouseError
from stedi.steps.features.features import INPUT
from stedi.steps.model.picking import Picker

PROBABILITY = "probability"
FILE_NAME = "detector.onnx"
# Where the file says how high a peak has to be.
LEAST = "stedi.picker.least"


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
            self.picker = Picker(float(said[LEAST]))
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
