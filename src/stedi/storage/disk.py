"""Atomic, durable file writes and file locks."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, put on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to be written that is put in place of `path` in one step, once all of it is on the disk.

    Where writing fails there is nothing of it; `mode` says for whom a new one is.

    Raises:
        OSError: it can't be written.
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
    # The new name is as lasting as the file only once the folder is on disk as well.
    sync(path.parent)


@contextmanager
def sole_holder(lock: Path) -> Iterator[None]:
    """Hold a lock file, which the system lets go when the process ends, however it ends.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it can't be written.
    """
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def shared_holder(lock: Path) -> Iterator[None]:
    """Hold a shared lock on an existing lock file. Read access to the file is enough.

    Raises:
        BlockingIOError: another process holds the exclusive lock.
        FileNotFoundError: the lock file does not exist.
        OSError: it can't be read.
    """
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
