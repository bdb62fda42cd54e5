"""The command that detects steps."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.terminal import note, output, print_json
from stedi.installation import not_installed


@command(app, "Step detector")
def detect(
    call: Call,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="files of readings: JSON, CSV with a header, or Parquet; - is standard input"
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="name or folder of a model (default: the newest model that is not stale)")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="file to write, .json or .parquet (default: standard output)")] = None,
) -> None:
    """Detect steps in accelerometer readings: step times (ms since the epoch) by user, as JSON or Parquet.

    Readings must contain gravity: TYPE_ACCELEROMETER on Android, the sum of gravity and userAcceleration on iOS.

    Example: stedi detect readings.json --out steps.parquet
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
    settings = call.settings()
    detector = OnnxDetector.load(find_usable_model(settings, model))
    with progress("reading files") as display, open_detection(files, detector, settings, display) as detected:
        if detected.left_out:
            left_out = sum(detected.left_out.values())
            with display.paused():
                note(f"stedi: left out {left_out:,} of {detected.rows:,} rows: {format_reasons(detected.left_out)}")
        if out is not None:
            step_file.write_file(detected.steps, out)
        else:
            if sys.stdout.isatty():
                display.stop()
            with output():
                step_file.write_json(detected.steps, sys.stdout)
        display.stop()
        if out is not None and call.as_json:
            counts = {
                "users": detected.users,
                "broken": detected.users_without_second,
                "weightless": detected.users_without_gravity,
                "rows": detected.rows,
            }
            with output():
                print_json({"out": str(out), **counts, "left_out": dict(detected.left_out)})
        if detected.users_without_second:
            note(
                f"stedi: {detected.users_without_second:,} of {detected.users:,} users have no uninterrupted second of "
                "readings, so no step can be detected: record at least 15 readings a second, with times in ms"
            )
        if detected.users_without_gravity:
            note(
                f"stedi: the readings of {detected.users_without_gravity:,} of {detected.users:,} users lack gravity, so "
                "hardly any step is detected: use TYPE_ACCELEROMETER on Android, and gravity and userAcceleration together "
                "on iOS"
            )
