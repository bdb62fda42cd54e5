"""Atomic, durable file writes and file locks."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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
