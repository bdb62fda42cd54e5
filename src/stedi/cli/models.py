"""Commands for models: train, evaluate and list step detectors."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, section, show
from stedi.cli.terminal import note
from stedi.cli.text import utc_text
from stedi.errors import UsageError
from stedi.installation import not_installed

if TYPE_CHECKING:
    from stedi.steps.evaluation.assessment import Assessment
    from stedi.steps.registry.replacement import Replacement

_PANEL = "Step detector"
Seed = Annotated[int, typer.Option(help="random seed")]
PositionsFile = Annotated[
    Path | None,
    typer.Option(
        "--positions", help="file of phone positions, for metrics by position, with columns user, from_ms, to_ms, position"
    ),
]


@command(app, _PANEL)
def train(
    call: Call,
    seed: Annotated[int | None, typer.Option(help="random seed (default: 1, or the seed of the replaced model)")] = None,
    positions: PositionsFile = None,
    replace: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="model to replace: train with its seed and policy on the people who consent today, then delete it",
        ),
    ] = None,
) -> None:
    """Train a step detector on consenting people, evaluate it on held-out people, and publish it.

    Example: stedi train
    """
    try:
        from stedi.steps.data.ground_truth import read_positions
        from stedi.steps.registry.replacement import complete_replacement
        from stedi.steps.workflows import replace as replace_model
        from stedi.steps.workflows import train as train_model
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    if replace is not None and seed is not None:
        raise UsageError("--seed and --replace exclude each other: the new model has the seed of the replaced one")
    settings = call.settings()
    if replace is not None and (completed := complete_replacement(settings, replace)):
        line = _replacement_text(completed)
        show(Result([], {"model": completed.new_name, "replacement": asdict(completed)}, last=line), as_json=call.as_json)
        return
    phone_positions = read_positions(settings, positions) if positions else None
    with progress("training") as display:
        if replace is not None:
            model = replace_model(settings, replace, positions=phone_positions, progress=display)
        else:
            model = train_model(settings, seed=1 if seed is None else seed, positions=phone_positions, progress=display)
    assessment, replacement = model.assessment, model.replacement
    sections = _assessment_sections(assessment, f"model {model.folder.name}: held-out people")
    json = _assessment_json(assessment) | {
        "model": model.folder.name,
        "folder": str(model.folder),
        "replacement": asdict(replacement) if replacement else None,
    }
    last = _replacement_text(replacement) if replacement else ""
    show(Result(sections, json, last=last), as_json=call.as_json)
    for method in assessment.better_baselines:
        note(f"The {method} has the higher F1 at ±0.1 s. Train on more people or more of their walking.")
    note(f"Model card: {model.folder / 'card.md'}. Next: stedi detect FILE")


@command(app, _PANEL)
def evaluate(
    call: Call,
    truth: Annotated[
        Path | None, typer.Option(help="file of true step times with columns user and timeStamp (ms): CSV, JSON or Parquet")
    ] = None,
    positions: PositionsFile = None,
    out: Annotated[Path | None, typer.Option(help="folder for plots of the result")] = None,
    seed: Seed = 1,
) -> None:
    """Cross-validate the step detector by person. Publishes nothing.

    Example: stedi evaluate --out plots
    """
    try:
        from stedi.steps.data.ground_truth import read_positions, read_true_steps
        from stedi.steps.evaluation.plots import draw
        from stedi.steps.workflows import evaluate as evaluate_detector
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    settings = call.settings()
    true_steps = read_true_steps(settings, truth) if truth else None
    phone_positions = read_positions(settings, positions) if positions else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"folder {out} can't be written ({error.strerror}); name another with --out") from None
    with progress("evaluating") as display:
        evaluation = evaluate_detector(
            settings, seed=seed, true_steps=true_steps, positions=phone_positions, progress=display
        )
        if out is not None:
            draw(evaluation.held_out, evaluation.assessment, out, true_steps)
    sections = _assessment_sections(evaluation.assessment, "held-out people")
    show(Result(sections, _assessment_json(evaluation.assessment)), as_json=call.as_json)


@command(app, _PANEL)
def models(call: Call) -> None:
    """List the trained models with run, people, metrics, and whether consent has changed since then (stale).

    Example: stedi models
    """
    from stedi.steps.registry.published_models import describe_models, models_folder

    settings = call.settings()
    described = describe_models(settings)
    if not described and not call.as_json:
        note(f"there is no model in {models_folder(settings)} yet; train one with `stedi train`")
        return
    headings = {
        "model": "model",
        "trained_at": "trained at",
        "run_id": "run",
        "policy": "policy",
        "people": "people",
        "f1_100": "F1 ±0.1 s",
        "count_mape": "count error %",
        "stale": "stale",
        "why": "why",
    }
    listed = section(
        "models",
        described,
        headings,
        numbers=("people", "F1 ±0.1 s", "count error %"),
        show={"trained at": utc_text, "F1 ±0.1 s": "{:.3f}".format, "count error %": "{:.1f}".format},
    )
    show(Result([listed], {"models": described}), as_json=call.as_json)


def _replacement_text(replacement: "Replacement") -> str:
    return (
        f"Model {replacement.old_name} (SHA-256 {replacement.old_sha256}) was replaced by {replacement.new_name} "
        f"(SHA-256 {replacement.new_sha256})."
    )


def _assessment_sections(assessment: "Assessment", title: str) -> list[Section]:
    from stedi.steps.evaluation.model_card import POSITION_HEADINGS, metric_rows, position_rows

    headings = ("", *assessment.metrics)
    amount = f"{assessment.people} people, {assessment.minutes:,.0f} minutes, {assessment.steps:,} steps"
    sections = [Section(f"{title} ({amount})", headings, metric_rows(assessment), headings[1:])]
    if assessment.by_position:
        rows = position_rows(assessment)
        sections.append(Section("the detector by phone position", POSITION_HEADINGS, rows, POSITION_HEADINGS[1:]))
    return sections


def _assessment_json(assessment: "Assessment") -> dict[str, Any]:
    from stedi.steps.evaluation.model_card import json_values, positions_json

    return {
        "people": assessment.people,
        "minutes": round(assessment.minutes, 1),
        "steps": assessment.steps,
        "scores": {method: json_values(asdict(metrics)) for method, metrics in assessment.metrics.items()},
        "intervals": {method: json_values(ends) for method, ends in assessment.intervals.items()},
        "by_person": [json_values(asdict(metrics)) for metrics in assessment.by_person],
        "by_position": positions_json(assessment),
        "above_chance": list(assessment.above_chance),
    }
