"""Pictures of an assessment, as PNG files."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.steps.data.ground_truth import TrueSteps
from stedi.steps.evaluation.assessment import Assessment, true_steps_of
from stedi.steps.evaluation.cross_validation import HeldOut
from stedi.steps.features.graph import FRAME_MS, STRIDE
from stedi.steps.metrics import distance_to_step_ms
from stedi.steps.model.fit import STEP_LABEL_MS

# Draws without a display.
mpl.use("Agg")

_SHOWN_SAMPLES = 12 * RATE_HZ
_BINS = 10
_BLUE, _RED, _GREY = "#2c7bb6", "#d7191c", "#777777"


def draw(held_out: Sequence[HeldOut], assessment: Assessment, folder: Path, true_steps: TrueSteps | None = None) -> None:
    """Write `stretch.png`, `people.png` and `calibration.png` to a folder."""
    figures = {
        "stretch": _draw_stretch(held_out, true_steps),
        "people": _draw_people(assessment),
        "calibration": _draw_calibration(held_out, true_steps),
    }
    for name, figure in figures.items():
        figure.tight_layout()
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


def _draw_stretch(held_out: Sequence[HeldOut], true_steps: TrueSteps | None) -> Figure:
    """Draw twelve seconds from the middle of the stretch with the most true steps."""
    result = max(held_out, key=lambda result: len(true_steps_of(result.stretch, true_steps)))
    stretch = result.stretch
    first = max(0, len(stretch.acceleration) // 2 - _SHOWN_SAMPLES // 2) // STRIDE * STRIDE
    norms = np.linalg.norm(stretch.acceleration, axis=1)
    shown = norms[first : first + _SHOWN_SAMPLES] / norms.mean()
    start_ms = stretch.start_ms + first * SAMPLE_MS
    end_ms = start_ms + len(shown) * SAMPLE_MS
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 4.5), sharex=True, height_ratios=(2, 1))
    upper.plot(np.arange(len(shown)) / RATE_HZ, shown, color=_GREY, linewidth=0.8)
    for times_ms, label, color, height in (
        (true_steps_of(stretch, true_steps), "true step", _BLUE, shown.max()),
        (result.detected_ms, "detected", _RED, shown.min()),
    ):
        seconds = (times_ms[(times_ms >= start_ms) & (times_ms < end_ms)] - start_ms) / 1000
        upper.plot(seconds, np.full(len(seconds), height), "|", color=color, markersize=14, label=label)
    upper.set_ylabel("acceleration (g)")
    upper.legend(loc="upper right", ncols=2)
    probability = result.probability[first // STRIDE : (first + len(shown)) // STRIDE]
    lower.plot(np.arange(len(probability)) * FRAME_MS / 1000, probability, color=_RED, linewidth=0.8)
    lower.set_ylabel("probability")
    lower.set_xlabel("seconds")
    return figure


def _draw_people(assessment: Assessment) -> Figure:
    """Draw F1 and count bias of each person, in the order of F1."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    people = [assessment.by_person[number] for number in np.argsort([metrics.f1_100 for metrics in assessment.by_person])]
    left.plot([metrics.f1_100 for metrics in people], "o", color=_BLUE, markersize=4)
    left.set_ylabel("F1 at ±0.1 s")
    right.plot([metrics.count_bias for metrics in people], "o", color=_RED, markersize=4)
    right.axhline(0, color=_GREY, linewidth=0.8)
    right.set_ylabel("count bias (%)")
    for axes in (left, right):
        axes.set_xlabel("people, by F1")
        axes.set_xticks([])
    return figure


def _draw_calibration(held_out: Sequence[HeldOut], true_steps: TrueSteps | None) -> Figure:
    """Draw the share of frames with a step against the probability, in ten bins."""
    labels = []
    for result in held_out:
        frames_ms = result.stretch.start_ms + FRAME_MS * np.arange(len(result.probability))
        labels.append(distance_to_step_ms(true_steps_of(result.stretch, true_steps), frames_ms) <= STEP_LABEL_MS)
    probability, is_step = np.concatenate([result.probability for result in held_out]), np.concatenate(labels)
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    is_used = count > 0
    mean_probability, share_of_steps = (
        np.bincount(bins, weights=values, minlength=_BINS)[is_used] / count[is_used] for values in (probability, is_step)
    )
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
    axes.plot(mean_probability, share_of_steps, "o-", color=_BLUE)
    axes.set_xlabel("probability of a step within 60 ms")
    axes.set_ylabel("share with a step within 60 ms")
    return figure
