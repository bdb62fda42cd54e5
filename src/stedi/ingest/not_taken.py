"""Files below the landing folder that a run did not take, by reason."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from stedi.model.feed import Feed

# Of the folders that are no feed's: a home folder may be the landing folder by mistake.
MOST_COUNTED = 1000
_FIRST_NAMES = 3
_LONGEST_NAME = 200
# File names may contain e-mail addresses, which no report shows.
_ADDRESS = re.compile(r"[^/]*@[^/]*")


@dataclass(frozen=True)
class OtherFolder:
    """A folder below the landing folder that is no feed's: `meant` is the feed folder it is spelled nearly like."""

    name: str
    files: int
    has_more: bool
    meant: str | None


@dataclass
class NotTaken:
    """What was not taken, without contents and addresses.

    `reasons` counts files by reason and `first` has the first names of each. `missing` has the
    folder names of each feed without a folder. `is_empty` says that no landing file was there.
    """

    known_folders: frozenset[str] = frozenset()
    reasons: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)
    folders: list[OtherFolder] = field(default_factory=list)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_empty: bool = False

    @classmethod
    def of(cls, feeds: Iterable[Feed], listed: Iterable[Feed]) -> "NotTaken":
        """Nothing yet; `feeds` are all there are, `listed` those whose folders are looked for."""
        known = frozenset(folder for feed in feeds for folder in feed.folders)
        return cls(known, missing={feed.name: feed.folders for feed in listed})

    @property
    def files(self) -> int:
        """How many files were not taken; links to folders count as one."""
        return sum(self.reasons.values())

    @property
    def has_more(self) -> bool:
        """Whether there are more files than were counted."""
        return any(folder.has_more for folder in self.folders)

    def add(self, name: str, reason: str, files: int = 1) -> None:
        """Count a file, or files in a folder; names are safe text."""
        self.reasons[reason] = self.reasons.get(reason, 0) + files
        names = self.first.setdefault(reason, [])
        if len(names) < _FIRST_NAMES:
            names.append(_shown(name))

    def add_folder(self, name: str, files: int, *, has_more: bool, is_hidden: bool) -> None:
        """Count the files of a folder that is no feed's."""
        meant = None if is_hidden else self._meant(name)
        if not files and meant is None:
            return
        if not is_hidden:
            self.folders.append(OtherFolder(_shown(name), files, has_more, meant))
        self.add(f"{name}/", "hidden" if is_hidden else "in a folder of no feed", files)

    def _meant(self, name: str) -> str | None:
        """The feed folder whose name is spelled nearly like this one."""
        by_letters = {_letters(folder): folder for folder in sorted(self.known_folders, reverse=True)}
        near = difflib.get_close_matches(_letters(name), by_letters, n=1, cutoff=0.76)
        return by_letters[near[0]] if near else None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _shown(name: str) -> str:
    name = _ADDRESS.sub("(name with @)", name)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
