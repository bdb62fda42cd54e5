"""Files of retention in the privacy folder: the journal of an unfinished removal, and a log entry of each finished one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from stedi.ingest.retention_marks import JOURNAL
from stedi.privacy.erasure.journal import PlannedFile
from stedi.privacy.retention.report import Retention
from stedi.storage import Warehouse
from stedi.storage.errors import translate_damage, translate_storage_errors

# Folder of the log entries.
LOG = "retention"


@dataclass(frozen=True)
class Journal:
    """An unfinished removal: when it started (ms since the epoch, UTC), and the landing files that it rewrites."""

    started_ms: int
    files: tuple[PlannedFile, ...] = ()


def read_journal(folder: Warehouse) -> Journal | None:
    """Read the journal from the privacy folder; None if no removal is unfinished.

    Raises:
        WarehouseError: the journal is damaged or can't be read.
    """
    path = folder.path(JOURNAL)
    with translate_storage_errors(f"{path} can't be read"), translate_damage("journal of an unfinished retention"):
        try:
            document = json.loads(folder.read(JOURNAL))
        except FileNotFoundError:
            return None
        return Journal(document["started_ms"], tuple(PlannedFile(**file) for file in document["files"]))


def write_journal(folder: Warehouse, journal: Journal) -> None:
    """Write the journal atomically. It contains names of landing files, which may contain addresses."""
    folder.make_folder("")
    folder.replace(JOURNAL, json.dumps(asdict(journal)).encode())


def merge_files(before: Sequence[PlannedFile], now: Sequence[PlannedFile]) -> tuple[PlannedFile, ...]:
    """Add the planned files of a killed removal to those of the next one. A file that is in both is planned anew."""
    return tuple({file.name: file for file in (*before, *now)}.values())


def finish(folder: Warehouse, done: Retention, finished_at: str, name: str) -> None:
    """Write the log entry of a finished removal, which names nobody, and delete the journal.

    Args:
        folder: the privacy folder.
        done: what was removed.
        finished_at: the time (ISO 8601, UTC).
        name: name of the entry, which sorts by time.
    """
    folder.make_folder(LOG)
    entry = {"finished_at": finished_at, **asdict(done)}
    folder.replace(f"{LOG}/{name}.json", json.dumps(entry, indent=1).encode())
    folder.delete(JOURNAL)
