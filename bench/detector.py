"""How good the step detector is on simulated people it has not seen, and how it falls as recordings get worse.

Usage: detector.py [--customers N] [--readings N]. Works in `bench/work/detector`, which it empties first, and counts
against the simulator's own truth: as simulated, with noise, with fewer readings a second, and by where the phone is. What
is made worse is made so for the people set aside only.
"""

import argparse
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stedi.config import Settings
from stedi.model.resampling import RATE_HZ
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.steps.data.positions import Positions, position_of
from stedi.steps.data.true_steps import read_positions, read_truth
from stedi.steps.evaluation.assessment import within
from stedi.steps.metrics import scores, tally
from stedi.steps.model.training import Unseen, steps_ms
from stedi.steps.train import evaluated

WORK = Path(__file__).parent / "work" / "detector"
Acceleration = NDArray[np.float32]
# Standard deviations on each axis in m/s²; a phone at rest has about 0.05.
NOISES = (0.25, 0.5, 1.0, 2.0)
RATES_HZ = (25, 15, 10)


def noisy(deviation: float) -> Callable[[Acceleration], Acceleration]:
    """White noise on each axis."""

    def make(acceleration: Acceleration) -> Acceleration:
        noise = np.random.default_rng(len(acceleration)).normal(scale=deviation, size=acceleration.shape)
        return (acceleration + noise).astype(np.float32)

    return make


def slower(rate_hz: int) -> Callable[[Acceleration], Acceleration]:
    """What is left of a phone that reports so many times a second, resampled to 50 Hz."""

    def make(acceleration: Acceleration) -> Acceleration:
        at = np.arange(len(acceleration))
        seen = np.unique(np.round(np.arange(0, len(at) - 1, RATE_HZ / rate_hz)).astype(int))
        return np.stack([np.interp(at, seen, acceleration[seen, axis]) for axis in range(3)], axis=1).astype(np.float32)

    return make


def main() -> None:
    """Train once, then count under each condition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=150)
    parser.add_argument("--readings", type=int, default=300_000)
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    landing = WORK / "landing"
    simulate(landing, replace(IDEAL, customers=options.customers, days=3, seed=11, readings=options.readings))
    # People are told apart by pseudonyms: with one key the same are set aside each time.
    settings = Settings.model_validate(
        {"landing": str(landing), "warehouse": str(WORK / "lakehouse"), "pseudonym_key": "bench"}
    )
    found = evaluated(settings, progress=lambda what: print(f"  {what}", flush=True))
    truth = landing / "ground_truth"
    # A moment's column is called as in the feeds.
    steps = pq.read_table(truth / "steps.parquet").rename_columns({"step_ms": "timeStamp"})
    pq.write_table(steps, WORK / "steps.parquet")
    true = read_truth(settings, WORK / "steps.parquet")
    positions = read_positions(settings, truth / "activities.parquet")
    print("| condition | F1 ±0.1 s | F1 ±0.25 s | count error % | false steps/min at rest |\n|---|---|---|---|---|")
    show("as simulated", found, true, lambda acceleration: acceleration)
    for deviation in NOISES:
        show(f"noise of {deviation:g} m/s²", found, true, noisy(deviation))
    for rate in RATES_HZ:
        show(f"{rate} readings a second", found, true, slower(rate))
    for position, some in sorted(by_position(found, positions)):
        show(f"phone in {position}", some, true, lambda acceleration: acceleration)


def by_position(found: Sequence[Unseen], positions: Positions) -> Iterator[tuple[str, list[Unseen]]]:
    """The stretches of each position of the phone."""
    for position in {position_of(each.stretch, positions) for each in found} - {None}:
        yield str(position), [each for each in found if position_of(each.stretch, positions) == position]


def show(
    condition: str,
    found: list[Unseen],
    true: Mapping[str, NDArray[np.float64]],
    worse: Callable[[Acceleration], Acceleration],
) -> None:
    """Print a row."""
    counted = []
    for each in found:
        stretch = each.stretch
        steps = steps_ms(stretch, each.model.picker, each.model.probability(worse(stretch.acceleration)))
        counted.append(tally(within(true, stretch), steps, stretch.start_ms, stretch.end_ms))
    figures = scores(counted)
    print(
        f"| {condition} | {figures.f1_100:.3f} | {figures.f1_250:.3f} | {figures.count_mape:.1f} "
        f"| {figures.false_steps_per_idle_minute:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
