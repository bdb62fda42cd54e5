"""What `stedi erase` and `stedi aws erase` share: options, plan, confirmation, outcome."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.addresses import address_from, addresses_from
from stedi.cli.confirmation import is_confirmed
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, section, show
from stedi.cli.text import counted, size
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.config import Settings
    from stedi.privacy.erasure.plan import Elsewhere, Erasure

Emails = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EMAIL",
        help="addresses of the people, in any spelling; -: read them from standard input",
        show_default=False,
    ),
]
File = Annotated[Path | None, typer.Option("--file", help="file with one address per line")]
Yes = Annotated[bool, typer.Option("--yes", help="erase without asking for confirmation")]
Plan = Annotated[bool, typer.Option("--plan", help="only show what would be removed")]
RestoreCheck = Annotated[
    bool,
    typer.Option("--restore-check", help="show whether a restored backup brought erased people back, and erase them again"),
]
Lift = Annotated[bool, typer.Option("--lift", help="let a person in again who registered anew; old data stays refused")]


def check_options(
    email: list[str] | None, file: Path | None, *, yes: bool, plan: bool, restore_check: bool, lift: bool
) -> list[str]:
    """Check that the options go together; returns the normalised addresses.

    Raises:
        UsageError: they do not, or an address is none.
    """
    if lift:
        if yes or plan or restore_check or file is not None:
            raise UsageError("--lift takes one address and no other option")
        return [address_from(email or [])]
    if restore_check and (email or file is not None):
        raise UsageError("--restore-check takes no addresses: it looks for everybody who was erased")
    if yes and plan:
        raise UsageError("give --yes to erase, or --plan to look only")
    return [] if restore_check else addresses_from(email or [], file)


def lift_person(settings: "Settings", address: str, *, as_json: bool) -> None:
    """Let a person in again, and say so."""
    from stedi.privacy.erasure import erase as erasure

    erasure.lift(settings, address)
    last = "The person is let in again. Data from before the erasure stays refused."
    show(Result([], {"lifted": 1}, last=last), as_json=as_json)


def erase_people(
    settings: "Settings",
    addresses: list[str],
    elsewhere: "Elsewhere",
    *,
    yes: bool,
    plan: bool,
    restore_check: bool,
    as_json: bool,
) -> None:
    """Show what an erasure would remove, ask, and erase.

    Args:
        settings: the settings.
        addresses: normalised addresses; none for a restore check.
        elsewhere: what a deployment keeps outside of the lakehouse.
        yes: erase without asking.
        plan: only show.
        restore_check: whether the erased people who came back are looked for.
        as_json: print JSON.

    Raises:
        UsageError: the erasure was not confirmed.
        ErasureError: the scan found identifiers of the people afterwards.
        StediError: the lakehouse can't be read or written.
    """
    from stedi.privacy.erasure import erase as erasure

    # With --yes the erasure's own plan is shown afterwards, because planning reads all landing files. A restore check is
    # planned first: where nobody came back there is nothing to certify.
    is_shown = restore_check or not yes
    if is_shown:
        with progress("searching") as display:
            planned = erasure.plan(settings, addresses, elsewhere=elsewhere, progress=display)
        is_clean = restore_check and planned.is_empty and not planned.is_unfinished
        sections = [] if is_clean else list(_sections(planned))
        last = "No table and no landing file of a feed contains anybody who was erased." if is_clean else _summary(planned)
        if plan or is_clean or not (yes and as_json):
            # A program reads one JSON object.
            show(Result(sections, asdict(planned), last=last), as_json=as_json)
        if plan or is_clean:
            return
        if not yes and not is_confirmed("Erase all this? It can't be undone"):
            raise UsageError("nothing was erased; confirm, or give --yes")
    with progress("erasing") as display:
        done = erasure.erase(settings, addresses, elsewhere=elsewhere, progress=display)
    show(Result([] if is_shown else list(_sections(done)), asdict(done), last=_outcome(done)), as_json=as_json)
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
        [asdict(remains) | {"count": remains.count or None} for remains in erasure.remains],
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
    in_s3 = [
        counted(count, what)
        for count, what in (
            (planned.old_versions, "older version"),
            (planned.uploads, "incomplete upload"),
            (planned.copies, "query result"),
        )
        if count
    ]
    if in_s3:
        text += f" Also deleted in S3, whoever they are about: {', '.join(in_s3)}."
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
    if done.old_versions:
        text += f" {counted(done.old_versions, 'older version')} of objects deleted in S3."
    if done.remains:
        text += f" {counted(len(done.remains), 'kind')} of traces stay; the certificate lists them."
    if done.doubts:
        text += f" The scan could not open {counted(len(done.doubts), 'part')} of files; the certificate lists them."
    if done.certificate:
        text += f" Certificate: {done.certificate}"
    return text
