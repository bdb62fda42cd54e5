"""Commands that write: landing files, tables, or the files behind them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stedi.cli import render
from stedi.cli.program import ERROR_CONSOLE, OPTIONS, app, refuse_bytes, settings_with, show_grids
from stedi.errors import UsageError, WarehouseError
from stedi.model.query_settings import EngineName, Policy


@app.command()
def run(
    policy: Annotated[
        Policy | None,
        typer.Option(help="which readings of a consenting customer to keep: all, or only those taken under consent"),
    ] = None,
    select: Annotated[list[str] | None, typer.Option(help="only this table and what it is built from")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done, write nothing")] = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="write every derived table anew from the landing tables")
    ] = False,
    reingest: Annotated[bool, typer.Option("--reingest", help="read all landing files anew")] = False,
    engine: Annotated[EngineName | None, typer.Option(help="what computes")] = None,
) -> None:
    """Ingest what is new and bring every table up to date; exit code 3 on an alarm."""
    from stedi import pipeline

    settings = settings_with(policy=policy, engine=engine)
    with ERROR_CONSOLE.status("starting") as status:
        done = pipeline.run(
            settings,
            select=select or (),
            dry_run=dry_run,
            full_refresh=full_refresh,
            reingest=reingest,
            progress=status.update,
        )
    show_grids(render.run_grids(done), render.run_json(done), first=render.first_lines(done), last=render.last_line(done))
    done.refuse_failures()
    done.raise_alarms()


@app.command()
def verify() -> None:
    """Compare every table with a full rebuild and with its promises; exit code 1 on a difference."""
    from stedi.verify.verify import verify as compare

    with ERROR_CONSOLE.status("verifying") as status:
        findings = compare(OPTIONS.settings, progress=status.update)
    show_grids([render.findings_grid(findings)], {"findings": [render.finding_json(finding) for finding in findings]})
    wrong = [finding for finding in findings if not finding.holds]
    if wrong:
        raise WarehouseError(
            f"{len(wrong)} of {len(findings)} checks failed, first {wrong[0].table} for {wrong[0].wrong:,} rows "
            f"({wrong[0].question}); `stedi run --full-refresh` rebuilds the tables"
        )


@app.command()
def maintain() -> None:
    """Compact small files, expire old runs, delete orphan files."""
    from stedi.maintenance.maintain import maintain as keep_up

    with ERROR_CONSOLE.status("maintaining") as status:
        done = keep_up(OPTIONS.settings, progress=status.update)
    show_grids([render.upkeep_grid(done)], render.upkeep_json(done))


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="folder to write, new or empty")],
    customers: Annotated[int, typer.Option(help="how many people")] = 300,
    days: Annotated[int, typer.Option(help="how many days are recorded")] = 3,
    seed: Annotated[int, typer.Option(help="random seed")] = 1,
    readings: Annotated[int | None, typer.Option(help="about how many accelerometer readings")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="leave out what is wrong with the files' format")] = False,
    clock_offset_ms: Annotated[
        int, typer.Option(help="largest offset between a device's clock and its user's phone, in ms")
    ] = 0,
    clock_jitter_ms: Annotated[int, typer.Option(help="largest random error of each device reading, in ms")] = 0,
    clock_drift_ppm: Annotated[float, typer.Option(help="largest drift of a device's clock, in parts in a million")] = 0,
    whole_seconds: Annotated[float, typer.Option(help="share (0 to 1) of devices that cut times to whole seconds")] = 0,
    clock_resets: Annotated[float, typer.Option(help="share of devices whose clock is reset once")] = 0,
    lost: Annotated[float, typer.Option(help="share of phones' and of devices' readings that are lost")] = 0,
    shared_homes: Annotated[
        float, typer.Option(help="share of people who live in pairs and record at the same times")
    ] = 0.05,
    hand_overs: Annotated[float, typer.Option(help="share of devices that another customer takes over")] = 0.02,
    without_phone: Annotated[float, typer.Option(help="share of device owners whose phone app never reports")] = 0.02,
) -> None:
    """Write landing files with all the defects of the real feeds, and the truth behind them.

    Example: `stedi simulate landing --clock-offset-ms 2000 --clock-jitter-ms 5 --shared-homes 0.2`
    """
    from stedi.simulate import SimulationOptions
    from stedi.simulate.landing_files import simulate as write

    refuse_bytes(out)
    with ERROR_CONSOLE.status("simulating") as status:
        made = write(
            out,
            SimulationOptions(
                customers=customers,
                days=days,
                seed=seed,
                readings=readings,
                clean=clean,
                clock_offset_ms=clock_offset_ms,
                clock_jitter_ms=clock_jitter_ms,
                clock_drift_ppm=clock_drift_ppm,
                whole_seconds=whole_seconds,
                clock_resets=clock_resets,
                lost=lost,
                shared_homes=shared_homes,
                hand_overs=hand_overs,
                without_phone=without_phone,
            ),
            progress=status.update,
        )
    counts = {
        "customer": made.customers,
        "accelerometer": made.accelerometer,
        "step_trainer": made.step_trainer,
    }
    show_grids(
        [render.grid(f"simulated in {out}", ("feed", "records"), counts.items(), numbers=("records",))],
        counts,
    )


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="folder of the demo")] = Path("demo")) -> None:
    """Simulate, run and show, in a folder of its own."""
    import shutil

    from stedi import pipeline
    from stedi.query.sandbox import query as ask
    from stedi.simulate import IDEAL
    from stedi.simulate.landing_files import simulate as write

    refuse_bytes(folder)
    marker = folder / ".stedi-demo"
    try:
        if folder.exists() and any(folder.iterdir()) and not marker.exists():
            raise UsageError(f"folder {folder} holds something else; name another for the demo")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        marker.touch()
    except OSError as error:
        raise UsageError(f"folder {folder} can't be written ({error.strerror}); name another for the demo") from error
    settings = settings_with(landing=str(folder / "landing"), warehouse=str(folder / "lakehouse"))
    with ERROR_CONSOLE.status("simulating") as status:
        write(folder / "landing", IDEAL, progress=status.update)
        done = pipeline.run(settings, progress=status.update)
    sample = ask(settings, "SELECT * FROM machine_learning_curated LIMIT 5")
    grids = [*render.run_grids(done), render.grid("machine_learning_curated", sample.columns, sample.rows())]
    show_grids(grids, render.run_json(done))
    place = escape(str(settings.warehouse))
    ERROR_CONSOLE.print(f'Next: stedi --warehouse {place} query "SELECT status, count(*) FROM device_owner GROUP BY ALL"')
