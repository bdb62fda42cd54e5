"""Which state of the tables each finished run left: one small file a run, in the warehouse.

A run's record is written last and in one step, so a reader who goes by it sees the tables of
one finished run together, never a mixture.
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime

from stedi.errors import UsageError, WarehouseBusyError, WarehouseError
from stedi.model.alarms import Alarm
from stedi.model.query_settings import QuerySettings
from stedi.storage import Warehouse

_FOLDER = "runs"
_IS_RECORD = re.compile(r"/\d{8}[^/]*\.json$")


@dataclass(frozen=True)
class RunRecord:
    """One finished run: the snapshot of every table that it left, and its alarms (none in records of old versions)."""

    run_id: str
    finished_at: str
    settings: QuerySettings
    snapshots: dict[str, int]
    alarms: list[Alarm] = field(default_factory=list)


def new_run_id() -> str:
    """A name that sorts by time: UTC to the second, then chance against two in one second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def write_run(warehouse: Warehouse, record: RunRecord) -> int:
    """Publish a finished run, whole or not at all; returns its number.

    Raises:
        WarehouseBusyError: another run published under that number at this moment.
    """
    warehouse.confirm_write_lock()
    number = next_number(warehouse)
    try:
        warehouse.create(f"{_FOLDER}/{number:08d}.json", _encoded(record))
    except FileExistsError:
        raise WarehouseBusyError(f"another run published run {number} of {warehouse} meanwhile; run again") from None
    return number


def _encoded(record: RunRecord) -> bytes:
    content = asdict(record)
    return json.dumps({**content.pop("settings"), **content}).encode()


def next_number(warehouse: Warehouse) -> int:
    """The number of the next run: runs count up, so that their order rests on no clock, which may jump back."""
    return max((int(name.rpartition("/")[2][:8]) for name in _records(warehouse)), default=0) + 1


def drop_runs(warehouse: Warehouse, *, keep: int) -> int:
    """Forget all but the newest runs, and what died runs began to record; returns how many were forgotten."""
    records = _records(warehouse)
    begun = [file.name for file in warehouse.list(_FOLDER) if file.name not in records]
    for name in (*records[:-keep], *begun):
        warehouse.delete(name)
    return len(records[:-keep])


def update_latest_run(warehouse: Warehouse, snapshots: dict[str, int]) -> None:
    """Let the newest run name other snapshots of the same rows, in one step."""
    names = _records(warehouse)
    if names:
        warehouse.replace(names[-1], _encoded(replace(_read(warehouse, names[-1]), snapshots=snapshots)))


def read_runs(warehouse: Warehouse) -> list[RunRecord]:
    """All finished runs, oldest first, in the order in which they finished."""
    runs = []
    for name in _records(warehouse):
        # Upkeep may forget one meanwhile.
        with suppress(FileNotFoundError):
            runs.append(_read(warehouse, name))
    return runs


def latest_run(warehouse: Warehouse) -> RunRecord | None:
    """The run that finished last, or None where none has."""
    names = _records(warehouse)
    return _read(warehouse, names[-1]) if names else None


def _records(warehouse: Warehouse) -> list[str]:
    with _readable(warehouse):
        return sorted(file.name for file in warehouse.list(_FOLDER) if _IS_RECORD.search(file.name))


@contextmanager
def _readable(warehouse: Warehouse) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WarehouseError(
            f"the run records in {warehouse.path(_FOLDER)} can't be read: {error.strerror or error}; "
            "grant read access to the folder and its files"
        ) from error


def _read(warehouse: Warehouse, name: str) -> RunRecord:
    try:
        with _readable(warehouse):
            content = warehouse.read(name)
        found = json.loads(content)
        settings = QuerySettings(**{f.name: found.pop(f.name) for f in fields(QuerySettings) if f.name in found})
        alarms = [Alarm(**alarm) for alarm in found.pop("alarms", [])]
        return RunRecord(**found, settings=settings, alarms=alarms)
    except (ValueError, TypeError) as error:
        raise WarehouseError(
            f"run record {warehouse.path(name)} can't be understood ({error}); restore it or remove it"
        ) from None


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
