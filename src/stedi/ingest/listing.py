"""Which landing files there are, and which of them are new, changed or gone."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile, look, safe_name, why_not_taken
from stedi.ingest.not_taken import MOST_COUNTED, NotTaken
from stedi.model.feed import Feed

_IN_S3 = re.compile(r"s3[an]?://", re.IGNORECASE)
# The file went away after it was seen, or is a link to nowhere or to itself.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


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
        from stedi.ingest import s3

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
    from stedi.ingest import s3

    with TemporaryDirectory(prefix="landing-", dir=scratch) as folder:
        yield s3.fetch(files, Path(folder))
