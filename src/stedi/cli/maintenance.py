"""The command that runs maintenance."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, show
from stedi.cli.text import counted, duration, size

if TYPE_CHECKING:
    from stedi.maintenance.maintain import MaintenanceReport
    from stedi.privacy.retention.report import Retention


@command(app, "Make tables")
def maintain(
    call: Call,
    plan: Annotated[
        bool, typer.Option("--plan", help="only show what the setting privacy.retention_days would remove")
    ] = False,
) -> None:
    """Enforce retention, compact small files, expire old runs, delete orphan files.

    With the setting privacy.retention_days, raw records of people without consent are removed after so many days.

    Example: stedi maintain --plan
    """
    from stedi.maintenance.maintain import maintain as maintain_tables
    from stedi.privacy.retention.enforce import enforce_retention, plan_retention

    settings = call.settings()
    if plan:
        with progress("searching") as display:
            planned = plan_retention(settings, progress=display)
        last = f"Plan only: {retention_text(planned)}"
        show(Result(_retention_sections(planned), {"retention": asdict(planned)}, last=last), as_json=call.as_json)
        return
    with progress("enforcing retention") as display:
        removed = enforce_retention(settings, progress=display)
    with progress("maintaining") as display:
        report = maintain_tables(settings, progress=display)
    sections = [*_retention_sections(removed), _tables_section(report)]
    freed = sum(table.bytes_removed for table in report.tables.values())
    last = f"{size(freed)} freed." if freed else "No orphan file had to be deleted."
    if report.made_private:
        last += f" Other users can no longer access {report.made_private:,} files and folders."
    if removed.retention_days is not None:
        last += f" {retention_text(removed)}"
    show(Result(sections, {**asdict(report), "retention": asdict(removed)}, last=last), as_json=call.as_json)


def _tables_section(report: "MaintenanceReport") -> Section:
    rows = [(name, *asdict(table).values()) for name, table in report.tables.items()]
    [first, *_] = report.tables.values()
    numbers = tuple(name.replace("_", " ") for name in asdict(first))
    title = f"maintenance · {counted(report.runs_forgotten, 'old run')} expired · {duration(report.seconds)}"
    return Section(title, ("table", *numbers), rows, numbers, show={"bytes removed": size})


def _retention_sections(retention: "Retention") -> list[Section]:
    records = [(f"records in landing files of {feed}", count) for feed, count in retention.records.items()]
    rows = [(f"rows of {table}", count) for table, count in retention.rows.items()]
    history = [(f"rows of {table} in all versions", count) for table, count in retention.history_rows.items()]
    files = [("landing files rewritten", retention.files_rewritten), ("landing files deleted", retention.files_deleted)]
    counts = [(what, count) for what, count in (*records, *rows, *history, *files) if count]
    title = "retention: old records of people without consent"
    return [Section(title, ("what", "removed"), counts, ("removed",))] if counts else []


def retention_text(retention: "Retention") -> str:
    """Return what retention removes, and what it keeps in doubt, as sentences."""
    if retention.retention_days is None:
        return "Retention is not set: records are kept without end (privacy.retention_days)."
    people = counted(retention.people, "person").replace("persons", "people")
    text = (
        f"Retention after {counted(retention.retention_days, 'day')}: records of {people} and readings of "
        f"{counted(retention.devices, 'device period')}."
    )
    if retention.kept_on_hold:
        text += f" Kept, because consent is on hold: {retention.kept_on_hold:,}."
    if retention.kept_owners:
        text += f" Kept in part, because the owner of a device depends on them: {retention.kept_owners:,}."
    return text
