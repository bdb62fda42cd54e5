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
from stedi.landing.not_taken import MOST_COUNTED, NotTaken

_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_PACKED_ENDINGS = (".gz", ".bz2", ".zst")
# Firehose names objects so, behind a stream's name that may have dots: no ending.
_FIREHOSE = re.compile(r".*-\d{4}(-\d\d){5}-[0-9a-f-]{4,}", re.DOTALL)
_UPLOADING, _CHECKSUM = "._copying_", ".crc"
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


def why_not_taken(name: str) -> str | None:
    """Why a file of this name below the landing folder is not taken; None where it is."""
    # What copies files often does so in a hidden folder first. Keys in S3 may hold dots as any other part.
    if any(part.startswith((".", "_")) and part not in (".", "..") for part in name.split("/")):
        return "hidden"
    lower = name.lower()
    if lower.endswith(_UPLOADING):
        return "upload in progress"
    if lower.endswith(_CHECKSUM):
        return "checksum file"
    return None if ending_of(name) is not None else "other ending"


def is_landing_name(name: str) -> bool:
    """Whether a file of this name below the landing folder is taken: one of the endings or none, and not hidden."""
    return why_not_taken(name) is None


def has_json_ending(name: str) -> bool:
    """Whether a name says that the file contains JSON."""
    return ending_of(name) not in (None, "", *_PACKED_ENDINGS)


def ending_of(name: str) -> str | None:
    """The ending of a landing file's name in lower case, such as `.json.gz`; None for other endings."""
    base = name.rpartition("/")[2].lower()
    packed = next((ending for ending in _PACKED_ENDINGS if base.endswith(ending)), "")
    base = base.removesuffix(packed)
    ending = next((ending for ending in _JSON_ENDINGS if base.endswith(ending)), "")
    if not ending and "." in base and not _FIREHOSE.fullmatch(base):
        return None
    return ending + packed


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
    return list_landing(landing, [feed])[feed.name]


def list_landing(
    landing: str, feeds: Sequence[Feed], not_taken: NotTaken | None = None, *, without: Path | None = None
) -> dict[str, list[LandingFile]]:
    """The files of some feeds by feed, sorted by name. All other files go to `not_taken`, where it is given.

    `without` is a folder whose files count as no landing files: the warehouse.

    Raises:
        LandingError: the landing folder is missing or can't be read.
        UsageError: `landing` begins like an S3 prefix and is none.
    """
    if _IN_S3.match(landing):
        from stedi.landing import s3

        listed = s3.list_objects(landing, feeds, not_taken)
    else:
        listed = _list_folder(Path(landing), feeds, not_taken, without)
    if not_taken is not None:
        not_taken.is_empty = not any(listed.values())
    return {name: sorted(files, key=lambda file: file.name) for name, files in listed.items()}


def _list_folder(
    root: Path, feeds: Sequence[Feed], not_taken: NotTaken | None, without: Path | None
) -> dict[str, list[LandingFile]]:
    def refuse(error: OSError) -> NoReturn:
        place = safe_name(str(error.filename))
        raise LandingError(f"landing place {place} can't be read: {error.strerror}; give this user the right to") from error

    def refuse_unless_gone(error: OSError) -> None:
        if error.errno not in _GONE:
            refuse(error)

    def pass_over(name: str, why: str) -> None:
        if not_taken is not None:
            not_taken.add(safe_name(name), why)

    try:
        is_there = root.is_dir()
        if not is_there:
            what = "is no folder" if root.exists() else "does not exist"
            raise LandingError(f"landing folder {root} {what}; give its place with --landing")
        # Spelled as they are: where case does not count, `Customers` would open as `customers`.
        tops = sorted(path.name for path in root.iterdir())
    except OSError as error:
        refuse(error)
    feed_of = {folder: feed for feed in feeds for folder in feed.folders}
    listed: dict[str, list[LandingFile]] = {feed.name: [] for feed in feeds}
    for top in tops:
        is_folder = (root / top).is_dir()
        if is_folder and (root / top).is_symlink():
            if top in feed_of or (not_taken is not None and top not in not_taken.known_folders):
                pass_over(f"{top}/", "hidden" if why_not_taken(top) == "hidden" else "link to a folder")
        elif is_folder and top in feed_of:
            if not_taken is not None:
                not_taken.missing.pop(feed_of[top].name, None)
            files = listed[feed_of[top].name]
            for directory, folders, names in os.walk(root / top, onerror=refuse_unless_gone):
                within = Path(directory).relative_to(root)
                for folder in folders:
                    if (Path(directory) / folder).is_symlink():
                        pass_over(f"{(within / folder).as_posix()}/", "link to a folder")
                for name in ((within / each).as_posix() for each in names):
                    if why := why_not_taken(name):
                        pass_over(name, why)
                        continue
                    try:
                        files.append(look(root / name, name))
                    except OSError as error:
                        refuse_unless_gone(error)
                        if not_taken is not None and os.path.lexists(root / name):
                            pass_over(name, "link to no file" if (root / name).is_symlink() else "no regular file")
        elif not_taken is not None and not is_folder:
            why = why_not_taken(top)
            pass_over(top, "hidden" if why == "hidden" else "outside the feeds' folders")
        elif not_taken is not None and top not in not_taken.known_folders:
            files_there, has_more = _count_files(root / top, without)
            not_taken.add_folder(safe_name(top), files_there, has_more=has_more, is_hidden=top.startswith((".", "_")))
    return listed


def _count_files(top: Path, without: Path | None) -> tuple[int, bool]:
    """How many files are below a folder that is no feed's, up to a limit, and whether there are more."""
    count = 0
    if without is not None and top.resolve() == without:
        return 0, False
    for directory, folders, names in os.walk(top):
        if without is not None:
            folders[:] = [folder for folder in folders if (Path(directory) / folder).resolve() != without]
        count += len(names)
        if count > MOST_COUNTED:
            return MOST_COUNTED, True
    return count, False


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
