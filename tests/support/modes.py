"""Permissions of files."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_umask() -> Iterator[None]:
    """Take no permission away from new files: the most careless umask that a user may have."""
    before = os.umask(0)
    try:
        yield
        assert os.umask(0) == 0, "the umask was not restored"
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The permissions of a folder and of all files and folders below it, by name relative to the folder."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def accessible(folder: Path, to: int = 0o077) -> dict[str, int]:
    """Those files and folders with some of the permissions in a mask."""
    return {name: mode for name, mode in modes(folder).items() if mode & to}
