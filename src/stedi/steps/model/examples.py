"""Training examples: stretches with their features, as recorded and augmented."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stedi.model.progress import Progress, Report
from stedi.steps.data.augmentation import augment
from stedi.steps.data.stretches import Stretch
from stedi.steps.features.graph import FRAME_MS, compute_features
from stedi.steps.metrics import StepCounts, count_steps, distance_to_step_ms
from stedi.steps.model.peaks import PeakPicker

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Example:
    """A stretch with its features and targets for the trees. Evaluation uses the recorded motion only.

    Attributes:
        stretch: motion and true steps.
        features: frames × features.
        distance_ms: distance of each frame to the nearest true step.
        augmented_features: frames × features of the augmented stretch, which has another number of frames.
        augmented_distance_ms: distance of each of its frames to its nearest step.
    """

    stretch: Stretch
    features: NDArray[np.float32]
    distance_ms: Floats
    augmented_features: NDArray[np.float32]
    augmented_distance_ms: Floats

    def count(self, picker: PeakPicker, probability: Floats) -> StepCounts:
        """Compare the steps that a picker finds in probabilities (one a frame) with the true steps."""
        stretch = self.stretch
        detected_ms = picker.pick_ms(probability, stretch.start_ms)
        return count_steps(stretch.steps_ms, detected_ms, stretch.start_ms, stretch.end_ms)


def make_examples(stretches: Sequence[Stretch], seed: int, progress: Report = lambda _: None) -> list[Example]:
    """Compute the features of stretches, each as recorded and augmented at random."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for stretch in stretches:
        progress(Progress("computing features", len(examples), len(stretches), "stretches"))
        examples.append(Example(stretch, *_frames(stretch), *_frames(augment(stretch, rng))))
    return examples


def _frames(stretch: Stretch) -> tuple[NDArray[np.float32], Floats]:
    """Features of each frame, and its distance to the nearest step."""
    features = compute_features(stretch.acceleration)
    return features, distance_to_step_ms(stretch.steps_ms, stretch.start_ms + FRAME_MS * np.arange(len(features)))
