"""The run log: one small file per finished run, which lists the snapshot of every table.

A run writes its file last and atomically. Readers take the snapshots of the newest file, so they never see half a run.
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
_RUN_FILE = re.compile(r"/\d{8}[^/]*\.json$")


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes:
        run_id: its ID.
        finished_at: when it finished, in ISO 8601.
        settings: the settings of its queries.
        snapshots: snapshot ID by table.
        alarms: its alarms. Files of old versions have none.
    """

    run_id: str
    finished_at: str
    settings: QuerySettings
    snapshots: dict[str, int]
    alarms: list[Alarm] = field(default_factory=list)


def new_run_id() -> str:
    """Return a run ID that sorts by time: UTC to the second, then random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def write_run(warehouse: Warehouse, run: RunRecord) -> int:
    """Publish a finished run atomically. Return its number.

    Raises:
        WarehouseBusyError: another run published under this number at the same time.
    """
    warehouse.confirm_write_lock()
    number = next_run_number(warehouse)
    try:
        warehouse.create(f"{_FOLDER}/{number:08d}.json", _encode(run))
    except FileExistsError:
        raise WarehouseBusyError(f"another run published run {number} of {warehouse} at the same time; run again") from None
    return number


def _encode(run: RunRecord) -> bytes:
    document = asdict(run)
    return json.dumps({**document.pop("settings"), **document}).encode()


def next_run_number(warehouse: Warehouse) -> int:
    """Return the number of the next run. Runs are ordered by number, because a clock may be set back."""
    return max((int(name.rpartition("/")[2][:8]) for name in _run_files(warehouse)), default=0) + 1


def expire_runs(warehouse: Warehouse, *, keep: int) -> int:
    """Delete the files of all but the `keep` newest runs, and those left by killed runs. Return how many runs expired."""
    names = _run_files(warehouse)
    expired = names[:-keep]
    leftovers = [file.name for file in warehouse.list(_FOLDER) if file.name not in names]
    for name in (*expired, *leftovers):
        warehouse.delete(name)
    return len(expired)


def update_latest_run(warehouse: Warehouse, snapshots: dict[str, int]) -> None:
    """Replace the snapshots of the newest run, atomically. The new snapshots must have the same rows."""
    names = _run_files(warehouse)
    if names:
        warehouse.replace(names[-1], _encode(replace(_read(warehouse, names[-1]), snapshots=snapshots)))


def read_runs(warehouse: Warehouse) -> list[RunRecord]:
    """Return all finished runs, oldest first."""
    runs = []
    for name in _run_files(warehouse):
        # Maintenance may delete a file after it was listed.
        with suppress(FileNotFoundError):
            runs.append(_read(warehouse, name))
    return runs


def latest_run(warehouse: Warehouse) -> RunRecord | None:
    """Return the newest finished run, or None if no run has finished."""
    names = _run_files(warehouse)
    return _read(warehouse, names[-1]) if names else None


def _run_files(warehouse: Warehouse) -> list[str]:
    """Return the names of the run log's files, oldest first."""
    with _translate_read_errors(warehouse):
        return sorted(file.name for file in warehouse.list(_FOLDER) if _RUN_FILE.search(file.name))


@contextmanager
def _translate_read_errors(warehouse: Warehouse) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WarehouseError(
            f"the run log in {warehouse.path(_FOLDER)} can't be read: {error.strerror or error}; "
            "grant read access to the folder and its files"
        ) from error


def _read(warehouse: Warehouse, name: str) -> RunRecord:
    try:
        with _translate_read_errors(warehouse):
            content = warehouse.read(name)
        document = json.loads(content)
        settings = QuerySettings(**{f.name: document.pop(f.name) for f in fields(QuerySettings) if f.name in document})
        alarms = [Alarm(**alarm) for alarm in document.pop("alarms", [])]
        return RunRecord(**document, settings=settings, alarms=alarms)
    except (ValueError, TypeError) as error:
        raise WarehouseError(
            f"file {warehouse.path(name)} of the run log is damaged ({error}); restore it from a backup, or delete it"
        ) from None


def run_as_of(runs: Sequence[RunRecord], as_of: str | None) -> RunRecord | None:
    """Select a finished run.

    Args:
        runs: the finished runs, oldest first.
        as_of: a run ID, a time in ISO 8601 (UTC if it has no offset), or None for the newest run.

    Returns:
        The run with that ID, or the last one that had finished by that time. None if no run has finished and `as_of` is
        None.

    Raises:
        UsageError: `as_of` is neither the ID of a finished run nor a time, or no run had finished by that time.
    """
    if as_of is None:
        return runs[-1] if runs else None
    for run in runs:
        if run.run_id == as_of:
            return run
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError:
        raise UsageError(f"{as_of!r} is neither a finished run nor a time; see `stedi history TABLE`") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    before = [run for run in runs if datetime.fromisoformat(run.finished_at) <= time]
    if not before:
        raise UsageError(f"no run had finished by {as_of}; see `stedi history TABLE`")
    return before[-1]
