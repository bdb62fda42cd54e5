"""What each finished run published: one small file a run, beside the catalog.

A run's record is written last and in one step, so a reader who goes by it sees the tables of
one finished run together, never a mixture.
"""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stedi.errors import UsageError
from stedi.quality import RuleResult


@dataclass(frozen=True)
class RunRecord:
    """One finished run: the snapshot of every table that it left, and what its rules found."""

    run_id: str
    finished_at: str
    policy: str
    snapshots: dict[str, int]
    rules: list[dict[str, Any]]


def new_run_id() -> str:
    """A name that sorts by time: UTC to the second, then chance against two in one second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def write_run(warehouse: Path, record: RunRecord) -> None:
    """Publish a finished run; it appears whole or not at all."""
    folder = warehouse / "runs"
    folder.mkdir(exist_ok=True)
    draft = folder / f".{record.run_id}"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    number = len(list(folder.glob("*.json"))) + 1
    draft.rename(folder / f"{number:08d}-{record.run_id}.json")


def read_runs(warehouse: Path) -> list[RunRecord]:
    """All finished runs, oldest first, in the order in which they finished."""
    paths: Sequence[Path] = sorted((warehouse / "runs").glob("*.json"))
    return [RunRecord(**json.loads(path.read_text("utf-8"))) for path in paths]


def latest_rules(warehouse: Path) -> list[RuleResult]:
    """What the rules found when each table was last checked, tables in the order of a run."""
    latest: dict[str, list[RuleResult]] = {}
    for run in read_runs(warehouse):
        by_table: dict[str, list[RuleResult]] = {}
        for values in run.rules:
            by_table.setdefault(values["table"], []).append(RuleResult(**values))
        latest.update(by_table)
    return [result for results in latest.values() for result in results]


def run_as_of(runs: Sequence[RunRecord], as_of: str | None) -> RunRecord | None:
    """The newest run, the run of that name, or the last one finished by that time (ISO 8601).

    Raises:
        UsageError: `as_of` is neither a run nor a time, or lies before the first run.
    """
    if as_of is None:
        return runs[-1] if runs else None
    for run in runs:
        if run.run_id == as_of:
            return run
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise UsageError(f"{as_of!r} is neither a finished run nor a time; see `stedi history TABLE`") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    before = [run for run in runs if datetime.fromisoformat(run.finished_at) <= moment]
    if not before:
        raise UsageError(f"no run had finished by {as_of}; see `stedi history TABLE`")
    return before[-1]
