"""Which landing files there are, and which of them are new, changed or gone."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stedi.errors import LandingError
from stedi.landing.feed import Feed

ENDINGS = tuple(ending + gz for ending in (".json", ".jsonl", ".ndjson") for gz in ("", ".gz"))


@dataclass(frozen=True)
class LandingFile:
    """One file as it stands: `name` is relative to the landing folder, `version` changes with its content."""

    name: str
    path: str
    version: str
    modified_ns: int


@dataclass(frozen=True)
class LedgerEntry:
    """What was taken from one version of one file; records = landed + quarantined."""

    name: str
    version: str
    records: int
    landed: int
    quarantined: int


@dataclass(frozen=True)
class FilePlan:
    """What ingest has to do for one feed."""

    new: tuple[LandingFile, ...]
    changed: tuple[LandingFile, ...]

    @property
    def to_read(self) -> tuple[LandingFile, ...]:
        return self.new + self.changed


def look(path: Path, name: str) -> LandingFile:
    """The file as it stands now; writing to it changes its version.

    Size and modification time alone miss a rewrite that restores the time, so the inode's
    change time and number count too.
    """
    stat = path.stat()
    version = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
    return LandingFile(name, str(path), version, stat.st_mtime_ns)


def list_files(landing: str, feed: Feed) -> list[LandingFile]:
    """All files of a feed, nested folders included, sorted by name.

    Raises:
        LandingError: the landing folder is missing or can't be read.
    """
    root = Path(landing)
    if not root.is_dir():
        raise LandingError(f"landing folder {landing} does not exist; give its place with --landing")
    found: list[LandingFile] = []

    def refuse(error: OSError) -> None:
        raise LandingError(f"landing folder {error.filename} can't be read: {error.strerror}") from error

    for folder in feed.folders:
        if not (root / folder).is_dir():
            continue
        for directory, _, names in os.walk(root / folder, onerror=refuse):
            for name in names:
                path = Path(directory, name)
                if name.lower().endswith(ENDINGS) and not name.startswith(".") and path.is_file():
                    found.append(look(path, path.relative_to(root).as_posix()))
    return sorted(found, key=lambda file: file.name)


def plan_files(files: Iterable[LandingFile], ledger: Mapping[str, LedgerEntry], *, again: bool = False) -> FilePlan:
    """Compare what is there with what was taken. A file that disappeared leaves its rows in place.

    `again` takes files with quarantined records once more, changed or not.
    """
    new, changed = [], []
    for file in files:
        entry = ledger.get(file.name)
        if entry is None:
            new.append(file)
        elif entry.version != file.version or (again and entry.quarantined):
            changed.append(file)
    return FilePlan(tuple(new), tuple(changed))
