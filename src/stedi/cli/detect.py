"""Commands that use trained models: detect steps, list models."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stedi.cli import render
from stedi.cli.output import output
from stedi.cli.program import ERROR_CONSOLE, OPTIONS, app, show_grids
from stedi.installation import not_installed


@app.command()
def detect(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="files of readings: JSON, CSV with a header, or Parquet; - is standard input"
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="a model's name, or a folder that holds one [default: the newest not stale]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="file to write, .json or .parquet [default: standard output]")] = None,
) -> None:
    """Find the steps in accelerometer readings: times (ms since the epoch) by user, as JSON or Parquet.

    Readings must hold gravity: Android's TYPE_ACCELEROMETER, on iOS gravity and userAcceleration added up.
    """
    try:
        from stedi.steps.detect import step_file
        from stedi.steps.detect.detection import open_detection
        from stedi.steps.model.onnx_detector import OnnxDetector
    except ImportError as error:
        raise not_installed("the step detector", "ml", error) from None
    from stedi.compute.duckdb.reading_files import format_reasons
    from stedi.steps.registry.published_models import find_usable_model

    if out is not None:
        step_file.check_suffix(out)
    settings = OPTIONS.settings
    detector = OnnxDetector.load(find_usable_model(settings, model))
    with open_detection(files, detector, settings) as done:
        if done.left_out:
            left_out = sum(done.left_out.values())
            print(f"stedi: left out {left_out:,} of {done.rows:,} rows: {format_reasons(done.left_out)}", file=sys.stderr)
        if out is not None:
            with ERROR_CONSOLE.status("detecting"):
                step_file.write_file(done.steps, out)
            if OPTIONS.as_json:
                with output():
                    counts = {
                        "users": done.users,
                        "broken": done.users_without_second,
                        "weightless": done.users_without_gravity,
                        "rows": done.rows,
                    }
                    render.print_json({"out": str(out), **counts, "left_out": dict(done.left_out)})
        else:
            with output():
                step_file.write_json(done.steps, sys.stdout)
        if done.users_without_second:
            print(
                f"stedi: {done.users_without_second:,} of {done.users:,} users have no unbroken second of readings to find "
                "steps in: it takes at least 15 readings a second, with times in ms",
                file=sys.stderr,
            )
        if done.users_without_gravity:
            print(
                f"stedi: the readings of {done.users_without_gravity:,} of {done.users:,} users lack gravity, so hardly any "
                "step is found: give TYPE_ACCELEROMETER on Android, and gravity and userAcceleration together on iOS",
                file=sys.stderr,
            )


@app.command()
def models() -> None:
    """List the trained models: from which run and how many people, how good, and which are stale because consent changed."""
    from stedi.steps.registry.published_models import describe_models, models_folder

    found = describe_models(OPTIONS.settings)
    if not found and not OPTIONS.as_json:
        ERROR_CONSOLE.print(f"there is no model in {models_folder(OPTIONS.settings)} yet; train one with `stedi train`")
        return
    headings = ("model", "trained at", "run", "policy", "people", "F1 ±0.1 s", "count error %", "stale", "why")
    rows = (
        (*list(each.values())[:5], _figure(each["f1_100"], 3), _figure(each["count_mape"], 1), each["stale"], each["why"])
        for each in found
    )
    numbers = ("people", "F1 ±0.1 s", "count error %")
    show_grids([render.grid("models", headings, rows, numbers=numbers)], {"models": found})


def _figure(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
