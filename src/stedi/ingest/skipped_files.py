"""Files below the landing folder that a run skipped, by reason."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from stedi.model.feed import Feed

# Limit per folder that belongs to no feed: the landing folder may be a home folder by mistake.
MAX_COUNTED = 1000
_FIRST_NAMES = 3
_MAX_NAME = 200
# File names may contain e-mail addresses, which no report shows.
# The regular expression also finds the full-width and small form of @, and percent-encoding.
ADDRESS_IN_PATH = "[^/]*(?:[@＠﹫]|%40)[^/]*"
PATH_WITH_ADDRESS = "(name with @)"


@dataclass(frozen=True)
class OtherFolder:
    """A folder below the landing folder that belongs to no feed; `meant` is a feed's folder with a similar name."""

    name: str
    files: int
    has_more: bool
    meant: str | None


@dataclass
class SkippedFiles:
    """Counts and first names of skipped files, without contents and addresses.

    Attributes:
        known_folders: folder names of all feeds.
        reasons: number of files by reason.
        first: first names by reason.
        folders: folders that belong to no feed.
        missing: possible folder names of each feed without a folder.
        is_empty: whether no landing file was there.
    """

    known_folders: frozenset[str] = frozenset()
    reasons: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)
    folders: list[OtherFolder] = field(default_factory=list)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_empty: bool = False

    @classmethod
    def of(cls, feeds: Iterable[Feed], listed: Iterable[Feed]) -> "SkippedFiles":
        """Begin a listing of some of all feeds; `missing` begins with all listed ones."""
        known = frozenset(folder for feed in feeds for folder in feed.folders)
        return cls(known, missing={feed.name: feed.folders for feed in listed})

    @property
    def files(self) -> int:
        """Number of skipped files; a link to a folder counts as one."""
        return sum(self.reasons.values())

    @property
    def has_more(self) -> bool:
        """Whether a folder has more files than were counted."""
        return any(folder.has_more for folder in self.folders)

    def add(self, name: str, reason: str, files: int = 1) -> None:
        """Count a file, or the files of a folder; `name` is safe text."""
        self.reasons[reason] = self.reasons.get(reason, 0) + files
        names = self.first.setdefault(reason, [])
        if len(names) < _FIRST_NAMES:
            names.append(shown_name(name))

    def add_folder(self, name: str, files: int, *, has_more: bool, is_hidden: bool) -> None:
        """Count the files of a folder that belongs to no feed."""
        meant = None if is_hidden else self._find_similar(name)
        if not files and meant is None:
            return
        if not is_hidden:
            self.folders.append(OtherFolder(shown_name(name), files, has_more, meant))
        self.add(f"{name}/", "hidden" if is_hidden else "in a folder of no feed", files)

    def _find_similar(self, name: str) -> str | None:
        by_letters = {_letters(folder): folder for folder in sorted(self.known_folders, reverse=True)}
        near = difflib.get_close_matches(_letters(name), by_letters, n=1, cutoff=0.76)
        return by_letters[near[0]] if near else None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def path_without_address(path: str) -> str:
    """Return a path in which names of folders and files with an address in them are replaced."""
    return re.sub(ADDRESS_IN_PATH, PATH_WITH_ADDRESS, path)


def shown_name(name: str) -> str:
    """Return a file's name for messages and reports: not too long, and without addresses."""
    name = path_without_address(name)
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"
