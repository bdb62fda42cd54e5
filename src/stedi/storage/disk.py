"""Atomic, durable file writes, file locks, and permissions of new files."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NOBODY_ELSE = 0o077


@contextmanager
def private_files(folder: Path | None = None) -> Iterator[None]:
    """Make all new files and folders of this process private, whatever its umask.

    SQLite, DuckDB and MLflow create files, too, so the umask of the process is changed until the context ends.

    Args:
        folder: an existing folder whose group keeps its permissions (see `umask_of`); by default only this user has any.
    """
    before = os.umask(_NOBODY_ELSE if folder is None else umask_of(folder))
    try:
        yield
    finally:
        os.umask(before)


def umask_of(folder: Path) -> int:
    """Return the umask for the files of a folder.

    The group keeps its permissions on the folder if not everybody has them: such a folder was shared on purpose, as with
    mode 750 or 2770. Folders made under the usual umask 022 have mode 755, which nobody chose. A missing folder is private.
    """
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return _NOBODY_ELSE
    group, everybody = mode >> 3 & 7, mode & 7
    return _NOBODY_ELSE & ~(group << 3) if group & ~everybody else _NOBODY_ELSE


def remove_permissions(path: Path, umask: int) -> bool:
    """Remove the permissions in a umask from a file or folder; return whether it had one. Links are left as they are.

    Files of other users, and files that are deleted meanwhile, are left as they are, too.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & umask:
            return False
        path.chmod(stat.S_IMODE(mode) & ~umask)
    except (FileNotFoundError, PermissionError):
        return False
    return True


def fsync(path: Path) -> None:
    """Sync a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a temporary file. When the context ends it is synced to the disk, and replaces `path` atomically.

    If writing fails, `path` stays as it was.

    Args:
        path: the file to create or replace. Its folder exists.
        mode: permissions of a new file, before the umask.

    Raises:
        OSError: the file can't be written.
    """
    draft = path.with_name(f".{path.name}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    # The rename survives a power failure only once the folder is synced, too.
    fsync(path.parent)


def overwrite_and_delete(path: Path) -> None:
    """Overwrite the content of a file with zeros on the disk, then delete it. A missing file is no error.

    SSDs, copy-on-write file systems and backups may keep the blocks that were overwritten.
    """
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    fsync(path.parent)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, without waiting. The system releases it when the process ends, however it ends.

    Raises:
        BlockingIOError: another process holds the lock.
        OSError: the lock file can't be written.
    """
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a shared lock on an existing lock file, without waiting. Read access to the file is enough.

    Raises:
        BlockingIOError: another process holds the exclusive lock.
        FileNotFoundError: the lock file does not exist.
        OSError: the lock file can't be read.
    """
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
