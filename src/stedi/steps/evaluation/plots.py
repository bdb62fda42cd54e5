"""Pictures of an assessment, as PNG files."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.steps.data.true_steps import Truth
from stedi.steps.evaluation.assessment import Assessment, within
from stedi.steps.features.features import EVERY
from stedi.steps.metrics import away_ms
from stedi.steps.model.picking import PLACE_MS
from stedi.steps.model.training import AT_STEP_MS, Unseen

# A window without a screen is all that is needed, and all that there is on a server.
mpl.use("Agg")

_SHOWN_SECONDS = 12
_BINS = 10


def draw(found: Sequence[Unseen], done: Assessment, folder: Path, truth: Truth | None = None) -> list[Path]:
    """Write `stretch.png`, `people.png` and `calibration.png` into a folder; returns their paths."""
    paths = [folder / f"{name}.png" for name in ("stretch", "people", "calibration")]
    _draw_stretch(found, truth, paths[0])
    _draw_people(done, paths[1])
    _draw_calibration(found, truth, paths[2])
    return paths


def _draw_stretch(found: Sequence[Unseen], truth: Truth | None, path: Path) -> None:
    """Twelve seconds from the middle of the stretch with the most true steps."""
    shown = max(found, key=lambda each: len(within(truth, each.stretch)))
    stretch = shown.stretch
    middle = len(stretch.acceleration) // 2
    first = max(0, middle - _SHOWN_SECONDS * RATE_HZ // 2) // EVERY * EVERY
    samples = slice(first, first + _SHOWN_SECONDS * RATE_HZ)
    norm = np.linalg.norm(stretch.acceleration[samples], axis=1)
    norm = norm / np.linalg.norm(stretch.acceleration, axis=1).mean()
    seconds = np.arange(len(norm)) / RATE_HZ
    from_ms = stretch.start_ms + first * SAMPLE_MS
    to_ms = from_ms + len(norm) * SAMPLE_MS
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 4.5), sharex=True, height_ratios=(2, 1))
    above.plot(seconds, norm, color="#777777", linewidth=0.8)
    true = within(truth, stretch)
    for times, label, colour, at in (
        (true, "true step", "#2c7bb6", norm.max()),
        (shown.steps_ms, "detected", "#d7191c", norm.min()),
    ):
        inside = times[(times >= from_ms) & (times < to_ms)]
        above.plot((inside - from_ms) / 1000, np.full(len(inside), at), "|", color=colour, markersize=14, label=label)
    above.set_ylabel("acceleration (g)")
    above.legend(loc="upper right", ncols=2)
    probability = shown.probability[first // EVERY : (first + len(norm)) // EVERY]
    below.plot(np.arange(len(probability)) * PLACE_MS / 1000, probability, color="#d7191c", linewidth=0.8)
    below.set_ylabel("probability")
    below.set_xlabel("seconds")
    _save(figure, path)


def _draw_people(done: Assessment, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    order = np.argsort([each.f1_100 for each in done.by_person])
    people = np.arange(len(order))
    left.plot(people, [done.by_person[number].f1_100 for number in order], "o", color="#2c7bb6", markersize=4)
    left.set_ylabel("F1 at ±0.1 s")
    right.plot(people, [done.by_person[number].count_bias for number in order], "o", color="#d7191c", markersize=4)
    right.axhline(0, color="#777777", linewidth=0.8)
    right.set_ylabel("steps counted too many (%)")
    for axes in (left, right):
        axes.set_xlabel("people, by F1")
        axes.set_xticks([])
    _save(figure, path)


def _draw_calibration(found: Sequence[Unseen], truth: Truth | None, path: Path) -> None:
    said, held = [], []
    for each in found:
        at = each.stretch.start_ms + PLACE_MS * np.arange(len(each.probability))
        said.append(each.probability)
        held.append(away_ms(within(truth, each.stretch), at) <= AT_STEP_MS)
    probability, is_step = np.concatenate(said), np.concatenate(held)
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    filled = count > 0
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="#777777", linewidth=0.8)
    said_mean, held_mean = (
        np.bincount(place, weights=values, minlength=_BINS)[filled] / count[filled] for values in (probability, is_step)
    )
    axes.plot(said_mean, held_mean, "o-", color="#2c7bb6")
    axes.set_xlabel("probability of a step within 60 ms")
    axes.set_ylabel("share with a step within 60 ms")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
