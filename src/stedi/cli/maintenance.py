"""The command that runs maintenance."""

from dataclasses import asdict

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, show
from stedi.cli.text import counted, duration, size


@command(app, "Make tables")
def maintain(call: Call) -> None:
    """Compact small files, expire old runs, delete orphan files.

    Example: stedi maintain
    """
    from stedi.maintenance.maintain import maintain as maintain_tables

    with progress("maintaining") as display:
        report = maintain_tables(call.settings(), progress=display)
    rows = [(name, *asdict(table).values()) for name, table in report.tables.items()]
    [first, *_] = report.tables.values()
    numbers = tuple(name.replace("_", " ") for name in asdict(first))
    title = f"maintenance · {counted(report.runs_forgotten, 'old run')} expired · {duration(report.seconds)}"
    tables = Section(title, ("table", *numbers), rows, numbers, show={"bytes removed": size})
    freed = sum(table.bytes_removed for table in report.tables.values())
    last = f"{size(freed)} freed." if freed else "No orphan file had to be deleted."
    if report.made_private:
        last += f" Other users can no longer access {report.made_private:,} files and folders."
    show(Result([tables], asdict(report), last=last), as_json=call.as_json)
