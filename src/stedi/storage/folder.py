"""A warehouse in a local folder. Its locks are file locks, which the operating system releases when the process ends."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from typing_extensions import override

from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.storage.disk import (
    atomic_write,
    exclusive_lock,
    fsync,
    private_files,
    remove_permissions,
    shared_lock,
    umask_of,
)
from stedi.storage.warehouse import StoredFile, Warehouse

# Iceberg's readers parse a location as a URL, in which these characters end the path or have a meaning.
_NOT_IN_A_LOCATION = re.compile(r"[?#\\\x00-\x1f\x7f]")


class WarehouseFolder(Warehouse):
    """A warehouse in a local folder."""

    database = "stedi"
    lock_ends_with_process = True
    can_store_secrets = True

    def __init__(self, given: Path) -> None:
        """Check the folder's path; the folder need not exist.

        Args:
            given: the path as the user gave it, for messages and for paths beside it.

        Raises:
            ValueError: the locations of Iceberg tables can't contain this path.
        """
        self.given = given
        try:
            str(given).encode()
        except UnicodeEncodeError:
            raise ValueError("its path is not UTF-8, which Iceberg locations must be; choose another") from None
        if bad := _NOT_IN_A_LOCATION.search(str(self.root)):
            raise ValueError(f"its full path contains {bad[0]!r}, which Iceberg's readers can't open; choose another")

    def __str__(self) -> str:
        return str(self.given)

    @cached_property
    def root(self) -> Path:
        """The folder's absolute path without links, as in the locations of its tables."""
        return self.given.resolve()

    @override
    def path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else str(self.root)

    @override
    def make_folder(self, name: str) -> str:
        (self.root / name).mkdir(parents=True, exist_ok=True)
        return self.path(name)

    @override
    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    @override
    def copy_to(self, name: str, file: BinaryIO) -> None:
        with (self.root / name).open("rb") as source:
            shutil.copyfileobj(source, file)

    @override
    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        if (self.root / name).exists():
            raise FileExistsError(f"{name} already exists")
        self._write(name, content, private=private)

    @override
    def replace(self, name: str, content: bytes) -> None:
        self._write(name, content)

    def _write(self, name: str, content: bytes, *, private: bool = False) -> None:
        path = self.root / name
        path.parent.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
        with atomic_write(path, 0o600 if private else 0o666) as file:
            file.write(content)

    @override
    def sync(self, path: str) -> None:
        fsync(Path(path))

    @override
    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    @override
    def list(self, folder: str) -> list[StoredFile]:
        files = []
        for parent, _, names in os.walk(self.root / folder, onerror=_raise_unless_missing):
            for name in names:
                path = Path(parent, name)
                # Maintenance may delete a file meanwhile.
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if path.is_file():
                        files.append(StoredFile(str(path)[len(self.path("")) + 1 :], status.st_size, status.st_mtime))
        return sorted(files, key=lambda file: Path(file.name))

    @override
    def delete_empty_folders(self, folder: str) -> None:
        for path in sorted((self.root / folder).rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    @override
    def restrict_access(self) -> int:
        umask = umask_of(self.root)
        paths = [self.root]
        for parent, folders, names in os.walk(self.root):
            paths += (Path(parent, name) for name in (*folders, *names))
        return sum(remove_permissions(path, umask) for path in paths)

    @override
    @contextmanager
    def write_lock(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                remove_permissions(self.root, umask_of(self.root))
                stack.enter_context(private_files(self.root))
                stack.enter_context(exclusive_lock(self._lock))
            except BlockingIOError:
                raise self._busy() from None
            except OSError as error:
                raise WarehouseError(
                    f"warehouse {self} can't be written: {error.strerror or error}; check its permissions and the disk"
                ) from error
            yield

    @property
    def _lock(self) -> Path:
        return self.root / ".lock"

    def _busy(self) -> WarehouseBusyError:
        try:
            with shared_lock(self._lock):
                return WarehouseBusyError(f"`stedi verify` is reading {self}; wait for it to end, then run again")
        except OSError:
            return WarehouseBusyError(f"another run is working on {self}; wait for it to end, then run again")

    @override
    @contextmanager
    def read_lock(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                if not self._lock.exists():
                    # A copied warehouse may lack its lock file. If it can't be created, no run can begin either.
                    with suppress(OSError), private_files(self.root):
                        self._lock.touch()
                stack.enter_context(shared_lock(self._lock))
            except BlockingIOError:
                raise WarehouseBusyError(f"another run is working on {self}; wait for it to end, then try again") from None
            except FileNotFoundError:
                pass
            except OSError as error:
                raise WarehouseError(
                    f"the lock file of warehouse {self} can't be read: {error.strerror or error}; grant read access to .lock"
                ) from error
            yield

    def confirm_write_lock(self) -> None:
        """Do nothing: the lock lasts as long as the process."""

    @override
    @contextmanager
    def scratch(self) -> Iterator[Path]:
        # Files in it are from a process that has ended: this one holds the write lock.
        folder = self.root / ".scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder

    @override
    @contextmanager
    def reader_scratch(self) -> Iterator[Path]:
        with ExitStack() as stack:
            try:
                # The warehouse's disk has room for a copy of the tables. The next run deletes what a killed reader left.
                with private_files(self.root):
                    (self.root / ".scratch").mkdir(exist_ok=True)
                folder = stack.enter_context(TemporaryDirectory(dir=self.root / ".scratch"))
            except OSError:
                folder = stack.enter_context(TemporaryDirectory(prefix="stedi-"))
            yield Path(folder)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
