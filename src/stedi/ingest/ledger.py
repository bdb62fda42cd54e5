"""The record of which landing files a landing table holds, kept as a file that its commits name."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from stedi.ingest.landing_file import LandingFile


@dataclass(frozen=True)
class LedgerEntry:
    """What was taken from one version of one file; records = landed + quarantined.

    A file of another format, which `other_format` names, has no records.
    """

    name: str
    version: str
    records: int
    landed: int
    quarantined: int
    other_format: str | None = None


@dataclass(frozen=True)
class FilePlan:
    """What ingest has to do for one feed."""

    new: tuple[LandingFile, ...]
    changed: tuple[LandingFile, ...]

    @property
    def to_read(self) -> tuple[LandingFile, ...]:
        return self.new + self.changed


def plan_files(
    files: Iterable[LandingFile],
    ledger: Mapping[str, LedgerEntry],
    again: Callable[[LedgerEntry], bool] = lambda _: False,
) -> FilePlan:
    """Compare what is there with what was taken. A file that disappeared leaves its rows in place.

    Files for which `again` holds are taken once more, changed or not.
    """
    new, changed = [], []
    for file in files:
        entry = ledger.get(file.name)
        if entry is None:
            new.append(file)
        elif entry.version != file.version or again(entry):
            changed.append(file)
    return FilePlan(tuple(new), tuple(changed))


def encode(entries: Iterable[LedgerEntry]) -> bytes:
    """Entries as compressed JSON lines, sorted by file name."""
    lines = (json.dumps(asdict(entry)) for entry in sorted(entries, key=lambda e: e.name))
    return zlib.compress("\n".join(lines).encode())


def decode(content: bytes) -> dict[str, LedgerEntry]:
    """Entries by file name."""
    lines = zlib.decompress(content).decode().splitlines()
    return {entry.name: entry for entry in (LedgerEntry(**json.loads(line)) for line in lines)}
