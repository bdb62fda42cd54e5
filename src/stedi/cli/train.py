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
        from stedi.steps.data.true_steps import read_positions
        from stedi.steps.train import train as learn
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    settings = OPTIONS.settings
    told = read_positions(settings, positions) if positions else None
    with ERROR_CONSOLE.status("training") as status:
        done = learn(settings, seed=seed, positions=told, progress=status.update)
    shown = _json(done.assessment) | {"model": done.folder.name, "folder": str(done.folder)}
    show_grids(_grids(done.assessment, f"model {done.folder.name}: people set aside"), shown)
    for method in done.assessment.better_methods:
        ERROR_CONSOLE.print(f"A {method} has the higher F1 at ±0.1 s: more people, or more of their walking, would help.")
    ERROR_CONSOLE.print(f"Its card: {done.folder / 'card.md'}. Next: stedi detect FILE", soft_wrap=True)


@app.command()
def evaluate(
    truth: Annotated[Path | None, typer.Option(help="true step times: user, timeStamp (ms); CSV, JSON or Parquet")] = None,
    positions: PositionsFile = None,
    out: Annotated[Path | None, typer.Option(help="folder for pictures of the result")] = None,
    seed: Seed = 1,
) -> None:
    """Cross-validate the step detector by person. Publishes nothing."""
    try:
        from stedi.steps.data.true_steps import read_positions, read_truth
        from stedi.steps.evaluation.assessment import assess
        from stedi.steps.evaluation.plots import draw
        from stedi.steps.train import evaluated
    except (ImportError, OSError) as error:
        raise not_installed("the step detector", "ml", error) from None
    settings = OPTIONS.settings
    true = read_truth(settings, truth) if truth else None
    told = read_positions(settings, positions) if positions else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"folder {out} can't be written ({error.strerror}); name another with --out") from None
    with ERROR_CONSOLE.status("evaluating") as status:
        found = evaluated(settings, seed=seed, truth=true, positions=told, progress=status.update)
        done = assess(found, seed, true, told)
        if out is not None:
            draw(found, done, out, true)
    show_grids(_grids(done, "people set aside"), _json(done))


def _grids(done: "Assessment", title: str) -> list[Grid]:
    from stedi.steps.evaluation.card import POSITION_HEADINGS, position_rows, score_rows

    headings = ("", *done.scores)
    size = f"{done.people} people, {done.minutes:,.0f} minutes, {done.steps:,} steps"
    grids = [render.grid(f"{title} ({size})", headings, score_rows(done), numbers=headings[1:])]
    if done.by_position:
        grids.append(
            render.grid("the detector, by position", POSITION_HEADINGS, position_rows(done), numbers=POSITION_HEADINGS[1:])
        )
    return grids


def _json(done: "Assessment") -> dict[str, Any]:
    from stedi.steps.evaluation.card import known, positions_json

    return {
        "people": done.people,
        "minutes": round(done.minutes, 1),
        "steps": done.steps,
        "scores": {method: known(asdict(figures)) for method, figures in done.scores.items()},
        "intervals": {method: known(ends) for method, ends in done.intervals.items()},
        "by_person": [known(asdict(figures)) for figures in done.by_person],
        "by_position": positions_json(done),
        "above_chance": list(done.above_chance),
    }
