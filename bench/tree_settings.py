"""What each LightGBM setting of the step detector is worth, on held-out simulated people.

Usage: tree_settings.py [--customers N] [--readings N]. Empties `bench/work/tree-settings` and works in it. Cross-validates
the trees by person with the settings of `stedi.steps.model.fit`, and with one of them changed at a time. Calibrates on the
held-out people themselves, unlike `stedi evaluate`: that takes a quarter of the time and is the same for all settings.
"""

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stedi.config import Settings
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.steps.data.folds import person_folds
from stedi.steps.metrics import compute_metrics
from stedi.steps.model.examples import Example
from stedi.steps.model.fit import best_picker, calibrate, grow_trees, logistic, raw_scores
from stedi.steps.workflows import load_examples

WORK = Path(__file__).parent / "work" / "tree-settings"
FOLDS = 5
CHANGES: tuple[Mapping[str, Any], ...] = (
    {},
    {"min_child_samples": 20},
    {"colsample_bytree": 1.0},
    {"subsample": 1.0},
    {"reg_lambda": 0.0},
    {"n_estimators": 100},
    {"num_leaves": 15},
    {"num_leaves": 63},
    {"learning_rate": 0.1, "n_estimators": 150},
    {"objective": "regression"},
)


def main() -> None:
    """Simulate, run, and print a row for each change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=150)
    parser.add_argument("--readings", type=int, default=300_000)
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    simulate(WORK / "landing", replace(IDEAL, customers=options.customers, days=3, seed=11, readings=options.readings))
    settings = Settings.model_validate(
        {"landing": str(WORK / "landing"), "warehouse": str(WORK / "lakehouse"), "pseudonym_key": "bench"}
    )
    examples = load_examples(settings, 1, lambda _: None)
    print(
        "| settings | F1 ±0.1 s | F1 ±0.25 s | count error % | false steps/min at rest | CPU s |\n|---|---|---|---|---|---|"
    )
    for change in CHANGES:
        show(change, examples)


def show(change: Mapping[str, Any], examples: Sequence[Example]) -> None:
    """Cross-validate with a change of the settings, and print its row."""
    start = time.process_time()
    held_out = []
    for fold in person_folds((example.stretch.person for example in examples), FOLDS, seed=1):
        trees = grow_trees([example for example in examples if example.stretch.person not in fold], 1, **change)
        tested = [example for example in examples if example.stretch.person in fold]
        held_out += [(example, raw_scores(trees, example.features)) for example in tested]
    seconds = time.process_time() - start
    slope, offset = calibrate(held_out)
    probabilities = [(example, logistic(slope * scores + offset)) for example, scores in held_out]
    picker = best_picker(probabilities)
    metrics = compute_metrics(example.count(picker, probability) for example, probability in probabilities)
    print(
        f"| {', '.join(f'{name} {value}' for name, value in change.items()) or 'nothing'} | {metrics.f1_100:.3f} "
        f"| {metrics.f1_250:.3f} | {metrics.count_mape:.1f} | {metrics.false_steps_per_idle_minute:.2f} | {seconds:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
