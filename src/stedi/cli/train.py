"""Commands that learn: train a step detector, and show how good one is on people it has not seen."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from stedi.cli import render
from stedi.cli.program import ERROR_CONSOLE, OPTIONS, app, show_grids
from stedi.errors import UsageError
from stedi.installation import not_installed
from stedi.model.progress import Progress

if TYPE_CHECKING:
    from stedi.steps.evaluation.assessment import Assessment


Seed = Annotated[int, typer.Option(help="random seed")]
PositionsFile = Annotated[
    Path | None,
    typer.Option("--positions", help="where phones were, for figures by position: user, from_ms, to_ms, position"),
]


@app.command()
def train(seed: Seed = 1, positions: PositionsFile = None) -> None:
    """Train a step detector on the readings of people who agree, prove it on people set aside, and publish it."""
    try:
        from stedi.steps.data.ground_truth import read_positions
        from stedi.steps.workflows import train as train_detector
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    settings = OPTIONS.settings
    phone_positions = read_positions(settings, positions) if positions else None
    with ERROR_CONSOLE.status("training") as status:
        result = train_detector(
            settings, seed=seed, positions=phone_positions, progress=lambda report: status.update(_text(report))
        )
    shown = _json(result.assessment) | {"model": result.folder.name, "folder": str(result.folder)}
    show_grids(_grids(result.assessment, f"model {result.folder.name}: held-out people"), shown)
    for method in result.assessment.better_baselines:
        ERROR_CONSOLE.print(f"The {method} has the higher F1 at ±0.1 s. More people, or more of their walking, would help.")
    ERROR_CONSOLE.print(f"Model card: {result.folder / 'card.md'}. Next: stedi detect FILE", soft_wrap=True)


@app.command()
def evaluate(
    truth: Annotated[Path | None, typer.Option(help="true step times: user, timeStamp (ms); CSV, JSON or Parquet")] = None,
    positions: PositionsFile = None,
    out: Annotated[Path | None, typer.Option(help="folder for pictures of the result")] = None,
    seed: Seed = 1,
) -> None:
    """Cross-validate the step detector by person. Publishes nothing."""
    try:
        from stedi.steps.data.ground_truth import read_positions, read_true_steps
        from stedi.steps.evaluation.plots import draw
        from stedi.steps.workflows import evaluate as evaluate_detector
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    settings = OPTIONS.settings
    true_steps = read_true_steps(settings, truth) if truth else None
    phone_positions = read_positions(settings, positions) if positions else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"folder {out} can't be written ({error.strerror}); name another with --out") from None
    with ERROR_CONSOLE.status("evaluating") as status:
        result = evaluate_detector(
            settings,
            seed=seed,
            true_steps=true_steps,
            positions=phone_positions,
            progress=lambda report: status.update(_text(report)),
        )
        if out is not None:
            draw(result.held_out, result.assessment, out, true_steps)
    show_grids(_grids(result.assessment, "held-out people"), _json(result.assessment))


def _text(report: Progress) -> str:
    total = "" if report.total is None else f" of {report.total:,}"
    return report.step if report.done is None else f"{report.step}: {report.done:,}{total} {report.unit}"


def _grids(assessment: "Assessment", title: str) -> list[Grid]:
    from stedi.steps.evaluation.model_card import POSITION_HEADINGS, metric_rows, position_rows

    headings = ("", *assessment.metrics)
    size = f"{assessment.people} people, {assessment.minutes:,.0f} minutes, {assessment.steps:,} steps"
    grids = [render.grid(f"{title} ({size})", headings, metric_rows(assessment), numbers=headings[1:])]
    if assessment.by_position:
        grids.append(
            render.grid(
                "the detector, by position", POSITION_HEADINGS, position_rows(assessment), numbers=POSITION_HEADINGS[1:]
            )
        )
    return grids


def _json(assessment: "Assessment") -> dict[str, Any]:
    from stedi.steps.evaluation.model_card import json_values, positions_json

    return {
        "people": assessment.people,
        "minutes": round(assessment.minutes, 1),
        "steps": assessment.steps,
        "scores": {method: json_values(asdict(figures)) for method, figures in assessment.metrics.items()},
        "intervals": {method: json_values(ends) for method, ends in assessment.intervals.items()},
        "by_person": [json_values(asdict(figures)) for figures in assessment.by_person],
        "by_position": positions_json(assessment),
        "above_chance": list(assessment.above_chance),
    }
