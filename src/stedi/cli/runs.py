"""The command that runs the pipeline."""

from typing import Annotated

import typer

from stedi.cli.names import complete_table
from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.run_report import run_result
from stedi.cli.sections import show
from stedi.model.query_settings import EngineName, Policy


@command(app, "Make tables")
def run(
    call: Call,
    policy: Annotated[
        Policy | None,
        typer.Option(help="which readings of a consenting customer to keep: all, or only those taken under consent"),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="refresh only this table and the tables it is built from; may be repeated", autocompletion=complete_table
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan, write nothing")] = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="recompute every derived table from the landing tables")
    ] = False,
    reingest: Annotated[bool, typer.Option("--reingest", help="ingest all landing files again")] = False,
    engine: Annotated[EngineName | None, typer.Option(help="engine that runs the SQL")] = None,
) -> None:
    """Ingest new landing files and refresh every table. Exit code 3 means success with an alarm.

    Example: stedi run --dry-run
    """
    from stedi import pipeline

    settings = call.settings(policy=policy, engine=engine)
    with progress("starting") as display:
        report = pipeline.run(
            settings,
            select=select or (),
            dry_run=dry_run,
            full_refresh=full_refresh,
            reingest=reingest,
            progress=display,
        )
    removed = None
    try:
        if report.is_maintained:
            from stedi.privacy.retention.enforce import enforce_retention

            with progress("enforcing retention") as display:
                removed = enforce_retention(settings, progress=display)
    finally:
        # The run itself has finished.
        show(run_result(report, removed), as_json=call.as_json)
    report.raise_failures()
    report.raise_alarms()
