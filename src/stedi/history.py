"""Which state of the tables each finished run left: one small file a run, beside the catalog.

A run's record is written last and in one step, so a reader who goes by it sees the tables of
one finished run together, never a mixture.
"""

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from stedi.errors import UsageError, WarehouseError


@dataclass(frozen=True)
class RunRecord:
    """One finished run and the snapshot of every table that it left."""

    run_id: str
    finished_at: str
    policy: str
    snapshots: dict[str, int]


def new_run_id() -> str:
    """A name that sorts by time: UTC to the second, then chance against two in one second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def write_run(warehouse: Path, record: RunRecord) -> int:
    """Publish a finished run, whole or not at all; returns its number."""
    (warehouse / "runs").mkdir(exist_ok=True)
    number = next_number(warehouse)
    _write(record, warehouse / "runs" / f"{number:08d}-{record.run_id}.json")
    return number


def _write(record: RunRecord, path: Path) -> None:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    # The new name is as lasting as the file only once the folder is on disk as well.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def next_number(warehouse: Path) -> int:
    """The number of the next run: runs count up, so that their order rests on no clock, which may jump back."""
    return max((int(path.name.partition("-")[0]) for path in _records(warehouse)), default=0) + 1


def drop_runs(warehouse: Path, *, keep: int) -> int:
    """Forget all but the newest runs, and what died runs began to record; returns how many were forgotten."""
    old = _records(warehouse)[:-keep]
    for path in (*old, *(warehouse / "runs").glob(".*")):
        path.unlink()
    return len(old)


def update_latest_run(warehouse: Path, snapshots: dict[str, int]) -> None:
    """Let the newest run name other snapshots of the same rows, in one step."""
    paths = _records(warehouse)
    if paths:
        _write(replace(_read(paths[-1]), snapshots=snapshots), paths[-1])


def read_runs(warehouse: Path) -> list[RunRecord]:
    """All finished runs, oldest first, in the order in which they finished."""
    runs = []
    for path in _records(warehouse):
        # Upkeep may forget one meanwhile.
        with suppress(FileNotFoundError):
            runs.append(_read(path))
    return runs


def latest_run(warehouse: Path) -> RunRecord | None:
    """The run that finished last, or None where none has."""
    paths = _records(warehouse)
    return _read(paths[-1]) if paths else None


def _records(warehouse: Path) -> list[Path]:
    return sorted((warehouse / "runs").glob("[0-9]*.json"))


def _read(path: Path) -> RunRecord:
    try:
        return RunRecord(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise WarehouseError(f"run record {path} can't be understood ({error}); restore it or remove it") from None


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
