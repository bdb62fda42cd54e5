"""Ledger of a landing table: which version of which landing file was ingested. Each commit of the table refers to one."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from stedi.ingest.landing_file import LandingFile


@dataclass(frozen=True)
class LedgerEntry:
    """An ingested version of a file.

    Attributes:
        name: name of the file.
        version: its size and modification time.
        records: number of its records: landed, quarantined and suppressed.
        landed: number of landed records.
        quarantined: number of quarantined records.
        other_format: the format, such as Parquet, of a file that was skipped because it contains no JSON.
        suppressed: number of records that were not stored, because they are about erased people.
        generation: generation of the suppression list that stopped them; 0 if there are none.
        modified_ns: time of the last write before the file was rewritten without records of erased people (ns since the
            epoch, UTC); None if the stored file has that time.
    """

    name: str
    version: str
    records: int
    landed: int
    quarantined: int
    other_format: str | None = None
    suppressed: int = 0
    generation: int = 0
    modified_ns: int | None = None


@dataclass(frozen=True)
class FilePlan:
    """Files of one feed that have to be ingested."""

    new: tuple[LandingFile, ...]
    changed: tuple[LandingFile, ...]

    @property
    def to_read(self) -> tuple[LandingFile, ...]:
        """New and changed files."""
        return self.new + self.changed


def plan_files(
    files: Iterable[LandingFile],
    ledger: Mapping[str, LedgerEntry],
    again: Callable[[LedgerEntry], bool] = lambda _: False,
) -> FilePlan:
    """Compare the listed files with the ledger. The rows of a file that disappeared stay.

    Args:
        files: the listed files.
        ledger: the entries of the ingested files, by name.
        again: whether to ingest a file again although it did not change.
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
    """Encode entries as compressed JSON lines, sorted by file name."""
    lines = (json.dumps(asdict(entry)) for entry in sorted(entries, key=lambda entry: entry.name))
    return zlib.compress("\n".join(lines).encode())


def decode(content: bytes) -> dict[str, LedgerEntry]:
    """Decode entries; returns them by file name."""
    lines = zlib.decompress(content).decode().splitlines()
    return {entry.name: entry for entry in (LedgerEntry(**json.loads(line)) for line in lines)}
