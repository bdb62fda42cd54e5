"""The command that shows the clock of withdrawals."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, Section, show
from stedi.cli.text import counted, utc_text
from stedi.errors import WarehouseError

if TYPE_CHECKING:
    from stedi.privacy.clock_report import ClockEntry, ClockReport

_LIMIT = 50


@command(app, "Privacy")
def privacy(
    call: Call,
    all_entries: Annotated[
        bool, typer.Option("--all", help=f"list all withdrawals and holds (default: {_LIMIT}, overdue and open ones first)")
    ] = False,
) -> None:
    """Show when withdrawals were received and took effect in every table, snapshot and model. Exit code 1 if one is overdue.

    Also lists erasures, and files of customers that no run has ingested. The setting privacy.deadline_days says when
    something is overdue. Customers are shown by the first digits of their pseudonym.

    Example: stedi privacy --json
    """
    from stedi.privacy.clock import read_clock

    with progress("searching") as display:
        limit = None if all_entries else _LIMIT
        report = read_clock(call.settings(), datetime.now(UTC), limit=limit, progress=display)
    show(Result(list(_sections(report)), _as_json(report), last=_summary(report)), as_json=call.as_json)
    if report.overdue:
        raise WarehouseError(
            f"{report.overdue:,} overdue after {counted(report.deadline_days, 'day')}: {_next_steps(report)}"
        )


def _as_json(report: "ClockReport") -> dict[str, object]:
    entries = [
        asdict(entry) | {"in_effect_ms": entry.in_effect_ms, "is_in_effect": entry.is_in_effect} for entry in report.entries
    ]
    return asdict(report) | {"entries": entries}


def _summary(report: "ClockReport") -> str:
    past = report.past_retention
    left_out = report.withdrawals + report.holds - len(report.entries)
    return (
        f"{counted(report.withdrawals, 'withdrawal')} and {counted(report.holds, 'hold')}: {report.in_effect:,} in effect "
        f"everywhere. Overdue after {counted(report.deadline_days, 'day')}: {report.overdue:,}."
        + (f" Left out: {left_out:,}; --all lists them." if left_out else "")
        + (f" Records past the retention: of {counted(past, 'person').replace('persons', 'people')}." if past else "")
    )


def _next_steps(report: "ClockReport") -> str:
    overdue = [entry for entry in report.entries if entry.is_overdue]
    steps = {
        "start `stedi run`": any(entry.in_effect_ms is None for entry in overdue) or any(f.is_overdue for f in report.files),
        "train new models": any(entry.models for entry in overdue),
        "lower keep_runs and start `stedi maintain`": any(entry.snapshots for entry in overdue),
        "start `stedi maintain`": bool(report.overdue_retention),
        "finish the erasure with `stedi erase`": any(erasure.is_overdue for erasure in report.erasures),
    }
    return ", then ".join(step for step, is_needed in steps.items() if is_needed)


def _sections(report: "ClockReport") -> Iterator[Section]:
    yield Section(
        "withdrawals of consent to research, and holds on it",
        ("customer", "what", "received", "in effect in the tables", "snapshots", "models", "due", "state"),
        [
            (
                entry.customer,
                entry.kind,
                entry.received_ms,
                _tables_text(entry),
                entry.snapshots,
                entry.models,
                entry.due_ms,
                "overdue" if entry.is_overdue else "in effect" if entry.is_in_effect else "open",
            )
            for entry in report.entries
        ],
        ("snapshots", "models"),
        show={"customer": lambda customer: f"{customer}…", "received": utc_text, "due": utc_text},
        empty="Nobody withdrew consent to research or is on hold.\n",
    )
    yield Section(
        "snapshots that still contain these customers",
        ("table", "snapshot", "committed", "customers", "expires"),
        [
            (
                snapshot.table,
                str(snapshot.snapshot_id),
                snapshot.committed_ms,
                snapshot.customers,
                snapshot.expires_after_runs,
            )
            for snapshot in report.snapshots
        ],
        ("customers",),
        show={"committed": utc_text, "expires": _expiry_text},
    )
    yield Section(
        "models in use that learned from these customers",
        ("model", "customers"),
        [(model.model, model.customers) for model in report.models],
        ("customers",),
    )
    yield Section(
        "files of customers that no run has ingested; they may contain withdrawals",
        ("file", "received", "state"),
        [(file.file, file.received_ms, "overdue" if file.is_overdue else "waiting") for file in report.files],
        show={"received": utc_text},
    )
    yield Section(
        "erasures",
        ("erasure", "started", "people", "state"),
        [
            (
                erasure.erasure_id,
                erasure.started_ms,
                erasure.people,
                "finished" if erasure.is_finished else "overdue" if erasure.is_overdue else "unfinished",
            )
            for erasure in report.erasures
        ],
        ("people",),
        show={"started": utc_text},
    )


def _tables_text(entry: "ClockEntry") -> str:
    if entry.in_effect_ms is not None:
        return utc_text(entry.in_effect_ms)
    missing = sum(time is None for time in entry.tables.values())
    return f"not in {missing} of {len(entry.tables)}"


def _expiry_text(runs: int) -> str:
    return f"after {counted(runs, 'more run')}" if runs else "with the next maintenance"
