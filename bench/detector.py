"""Metrics of the step detector on held-out simulated people, and how they fall with worse recordings.

Usage: detector.py [--customers N] [--readings N]. Empties `bench/work/detector` and works in it. Compares with the
simulator's own true steps: as simulated, with noise, with fewer readings a second, and by phone position. Only the
recordings of held-out people are made worse.
"""

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stedi.config import Settings
from stedi.model.resampling import RATE_HZ
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.steps.data.ground_truth import TrueSteps, read_positions, read_true_steps
from stedi.steps.data.phone_positions import Positions, position_of
from stedi.steps.evaluation.assessment import true_steps_of
from stedi.steps.evaluation.cross_validation import HeldOut
from stedi.steps.metrics import StepCounts, compute_metrics, count_steps
from stedi.steps.workflows import evaluate

WORK = Path(__file__).parent / "work" / "detector"
Acceleration = NDArray[np.float32]
Change = Callable[[Acceleration], Acceleration]
# Standard deviations on each axis in m/s². A phone at rest has about 0.05.
NOISES = (0.25, 0.5, 1.0, 2.0)
RATES_HZ = (25, 15, 10)


def add_noise(deviation: float) -> Change:
    """Add white noise on each axis."""

    def change(acceleration: Acceleration) -> Acceleration:
        noise = np.random.default_rng(len(acceleration)).normal(scale=deviation, size=acceleration.shape)
        return (acceleration + noise).astype(np.float32)

    return change


def lower_rate(rate_hz: int) -> Change:
    """Keep so many readings a second, and resample them to 50 Hz."""

    def change(acceleration: Acceleration) -> Acceleration:
        samples = np.arange(len(acceleration))
        kept = np.unique(np.round(np.arange(0, len(samples) - 1, RATE_HZ / rate_hz)).astype(int))
        axes = [np.interp(samples, kept, acceleration[kept, axis]) for axis in range(3)]
        return np.stack(axes, axis=1).astype(np.float32)

    return change


def main() -> None:
    """Cross-validate once, then detect under each condition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=150)
    parser.add_argument("--readings", type=int, default=300_000)
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    landing = WORK / "landing"
    simulate(landing, replace(IDEAL, customers=options.customers, days=3, seed=11, readings=options.readings))
    # Folds depend on the pseudonyms: a fixed key gives the same folds in every run.
    settings = Settings.model_validate(
        {"landing": str(landing), "warehouse": str(WORK / "lakehouse"), "pseudonym_key": "bench"}
    )
    held_out = evaluate(settings).held_out
    truth = landing / "ground_truth"
    # The reader takes the column name of the feeds.
    steps = pq.read_table(truth / "steps.parquet").rename_columns({"step_ms": "timeStamp"})
    pq.write_table(steps, WORK / "steps.parquet")
    true_steps = read_true_steps(settings, WORK / "steps.parquet")
    positions = read_positions(settings, truth / "activities.parquet")
    print("| condition | F1 ±0.1 s | F1 ±0.25 s | count error % | false steps/min at rest |\n|---|---|---|---|---|")
    show("as simulated", held_out, true_steps)
    for deviation in NOISES:
        show(f"noise of {deviation:g} m/s²", held_out, true_steps, add_noise(deviation))
    for rate in RATES_HZ:
        show(f"{rate} readings a second", held_out, true_steps, lower_rate(rate))
    for position, results in sorted(by_position(held_out, positions)):
        show(f"phone in {position}", results, true_steps)


def by_position(held_out: Sequence[HeldOut], positions: Positions) -> Iterator[tuple[str, list[HeldOut]]]:
    """Group the stretches by phone position."""
    for position in {position_of(result.stretch, positions) for result in held_out} - {None}:
        yield str(position), [result for result in held_out if position_of(result.stretch, positions) == position]


def show(
    condition: str, held_out: Sequence[HeldOut], true_steps: TrueSteps, change: Change = lambda acceleration: acceleration
) -> None:
    """Print the row of a condition."""
    metrics = compute_metrics(count(result, true_steps, change) for result in held_out)
    print(
        f"| {condition} | {metrics.f1_100:.3f} | {metrics.f1_250:.3f} | {metrics.count_mape:.1f} "
        f"| {metrics.false_steps_per_idle_minute:.2f} |",
        flush=True,
    )


def count(result: HeldOut, true_steps: TrueSteps, change: Change) -> StepCounts:
    """Detect steps in a changed stretch, and compare them with the true ones."""
    stretch = result.stretch
    probability = result.detector.probability(change(stretch.acceleration))
    detected_ms = result.detector.picker.pick_ms(probability, stretch.start_ms)
    return count_steps(true_steps_of(stretch, true_steps), detected_ms, stretch.start_ms, stretch.end_ms)


if __name__ == "__main__":
    main()
