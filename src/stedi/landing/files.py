"""Which landing files there are, and which of them are new, changed or gone."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from stedi.errors import LandingError
from stedi.landing.feed import Feed

ENDINGS = tuple(ending + gz for ending in (".json", ".jsonl", ".ndjson") for gz in ("", ".gz"))
_IN_S3 = re.compile(r"s3[an]?://", re.IGNORECASE)
# What breaks a line, steers a terminal, or is no UTF-8 (such bytes come as lone surrogates), and the escape itself.
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# The file went away after it was seen, or is a link to nowhere or to itself.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class LandingFile:
    """One file as it stands.

    `name` is relative to the landing folder, as safe text; `path` is where the file can be read, a
    local path or `s3://bucket/key`; `version` changes with the content. `is_copy` says that `path`
    is a copy of exactly this version.
    """

    name: str
    path: str
    version: str
    modified_ns: int
    is_copy: bool = False


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


def is_landing_name(name: str) -> bool:
    """Whether a file of this name below the landing place holds records: one of the endings, and not hidden."""
    # What copies files often does so in a hidden folder first. Keys in S3 may hold dots as any other part.
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
    return name.lower().endswith(ENDINGS) and not is_hidden


def safe_name(name: str) -> str:
    """A file's name as text that fits on one line and is valid UTF-8; different names stay different."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def look(path: Path, name: str) -> LandingFile:
    """The file as it stands now; writing to it changes its version.

    Size and modification time alone miss a rewrite that restores the time, so the inode's
    change time and number count too.

    Raises:
        OSError: no file is there, or it can't be looked at.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    version = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return LandingFile(safe_name(name), str(path), version, status.st_mtime_ns)


def is_steady(file: LandingFile) -> bool:
    """Whether what was read from `file.path` is the version that was listed."""
    if file.is_copy:
        return True
    try:
        return look(Path(file.path), file.name).version == file.version
    except OSError:
        return False


def list_files(landing: str, feed: Feed) -> list[LandingFile]:
    """All files of a feed, nested folders included, sorted by name; `landing` is a folder or an `s3://` prefix.

    Raises:
        LandingError: the landing folder is missing or can't be read.
        UsageError: `landing` begins like an S3 prefix and is none.
    """
    if _IN_S3.match(landing):
        from stedi.landing import s3

        found = s3.list_objects(landing, feed)
    else:
        found = _list_folder(Path(landing), feed)
    return sorted(found, key=lambda file: file.name)


def _list_folder(root: Path, feed: Feed) -> list[LandingFile]:
    def refuse(error: OSError) -> NoReturn:
        place = safe_name(str(error.filename))
        raise LandingError(f"landing place {place} can't be read: {error.strerror}; give this user the right to") from error

    def refuse_unless_gone(error: OSError) -> None:
        if error.errno not in _GONE:
            refuse(error)

    try:
        is_there = root.is_dir()
    except OSError as error:
        refuse(error)
    if not is_there:
        what = "is no folder" if root.exists() else "does not exist"
        raise LandingError(f"landing folder {root} {what}; give its place with --landing")
    found: list[LandingFile] = []
    for folder in feed.folders:
        for directory, _, names in os.walk(root / folder, onerror=refuse_unless_gone):
            within = Path(directory).relative_to(root)
            for name in filter(is_landing_name, ((within / each).as_posix() for each in names)):
                try:
                    found.append(look(root / name, name))
                except OSError as error:
                    refuse_unless_gone(error)
    return found


@contextmanager
def local_copies(files: Sequence[LandingFile], scratch: Path) -> Iterator[list[LandingFile]]:
    """The files as local ones, for as long as the context lasts.

    Local files come as they are. Files in S3 are copied to a temporary folder below `scratch`, an
    existing folder; one that changed or vanished since it was listed is left out, for the next run.

    Raises:
        LandingError: S3 can't be read.
        OSError: a copy can't be written, such as on a full disk.
    """
    if not any(_IN_S3.match(file.path) for file in files):
        yield list(files)
        return
    from stedi.landing import s3

    with TemporaryDirectory(prefix="landing-", dir=scratch) as folder:
        yield s3.fetch(files, Path(folder))


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
