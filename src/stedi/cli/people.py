"""Commands about one person."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.addresses import address_from
from stedi.cli.program import Call, app, check_folder_name, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, show, write_svg
from stedi.cli.text import counted, size, utc_text

if TYPE_CHECKING:
    from stedi.privacy.report import PersonReport
    from stedi.privacy.timeline import PurposeConsent

_NO_ROWS = "no data about a person"
# A list, because typer would repeat a second argument in its message.
_Email = Annotated[
    list[str],
    typer.Argument(
        metavar="EMAIL",
        help="the person's e-mail address, in any spelling; -: read it from standard input",
        show_default=False,
    ),
]


@command(app, "Privacy")
def person(
    call: Call,
    email: _Email,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="also write a picture: consent, holds, readings and devices over time")
    ] = None,
) -> None:
    """Show everything that the lakehouse knows about one person: consent, devices, rows, snapshots, runs and models.

    The question is written to the privacy log first. Other people are not shown.

    Example: stedi person ann@example.com --svg ann.svg
    """
    address = address_from(email)
    from stedi.privacy.person import describe_person
    from stedi.privacy.picture import picture

    with progress("searching") as display:
        report = describe_person(call.settings(), address, "person", progress=display)
    if svg is not None:
        write_svg(picture(report), svg)
    sections = [
        _erasure_section(report),
        *_consent_sections(report),
        *_device_sections(report),
        *_table_sections(report),
        *_history_sections(report),
    ]
    last = "The question was written to the privacy log."
    show(Result(sections, asdict(report), last=last), as_json=call.as_json)


def _erasure_section(report: "PersonReport") -> Section:
    return Section(
        "erasures of the person",
        ("erasure", "erased", "let in again"),
        [(erasure.erasure_id, erasure.erased_at_ms, erasure.lifted_at_ms) for erasure in report.erasures],
        show={"erased": utc_text, "let in again": utc_text},
    )


def _consent_sections(report: "PersonReport") -> Iterator[Section]:
    consent = report.consent
    yield Section(
        f"customer {report.pseudonym}…, as of the run that finished at {utc_text(report.finished_at)}",
        ("customer records", "oldest", "newest"),
        [(consent.records, consent.first_change_ms, consent.last_change_ms)],
        ("customer records",),
        show={"oldest": utc_text, "newest": utc_text},
    )
    is_on_hold = bool(report.holds)
    yield Section(
        "consent by purpose",
        ("purpose", "now", "from", "to", "contradictions"),
        [row for purpose in consent.purposes for row in _interval_rows(purpose, is_on_hold)],
        ("contradictions",),
        show={"from": utc_text, "to": utc_text},
    )
    yield Section(
        "consent on hold, until a usable record of the person arrives in a newer file",
        ("since", "unusable records", "newest in file", "at position", "reason", "meaning"),
        [
            (hold.held_since_ms, hold.records, hold.source_file, hold.source_position, hold.reason, hold.meaning)
            for hold in report.holds
        ],
        ("unusable records", "at position"),
        show={"since": utc_text},
        empty="The consent is not on hold.\n",
    )


def _interval_rows(purpose: "PurposeConsent", is_on_hold: bool) -> Iterator[tuple[object, ...]]:
    status = "not given" if not purpose.is_given else "on hold" if is_on_hold else "given"
    for interval in purpose.intervals:
        yield purpose.purpose, status, interval.from_ms, interval.to_ms, purpose.contradictions
    if not purpose.intervals:
        yield purpose.purpose, status, None, None, purpose.contradictions


def _device_sections(report: "PersonReport") -> Iterator[Section]:
    yield Section(
        "devices of the person; times on the device's clock",
        ("serial number", "from", "to", "status", "why", "confidence", "reading times", "coincide", "of compared"),
        [
            (
                device.serial,
                device.from_ms,
                device.to_ms,
                device.status,
                device.why,
                device.confidence,
                device.reading_times,
                device.coincidences,
                device.compared_times,
            )
            for device in report.devices
        ],
        ("confidence", "reading times", "coincide", "of compared"),
        show={"from": utc_text, "to": utc_text},
        empty="No device is the person's.\n",
    )
    yield Section(
        "serial numbers in the person's records (claims, often wrong)",
        ("serial number", "records", "oldest", "newest", "device is theirs"),
        [(claim.serial, claim.records, claim.first_ms, claim.last_ms, claim.is_theirs) for claim in report.claims],
        ("records",),
        show={"oldest": utc_text, "newest": utc_text},
    )


def _table_sections(report: "PersonReport") -> Iterator[Section]:
    yield Section(
        "the person's rows in the newest finished run, and in the snapshots that are still there",
        ("zone", "table", "found by", "rows", "snapshots with rows", "of snapshots"),
        [
            (
                table.zone,
                table.table,
                table.found_by or _NO_ROWS,
                table.rows,
                len(table.snapshots) if table.found_by else None,
                table.snapshot_count,
            )
            for table in report.tables
        ],
        ("rows", "snapshots with rows", "of snapshots"),
    )


def _history_sections(report: "PersonReport") -> Iterator[Section]:
    yield Section(
        "snapshots that contain the person (--json lists each with its ID)",
        ("table", "rows", "snapshots", "oldest", "newest"),
        [
            (table.table, rows, len(snapshots), utc_text(snapshots[0].committed_at), utc_text(snapshots[-1].committed_at))
            for table in report.tables
            for rows, snapshots in (
                (rows, list(group)) for rows, group in groupby(table.snapshots, key=lambda snapshot: snapshot.rows)
            )
        ],
        ("rows", "snapshots"),
    )
    yield Section(
        "finished runs that contain the person",
        ("run", "finished", "tables", "rows"),
        [(run.run_id, utc_text(run.finished_at), len(run.tables), sum(run.tables.values())) for run in report.runs],
        ("tables", "rows"),
        empty="No finished run of the run log contains the person.\n",
    )
    yield Section(
        "models that learned from the person",
        ("model", "trained", "on run", "stale"),
        [(model.model, utc_text(model.trained_at), model.run_id, model.stale) for model in report.models],
        empty="No published model learned from the person.\n",
    )


@command(app, "Privacy")
def access(
    call: Call,
    email: _Email,
    out: Annotated[Path, typer.Option("--out", help="folder to write: new, or empty; outside of the lakehouse")],
) -> None:
    """Write all data about one person to a folder, to hand over: records, readings, consent with receipts, models.

    The question is written to the privacy log first. Nobody else's data are in the folder, and only you can read it.

    Example: stedi access ann@example.com --out ann
    """
    address = address_from(email)
    check_folder_name(out)
    from stedi.privacy.access import export_person

    with progress("reading") as display:
        package = export_person(call.settings(), address, out, progress=display)
    left_out = asdict(package.left_out)
    sections = [
        Section(
            f"written to {out}, from run {package.run_id}",
            ("file", "rows", "size"),
            [(file.name, file.rows, size(file.bytes)) for file in package.files],
            ("rows", "size"),
        ),
        Section(
            "left out, because it also names other people",
            ("texts", "quarantined records", "rows of device_evidence"),
            [(sum(package.left_out.cells.values()), left_out["quarantined_records"], left_out["evidence_rows"])],
            ("texts", "quarantined records", "rows of device_evidence"),
        ),
    ]
    last = (
        f"{counted(len(package.files) + 1, 'file')}, {size(package.bytes)}. The question was written to the privacy log. "
        "Hand the folder over by a safe route, then delete it."
    )
    files = [asdict(file) for file in package.files]
    document = {"folder": str(out), "run_id": package.run_id, "files": files, "left_out": left_out}
    show(Result(sections, document, last=last), as_json=call.as_json)
