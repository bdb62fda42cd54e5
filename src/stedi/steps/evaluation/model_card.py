"""Model card: what a model was trained on, how good it is on held-out people, and its limits."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stedi.steps.evaluation.assessment import DETECTOR, Assessment, PositionMetrics
from stedi.steps.features.graph import feature_list

# Title and number format of each metric.
_METRICS = {
    "f1_100": ("F1 at ±0.1 s", "{:.3f}"),
    "precision_100": ("precision at ±0.1 s", "{:.3f}"),
    "recall_100": ("recall at ±0.1 s", "{:.3f}"),
    "f1_250": ("F1 at ±0.25 s", "{:.3f}"),
    "precision_250": ("precision at ±0.25 s", "{:.3f}"),
    "recall_250": ("recall at ±0.25 s", "{:.3f}"),
    "count_mape": ("mean absolute count error (%)", "{:.1f}"),
    "count_bias": ("count bias (%)", "{:+.1f}"),
    "false_steps_per_idle_minute": ("false steps per minute at rest", "{:.2f}"),
    "median_timing_error_ms": ("median timing error (ms)", "{:.0f}"),
}
_POSITION_METRICS = ("f1_100", "f1_250", "count_mape", "count_bias")
_UNKNOWN_POSITIONS = (
    "Phone positions are not known: the feeds do not contain them, and no file was given (`stedi train --positions`)."
)
_LIMITS = (
    "The metrics are valid for people who walk like those above, and less so for others.",
    "The true steps come from a distance sensor. Steps that do not pass the sensor are missing from them.",
    "Paces that were not recorded were learned only from recordings played faster and slower.",
    "Readings must include gravity. Without it, hardly any step is detected.",
    "Readings below 15 Hz or above 400 Hz were not tested.",
    "It is not a medical device.",
)


@dataclass(frozen=True)
class Provenance:
    """What a model was trained on.

    Equal training data, seed and libraries give equal cards but for `trained_at`, `run_id`, `snapshots` and `replaces`.

    Attributes:
        trained_at: time of the training (ISO 8601).
        run_id, policy: the finished run that computed the training set, and its consent policy.
        snapshots: snapshot of each table used.
        people: number of people.
        seed: random seed.
        versions: versions of the libraries.
        replaces: name (`model`) and hash (`sha256`) of the model in whose place it comes; None if it is an additional one.
    """

    trained_at: str
    run_id: str
    policy: str
    snapshots: Mapping[str, int]
    people: int
    seed: int
    versions: Mapping[str, str]
    replaces: Mapping[str, str] | None = None


def card_json(provenance: Provenance, assessment: Assessment) -> dict[str, Any]:
    """Return the card for programs; metrics without data are null."""
    baselines = {method: metrics for method, metrics in assessment.metrics.items() if method != DETECTOR}
    return {
        **asdict(provenance),
        "recorded_minutes": round(assessment.minutes, 1),
        "steps": assessment.steps,
        "scores": json_values(asdict(assessment.metrics[DETECTOR])),
        "intervals": json_values(assessment.intervals[DETECTOR]),
        "baselines": {method: json_values(asdict(metrics)) for method, metrics in baselines.items()},
        "by_person": [json_values(asdict(metrics)) for metrics in assessment.by_person],
        "by_position": positions_json(assessment),
        "above_chance": list(assessment.above_chance),
        "features": [asdict(feature) for feature in feature_list()],
        "limits": _limits(assessment),
    }


def _limits(assessment: Assessment) -> list[str]:
    return [*_LIMITS, *([] if assessment.by_position else [_UNKNOWN_POSITIONS])]


def positions_json(assessment: Assessment) -> dict[str, dict[str, Any]]:
    """Return the detector's metrics by phone position for programs; empty if positions are not known."""
    return {
        position: {
            "people": at_position.people,
            "minutes": round(at_position.minutes, 1),
            "steps": at_position.steps,
            "scores": json_values(asdict(at_position.metrics)),
            "intervals": json_values(at_position.intervals),
        }
        for position, at_position in assessment.by_position.items()
    }


def json_values(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Round metrics, or intervals of them, to six decimals; NaN becomes null."""
    return {
        name: [_json_value(bound) for bound in value] if isinstance(value, tuple) else _json_value(value)
        for name, value in metrics.items()
    }


def _json_value(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


POSITION_HEADINGS = (
    "phone in",
    "people",
    "minutes",
    "steps",
    "F1 ±0.1 s",
    "F1 ±0.25 s",
    "count error %",
    "count bias %",
)


def position_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """Return one row of text per phone position, under `POSITION_HEADINGS`."""
    return [(position, *_position_row(at_position)) for position, at_position in assessment.by_position.items()]


def _position_row(at_position: PositionMetrics) -> tuple[str, ...]:
    size = (f"{at_position.people:,}", f"{at_position.minutes:,.0f}", f"{at_position.steps:,}")
    values = (
        _with_interval(getattr(at_position.metrics, name), at_position.intervals[name], _METRICS[name][1])
        for name in _POSITION_METRICS
    )
    return (*size, *values)


def metric_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    """Return one row of text per metric: title, the detector's value with its interval, the value of each peak counter."""
    rows = []
    for name, (title, shape) in _METRICS.items():
        detector, *baselines = (getattr(metrics, name) for metrics in assessment.metrics.values())
        value = _with_interval(detector, assessment.intervals[DETECTOR][name], shape)
        rows.append((title, value, *(_text(baseline, shape) for baseline in baselines)))
    return rows


def _with_interval(value: float, interval: tuple[float, float], shape: str) -> str:
    low, high = (_text(bound, shape) for bound in interval)
    return _text(value, shape) + ("" if math.isnan(interval[0]) else f" ({low} to {high})")


def _text(value: float, shape: str) -> str:
    return "–" if math.isnan(value) else shape.format(value)


def card_markdown(provenance: Provenance, assessment: Assessment) -> str:
    """Return the card for people, as Markdown."""
    low, high = assessment.above_chance
    limits = "\n".join(f"- {limit}" for limit in _limits(assessment))
    return f"""# A step detector

Trained {provenance.trained_at} on {provenance.people} people with research consent (policy `{provenance.policy}`): \
{assessment.minutes:,.0f} recorded
minutes with {assessment.steps:,} true steps. Random seed {provenance.seed}.{_replaces(provenance)}

## Metrics on held-out people

Cross-validated by person: people were held out one at a time (or a fifth of them), and trees, calibration and threshold
were fitted to the others. In brackets: 95% bootstrap intervals over people.

{_table(("", *assessment.metrics), metric_rows(assessment))}

{"".join(f"The {method} has the higher F1 at ±0.1 s. " for method in assessment.better_baselines)}
Detected steps have an F1 at ±0.1 s that is higher by {low:.3f} to {high:.3f} than that of the same steps at shifted times.

![a stretch of motion](stretch.png)
![people](people.png)
![calibration](calibration.png)

{_table(("person", "F1 at ±0.1 s", "count bias (%)"), _person_rows(assessment))}

{_table(POSITION_HEADINGS, position_rows(assessment)) if assessment.by_position else _UNKNOWN_POSITIONS}

## Training data and features

Finished run `{provenance.run_id}`:

{_table(("table", "snapshot"), [(f"`{table}`", str(snapshot)) for table, snapshot in provenance.snapshots.items()])}

Gradient-boosted trees (LightGBM) on {len(feature_list())} features of the motion around each 40 ms:

{_feature_groups()}

Libraries: {", ".join(f"{library} {version}" for library, version in provenance.versions.items())}.

## Limits

{limits}
"""


def _replaces(provenance: Provenance) -> str:
    old = provenance.replaces
    return f"\nReplaces the model `{old['model']}` (SHA-256 of its weights `{old['sha256']}`)." if old else ""


def _person_rows(assessment: Assessment) -> list[tuple[str, ...]]:
    return [
        (str(number), _text(metrics.f1_100, "{:.3f}"), _text(metrics.count_bias, "{:+.1f}"))
        for number, metrics in enumerate(assessment.by_person, start=1)
    ]


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Markdown table. Line breaks and | in names given by users are escaped."""
    lines = (" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) for row in (headings, *rows))
    heading, *body = (f"| {line} |" for line in lines)
    return "\n".join((heading, "|---" * len(headings) + "|", *body))


def _feature_groups() -> str:
    """Markdown list of the groups of features, with unit and number."""
    groups = Counter(
        (feature.name.partition("_at_")[0].partition("_over_")[0].replace("_", " "), feature.unit)
        for feature in feature_list()
    )
    return "\n".join(f"- {name} ({unit}): {number}" for (name, unit), number in groups.items())
