"""The command that erases people."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.addresses import address_from, addresses_from
from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, section, show
from stedi.cli.text import counted, size
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.privacy.erasure.plan import Erasure


@command(app, "Privacy")
def erase(
    call: Call,
    email: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EMAIL",
            help="addresses of the people, in any spelling; -: read them from standard input",
            show_default=False,
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="file with one address per line")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="erase without asking for confirmation")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="only show what would be removed")] = False,
    restore_check: Annotated[
        bool,
        typer.Option(
            "--restore-check", help="show whether a restored backup brought erased people back, and erase them again"
        ),
    ] = False,
    lift: Annotated[
        bool, typer.Option("--lift", help="let a person in again who registered anew; old data stays refused")
    ] = False,
) -> None:
    """Erase people everywhere: landing files, tables with all their history, models and logs.

    Shows first what would be removed, and asks. Writes a signed certificate. An erasure that was killed goes on when it is
    called again.

    Example: stedi erase ann@example.com
    """
    from stedi.privacy.erasure import erase as erasure

    if lift:
        if yes or plan or restore_check or file is not None:
            raise UsageError("--lift takes one address and no other option")
        erasure.lift(call.settings(), address_from(email or []))
        last = "The person is let in again. Data from before the erasure stays refused."
        show(Result([], {"lifted": 1}, last=last), as_json=call.as_json)
        return
    given = bool(email) or file is not None
    if restore_check and given:
        raise UsageError("--restore-check takes no addresses: it looks for everybody who was erased")
    if yes and plan:
        raise UsageError("give --yes to erase, or --plan to look only")
    addresses = [] if restore_check else addresses_from(email or [], file)
    if not (yes and call.as_json):
        with progress("searching") as display:
            planned = erasure.plan(call.settings(), addresses, progress=display)
        is_clean = restore_check and planned.is_empty and not planned.is_unfinished
        sections = [] if is_clean else list(_sections(planned))
        last = "Nobody who was erased is in the lakehouse." if is_clean else _summary(planned)
        show(Result(sections, asdict(planned), last=last), as_json=call.as_json)
        if plan or is_clean:
            return
        # On a terminal only: a program that forgot --yes must not wait for an answer.
        if not yes and not typer.confirm("Erase all this? It can't be undone", err=True):
            raise UsageError("nothing was erased; confirm, or give --yes")
    with progress("erasing") as display:
        done = erasure.erase(call.settings(), addresses, progress=display)
    show(Result([], asdict(done), last=_outcome(done)), as_json=call.as_json)
    done.raise_if_found()


def _sections(erasure: "Erasure") -> Iterator[Section]:
    yield section(
        "landing files",
        [asdict(file) for file in erasure.files],
        {
            "name": "file",
            "removed": "records removed",
            "kept": "records of others",
            "bytes_before": "size",
            "bytes_after": "size after",
            "dropped_bytes": "undecodable bytes dropped",
        },
        numbers=("records removed", "records of others", "size", "size after", "undecodable bytes dropped"),
        optional=("undecodable bytes dropped",),
        show={"size": size, "size after": size},
        empty="No landing file contains records of these people.\n",
    )
    yield section(
        "tables",
        [asdict(table) for table in erasure.tables],
        {
            "table": "table",
            "rows": "rows",
            "history_rows": "rows in all snapshots",
            "snapshots": "snapshots rewritten",
            "snapshot_count": "of snapshots",
            "files": "data files rewritten",
            "other_rows": "rows of others in them",
        },
        numbers=(
            "rows",
            "rows in all snapshots",
            "snapshots rewritten",
            "of snapshots",
            "data files rewritten",
            "rows of others in them",
        ),
        empty="No table contains rows of these people.\n",
    )
    yield section(
        "models that learned from them, and are put out of use",
        [asdict(model) for model in erasure.models],
        {"name": "model", "people": "people", "mlflow_runs": "MLflow runs"},
        numbers=("people", "MLflow runs"),
    )
    yield section(
        "what stays",
        [asdict(remains) for remains in erasure.remains],
        {"what": "what", "count": "number", "why": "why"},
        numbers=("number",),
    )


def _summary(planned: "Erasure") -> str:
    """One sentence about a plan."""
    people = counted(len(planned.subjects), "person").replace("persons", "people")
    text = f"{people}, {counted(planned.devices, 'device period')} of theirs."
    if planned.not_in_tables:
        text += f" {planned.not_in_tables:,} of them are in no landing table; they are added to the suppression list."
    if planned.log_entries:
        text += (
            f" {counted(planned.log_entries, 'entry').replace('entrys', 'entries')} of the privacy log lose the pseudonym."
        )
    return text


def _outcome(done: "Erasure") -> str:
    """One sentence about a finished erasure."""
    removed = sum(file.removed for file in done.files)
    rows = sum(table.rows for table in done.tables)
    text = (
        f"Erased: {counted(removed, 'record')} in {counted(len(done.files), 'landing file')}, "
        f"{counted(rows, 'row')} in {counted(len(done.tables), 'table')}, "
        f"{counted(done.deleted_files, 'file')} deleted ({size(done.deleted_bytes)})."
    )
    if done.doubts:
        text += f" The scan could not open {counted(len(done.doubts), 'part')} of files; the certificate lists them."
    if done.certificate:
        text += f" Certificate: {done.certificate}"
    return text
