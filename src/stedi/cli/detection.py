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
        from stedi.steps.data import step_times
        from stedi.steps.detect.detect import detection
        from stedi.steps.model.detector import Detector
    except ImportError as error:
        raise not_installed("the step detector", "ml", error) from None
    from stedi.compute.duckdb.readings import reasons
    from stedi.steps.registry.models import usable_model

    if out is not None:
        step_times.refuse_other_endings(out)
    settings = call.settings()
    detector = Detector.load(usable_model(settings, model))
    with detection(files, detector, settings) as done:
        if done.left_out:
            left_out = sum(done.left_out.values())
            note(f"stedi: left out {left_out:,} of {done.rows:,} rows: {reasons(done.left_out)}")
        if out is not None:
            with progress("detecting"):
                step_times.write_file(done.found, out)
            if call.as_json:
                with output():
                    counts = {name: getattr(done, name) for name in ("users", "broken", "weightless", "rows")}
                    print_json({"out": str(out), **counts, "left_out": dict(done.left_out)})
        else:
            with output():
                step_times.write_json(done.found, sys.stdout)
        if done.broken:
            note(
                f"stedi: {done.broken:,} of {done.users:,} users have no unbroken second of readings to find steps in: "
                "it takes at least 15 readings a second, with times in ms"
            )
        if done.weightless:
            note(
                f"stedi: the readings of {done.weightless:,} of {done.users:,} users lack gravity, so hardly any step "
                "is found: give TYPE_ACCELEROMETER on Android, and gravity and userAcceleration together on iOS"
            )
