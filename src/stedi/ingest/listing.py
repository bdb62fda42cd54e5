"""List the landing files of a folder or an S3 prefix, and copy those in S3 to a local folder."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile, safe_name, skip_reason, stat_file
from stedi.ingest.skipped_files import MAX_COUNTED, SkippedFiles, shown_name
from stedi.model.feed import Feed

_IN_S3 = re.compile(r"s3[an]?://", re.IGNORECASE)
# The file was deleted after it was listed, or is a link to nothing or to itself.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def list_files(landing: str, feed: Feed) -> list[LandingFile]:
    """List all files of a feed, nested folders included, sorted by name.

    Args:
        landing: a folder or an `s3://` prefix.
        feed: the feed.

    Raises:
        LandingError: the landing folder is missing or can't be read.
        UsageError: `landing` begins like an S3 prefix and is none.
    """
    return list_landing(landing, [feed])[feed.name]


def list_landing(
    landing: str, feeds: Sequence[Feed], skipped: SkippedFiles | None = None, *, without: Path | None = None
) -> dict[str, list[LandingFile]]:
    """List the files of several feeds by feed, sorted by name.

    Args:
        landing: a folder or an `s3://` prefix.
        feeds: the feeds.
        skipped: receives all other files, if given.
        without: a folder whose files do not count as skipped: the warehouse.

    Raises:
        LandingError: the landing folder is missing or can't be read.
        UsageError: `landing` begins like an S3 prefix and is none.
    """
    if is_in_s3(landing):
        from stedi.ingest import s3

        listed = s3.list_landing_objects(landing, feeds, skipped)
    else:
        listed = _list_folder(Path(landing), feeds, skipped, without)
    if skipped is not None:
        skipped.is_empty = not any(listed.values())
    return {name: sorted(files, key=lambda file: file.name) for name, files in listed.items()}


def _list_folder(
    root: Path, feeds: Sequence[Feed], skipped: SkippedFiles | None, without: Path | None
) -> dict[str, list[LandingFile]]:
    feed_of = {folder: feed for feed in feeds for folder in feed.folders}
    listed: dict[str, list[LandingFile]] = {feed.name: [] for feed in feeds}
    for name in _list_top(root):
        path = root / name
        is_folder, is_hidden = path.is_dir(), skip_reason(name) == "hidden"
        if is_folder and not path.is_symlink() and name in feed_of:
            feed = feed_of[name]
            listed[feed.name] += _list_below(root, name, skipped)
            if skipped is not None:
                skipped.missing.pop(feed.name, None)
        elif skipped is None:
            continue
        elif not is_folder:
            skipped.add(safe_name(name), "hidden" if is_hidden else "outside the feeds' folders")
        elif path.is_symlink():
            if name in feed_of or name not in skipped.known_folders:
                skipped.add(safe_name(f"{name}/"), "hidden" if is_hidden else "link to a folder")
        elif name not in skipped.known_folders:
            count, has_more = _count_files(path, without)
            skipped.add_folder(safe_name(name), count, has_more=has_more, is_hidden=name.startswith((".", "_")))
    return listed


def _list_top(root: Path) -> list[str]:
    """Return the names in the landing folder, as spelled: a file system may open `customers` as `Customers`, too."""
    try:
        if not root.is_dir():
            problem = "is no folder" if root.exists() else "does not exist"
            raise LandingError(f"landing folder {root} {problem}; give another with --landing")
        return sorted(path.name for path in root.iterdir())
    except OSError as error:
        _refuse(error)


def _list_below(root: Path, top: str, skipped: SkippedFiles | None) -> Iterator[LandingFile]:
    """List the landing files of one feed's folder, nested folders included."""

    def skip(name: str, reason: str) -> None:
        if skipped is not None:
            skipped.add(safe_name(name), reason)

    for directory, folders, names in os.walk(root / top, onerror=_refuse_unless_gone):
        within = Path(directory).relative_to(root)
        for folder in folders:
            if (Path(directory) / folder).is_symlink():
                skip(f"{(within / folder).as_posix()}/", "link to a folder")
        for name in ((within / file).as_posix() for file in names):
            if reason := skip_reason(name):
                skip(name, reason)
                continue
            try:
                yield stat_file(root / name, name)
            except OSError as error:
                _refuse_unless_gone(error)
                if os.path.lexists(root / name):
                    skip(name, "link to no file" if (root / name).is_symlink() else "no regular file")


def _count_files(top: Path, without: Path | None) -> tuple[int, bool]:
    """Count the files below a folder, up to a limit; returns the count and whether there are more."""
    count = 0
    if without is not None and top.resolve() == without:
        return 0, False
    for directory, folders, names in os.walk(top):
        if without is not None:
            folders[:] = [folder for folder in folders if (Path(directory) / folder).resolve() != without]
        count += len(names)
        if count > MAX_COUNTED:
            return MAX_COUNTED, True
    return count, False


def _refuse(error: OSError) -> NoReturn:
    path = shown_name(safe_name(str(error.filename)))
    raise LandingError(f"landing path {path} can't be read: {error.strerror}; grant this user read access") from error


def _refuse_unless_gone(error: OSError) -> None:
    if error.errno not in _GONE:
        _refuse(error)


def is_in_s3(path: str) -> bool:
    """Whether a landing folder or file is in S3."""
    return _IN_S3.match(path) is not None


@contextmanager
def local_copies(files: Sequence[LandingFile], scratch: Path) -> Iterator[list[LandingFile]]:
    """Provide local copies of files while the context lasts. Local files are not copied.

    Files in S3 are copied to a temporary folder. A file that changed or vanished after it was listed is left out.

    Args:
        files: local files or files in S3.
        scratch: existing folder in which the temporary folder is created.

    Raises:
        LandingError: S3 can't be read.
        OSError: a copy can't be written, such as on a full disk.
    """
    if not any(is_in_s3(file.path) for file in files):
        yield list(files)
        return
    from stedi.ingest import s3

    with TemporaryDirectory(prefix="landing-", dir=scratch) as folder:
        yield s3.fetch(files, Path(folder))
