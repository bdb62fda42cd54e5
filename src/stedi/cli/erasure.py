"""The command that erases people."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.addresses import addresses_from
from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, section, show
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.privacy.erasure.plan import Erasure


@command(app, "Privacy")
def erase(
    call: Call,
    email: Annotated[
        list[str] | None,
        typer.Argument(metavar="EMAIL", help="addresses of the people, in any spelling; - reads them from standard input"),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="file with one address per line")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="erase without asking for confirmation")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="only show what would be removed")] = False,
    restore_check: Annotated[
        bool, typer.Option("--restore-check", help="show whether erased people came back, and erase them again")
    ] = False,
    lift: Annotated[
        str | None, typer.Option("--lift", metavar="EMAIL", help="let a person in again who registered anew")
    ] = None,
) -> None:
    """Erase people everywhere: landing files, tables with all their history, models and logs.

    Shows first what would be removed, and asks. An erasure that was killed goes on when it is called again.

    Example: stedi erase ann@example.com
    """
    from stedi.privacy.erasure import erase as erasure

    if lift is not None:
        erasure.lift(call.settings(), addresses_from([lift])[0])
        show(
            Result([], {"lifted": 1}, last="The person may register again. Data from before the erasure stays refused."),
            as_json=call.as_json,
        )
        return
    addresses = [] if restore_check and not email and file is None else addresses_from(email or [], file)
    if plan or not (yes and call.as_json):
        with progress("searching") as display:
            planned = erasure.plan(call.settings(), addresses, progress=display)
        show(Result(_sections(planned), asdict(planned)), as_json=call.as_json)
    if plan:
        return
    if not yes and not typer.confirm("Erase all this? It can't be undone", err=True):
        raise UsageError("nothing was erased; confirm, or give --yes")
    with progress("erasing") as display:
        done = erasure.erase(call.settings(), addresses, progress=display)
    show(Result(_sections(done), asdict(done)), as_json=call.as_json)
    done.raise_if_found()


def _sections(erasure: "Erasure") -> list[Section]:
    files = [asdict(file) for file in erasure.files]
    tables = [asdict(table) for table in erasure.tables]
    return [
        section(
            "landing files",
            files,
            {
                "name": "file",
                "removed": "records removed",
                "kept": "records of others",
                "bytes_before": "bytes",
                "bytes_after": "bytes after",
            },
        ),
        section(
            "tables",
            tables,
            {
                "table": "table",
                "rows": "rows now",
                "history_rows": "rows in all snapshots",
                "snapshots": "snapshots rewritten",
                "snapshot_count": "of snapshots",
                "files": "data files replaced",
                "other_rows": "rows of others in them",
            },
        ),
    ]
