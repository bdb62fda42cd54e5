"""Commands that simulate landing files."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from stedi.cli.program import Call, app, check_folder_name, command
from stedi.cli.progress import progress
from stedi.cli.run_report import run_json, run_sections, run_summary
from stedi.cli.sections import Result, Section, show
from stedi.cli.terminal import note
from stedi.errors import UsageError
from stedi.simulate.options import IDEAL, Option, SimulationOptions, describe_options


def _option(option: Option) -> inspect.Parameter:
    """Convert an option of the simulator to a command-line option."""
    bounds = f" ({option.bounds})" if option.bounds else ""
    text = f"{option.description}{bounds}"
    # Without names of its own, typer adds --no-clean to --clean.
    names = (f"--{option.name}",) if option.type is bool else ()
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[option.type, typer.Option(*names, help=text)],
    )


@command(app, "Make tables", parameters=tuple(map(_option, describe_options())))
def simulate(
    call: Call, /, out: Annotated[Path, typer.Argument(help="folder to write, new or empty")], **options: Any
) -> None:
    """Write landing files with all defects of the real feeds, and their ground truth.

    Example: stedi simulate landing --clock-offset-ms 2000 --clock-jitter-ms 5 --shared-homes 0.2
    """
    from stedi.simulate.landing_files import simulate as write_landing_files

    check_folder_name(out)
    with progress("simulating") as display:
        simulation = write_landing_files(out, SimulationOptions(**options), progress=display)
    counts = {
        "customer": simulation.customers,
        "accelerometer": simulation.accelerometer,
        "step_trainer": simulation.step_trainer,
    }
    records = Section(f"simulated in {out}", ("feed", "records"), list(counts.items()), ("records",))
    show(Result([records], counts), as_json=call.as_json)


@command(app, "Make tables")
def demo(call: Call, folder: Annotated[Path, typer.Argument(help="folder for the demo")] = Path("demo")) -> None:
    """Simulate landing files, run the pipeline and show a table, all in a separate folder.

    Example: stedi demo
    """
    import shutil

    from stedi import pipeline
    from stedi.query.sandbox import query
    from stedi.simulate.landing_files import simulate as write_landing_files

    check_folder_name(folder)
    marker = folder / ".stedi-demo"
    try:
        if folder.exists() and any(folder.iterdir()) and not marker.exists():
            raise UsageError(f"folder {folder} contains other files; name another for the demo")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        marker.touch()
    except OSError as error:
        raise UsageError(f"folder {folder} can't be written ({error.strerror}); name another for the demo") from error
    settings = call.settings(landing=str(folder / "landing"), warehouse=str(folder / "lakehouse"))
    with progress("simulating") as display:
        write_landing_files(folder / "landing", IDEAL, progress=display)
        report = pipeline.run(settings, progress=display)
    sample = query(settings, "SELECT * FROM machine_learning_curated LIMIT 5")
    sections = [
        *run_sections(report),
        Section("machine_learning_curated", sample.columns, sample.rows(), max_records=2),
    ]
    show(Result(sections, run_json(report), last=run_summary(report)), as_json=call.as_json)
    note(f'Next: stedi --warehouse {settings.warehouse} query "SELECT status, count(*) FROM device_owner GROUP BY ALL"')
