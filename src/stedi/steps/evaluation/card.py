"""The model card: what a model was made of, how good it is on people it has not seen, and where it ends."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stedi.steps.evaluation.assessment import Assessment, AtPosition
from stedi.steps.features.features import Feature, feature_list

_FIGURES = {
    "f1_100": ("F1 at ±0.1 s", "{:.3f}"),
    "precision_100": ("precision at ±0.1 s", "{:.3f}"),
    "recall_100": ("recall at ±0.1 s", "{:.3f}"),
    "f1_250": ("F1 at ±0.25 s", "{:.3f}"),
    "precision_250": ("precision at ±0.25 s", "{:.3f}"),
    "recall_250": ("recall at ±0.25 s", "{:.3f}"),
    "count_mape": ("error of the count, mean of absolute values (%)", "{:.1f}"),
    "count_bias": ("steps counted too many (%)", "{:+.1f}"),
    "false_steps_per_idle_minute": ("false steps a minute without walking", "{:.2f}"),
    "median_timing_error_ms": ("median error in time (ms)", "{:.0f}"),
}
_NOT_TOLD = (
    "Where a phone was carried is not in the feeds, and was not told (`stedi train --positions`): figures by position "
    "are not known."
)
_LIMITS = (
    "It learnt from the people counted above; of people who walk otherwise it says less than the figures do.",
    "Its teacher is a distance sensor: a step that no foot made past the sensor was no step to it.",
    "It learnt from other paces than its walkers' own only by making their motion faster and slower.",
    "Readings must hold gravity; acceleration without it shows hardly any step.",
    "Readings slower than 15 or faster than 400 a second were not tried.",
    "It is no medical device.",
)


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: when and from which finished run and snapshots it was made, and with what."""

    trained_at: str
    run_id: str
    policy: str
    snapshots: Mapping[str, int]
    people: int
    seed: int
    versions: Mapping[str, str]


def card_json(origin: Origin, done: Assessment) -> dict[str, Any]:
    """The card for programs; figures that nothing tells of are null."""
    return {
        **asdict(origin),
        "recorded_minutes": round(done.minutes, 1),
        "steps": done.steps,
        "scores": known(asdict(done.scores["detector"])),
        "intervals": known(done.intervals["detector"]),
        "baselines": {method: known(asdict(figures)) for method, figures in done.scores.items() if method != "detector"},
        "by_person": [known(asdict(figures)) for figures in done.by_person],
        "by_position": positions_json(done),
        "above_chance": list(done.above_chance),
        "features": [asdict(feature) for feature in feature_list()],
        "limits": _limits(done),
    }


def _limits(done: Assessment) -> list[str]:
    return [*_LIMITS, *([] if done.by_position else [_NOT_TOLD])]


def positions_json(done: Assessment) -> dict[str, dict[str, Any]]:
    """The detector's figures by where the phone was, for programs; empty where nobody told."""
    return {
        position: {
            "people": at.people,
            "minutes": round(at.minutes, 1),
            "steps": at.steps,
            "scores": known(asdict(at.scores)),
            "intervals": known(at.intervals),
        }
        for position, at in done.by_position.items()
    }


POSITION_HEADINGS = (
    "phone in",
    "people",
    "minutes",
    "steps",
    "F1 ±0.1 s",
    "F1 ±0.25 s",
    "count error %",
    "counted too many %",
)


def position_rows(done: Assessment) -> list[tuple[str, ...]]:
    """The same as text, a row a position."""
    return [(position, *_position_row(at)) for position, at in done.by_position.items()]


def _position_row(at: AtPosition) -> tuple[str, ...]:
    names = {"f1_100": "{:.3f}", "f1_250": "{:.3f}", "count_mape": "{:.1f}", "count_bias": "{:+.1f}"}
    figures = (_with_interval(getattr(at.scores, name), at.intervals[name], shape) for name, shape in names.items())
    return (f"{at.people:,}", f"{at.minutes:,.0f}", f"{at.steps:,}", *figures)


def known(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures, or pairs of them, by name; null where nothing tells of one."""
    return {
        name: [_known(end) for end in figure] if isinstance(figure, tuple) else _known(figure)
        for name, figure in figures.items()
    }


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else round(figure, 6)


def score_rows(done: Assessment) -> list[tuple[str, ...]]:
    """The figures as text: name, the detector's with its interval, each peak counter's."""
    rows = []
    for name, (title, shape) in _FIGURES.items():
        ours, *others = (getattr(figures, name) for figures in done.scores.values())
        with_interval = _with_interval(ours, done.intervals["detector"][name], shape)
        rows.append((title, with_interval, *(_text(value, shape) for value in others)))
    return rows


def _with_interval(value: float, interval: tuple[float, float], shape: str) -> str:
    low, high = (_text(end, shape) for end in interval)
    return _text(value, shape) + ("" if math.isnan(interval[0]) else f" ({low} to {high})")


def _text(value: float, shape: str) -> str:
    return "–" if math.isnan(value) else shape.format(value)


def card_text(origin: Origin, done: Assessment) -> str:
    """The card for people, as Markdown."""
    figures = "\n".join(f"| {' | '.join(row)} |" for row in score_rows(done))
    snapshots = "\n".join(f"| `{table}` | {snapshot} |" for table, snapshot in origin.snapshots.items())
    people = "\n".join(
        f"| {number} | {_text(each.f1_100, '{:.3f}')} | {_text(each.count_bias, '{:+.1f}')} |"
        for number, each in enumerate(done.by_person, start=1)
    )
    limits = "\n".join(f"- {limit}" for limit in _limits(done))
    kinds = "\n".join(f"- {kind}" for kind in _kinds(feature_list()))
    return f"""# A step detector

Trained {origin.trained_at} on {origin.people} people who agree to research (policy `{origin.policy}`), of whom
{done.minutes:,.0f} minutes with {done.steps:,} steps were recorded. Seed {origin.seed}.

## How good it is

Each person was set aside in turn (or a fifth of many), and everything, thresholds too, was learnt from the others.
In brackets: the middle 95% over people drawn again.

| | detector | {" | ".join(method for method in done.scores if method != "detector")} |
|---|---|---|---|
{figures}

{"".join(f"A {method} has the higher F1 at ±0.1 s. " for method in done.better_methods)}
Its F1 at ±0.1 s is above that of its own steps at wrong times by {done.above_chance[0]:.3f} to {done.above_chance[1]:.3f}.

![a stretch of motion](stretch.png)
![people](people.png)
![calibration](calibration.png)

| person | F1 at ±0.1 s | counted too many (%) |
|---|---|---|
{people}

{_positions(done)}

## What it is made of

Finished run `{origin.run_id}`:

| table | snapshot |
|---|---|
{snapshots}

Gradient-boosted trees (LightGBM) on {len(feature_list())} features of the motion around each 40 ms:

{kinds}

Made with {", ".join(f"{name} {version}" for name, version in origin.versions.items())}.

## Limits

{limits}
"""


def _positions(done: Assessment) -> str:
    """The figures by position as Markdown, or why there are none."""
    if not done.by_position:
        return _NOT_TOLD
    rows = (tuple(_in_a_cell(text) for text in row) for row in position_rows(done))
    return "\n".join(
        [
            f"| {' | '.join(POSITION_HEADINGS)} |",
            "|---" * len(POSITION_HEADINGS) + "|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )


def _in_a_cell(text: str) -> str:
    """A name that somebody gave, so that it stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _kinds(listed: tuple[Feature, ...]) -> list[str]:
    """Each kind of feature once, with its unit and how many there are of it."""
    counted: dict[tuple[str, str], int] = {}
    for feature in listed:
        kind = (feature.name.partition("_at_")[0].partition("_over_")[0].replace("_", " "), feature.unit)
        counted[kind] = counted.get(kind, 0) + 1
    return [f"{name} ({unit}): {number}" for (name, unit), number in counted.items()]
