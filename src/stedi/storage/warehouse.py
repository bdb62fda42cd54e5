"""The interface of a warehouse's storage: files by name, a write lock, a read lock, temporary folders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class StoredFile:
    """A file of a warehouse: its name, its size in bytes, and its modification time in seconds since the epoch."""

    name: str
    bytes: int
    modified: float


class Warehouse(ABC):
    """Storage of a warehouse: a local folder or an S3 prefix.

    A file's *name* is its path relative to the warehouse, with slashes. Its *path* is what engines open: an absolute
    path or `s3://bucket/key`.

    Every method that touches the storage may raise the errors of the storage itself: a folder raises OSError, which
    `storage.errors.translate_storage_errors` translates; S3 raises WarehouseError.

    Attributes:
        database: namespace of the tables in the catalog.
        lock_ends_with_process: whether a process that no longer holds the write lock has ended, so that its orphan files
            can be deleted at once.
        can_store_secrets: whether a file can be made readable for one user only.
    """

    database: str
    lock_ends_with_process: bool
    can_store_secrets: bool

    @abstractmethod
    def __str__(self) -> str:
        """Return the address, for messages."""

    @abstractmethod
    def path(self, name: str) -> str:
        """Return the path of a file or folder, which need not exist; of the warehouse itself for an empty name."""

    def name_of(self, path: str) -> str:
        """Return the name of a file from its path."""
        return path.removeprefix(f"{self.path('')}/")

    @abstractmethod
    def make_folder(self, name: str) -> str:
        """Create a folder unless it exists, with those above it. Return its path."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is no such file.
        """

    @abstractmethod
    def copy_to(self, name: str, file: BinaryIO) -> None:
        """Write the content of a file to an open, empty one, in pieces.

        Raises:
            FileNotFoundError: there is no such file.
        """

    @abstractmethod
    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        """Write a new file atomically and durably.

        Args:
            name: the file's name. Its folder may be missing, the one above that may not.
            content: all of the file.
            private: whether only this user may read it, and its folder if that is new. Needs `can_store_secrets`.

        Raises:
            FileExistsError: the file exists.
        """

    @abstractmethod
    def replace(self, name: str, content: bytes) -> None:
        """Write a file atomically and durably. Replaces a file of this name."""

    @abstractmethod
    def sync(self, path: str) -> None:
        """Sync a file that an engine wrote to the disk, before a commit lists it. Takes its path, not its name."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a file. A missing file is no error."""

    @abstractmethod
    def list(self, folder: str) -> Sequence[StoredFile]:
        """List all files below a folder, at any depth, sorted by name. A missing folder has no files."""

    @abstractmethod
    def delete_empty_folders(self, folder: str) -> None:
        """Delete the empty folders below a folder."""

    @abstractmethod
    def restrict_access(self) -> int:
        """Remove the permissions of others from all files and folders (see `storage.disk.umask_of`).

        Returns:
            Number of files and folders that had such permissions. In S3 the bucket decides on access, and it is 0.
        """

    @abstractmethod
    def write_lock(self) -> AbstractContextManager[None]:
        """Hold the write lock, without waiting for it. Creates the warehouse's folder.

        Raises:
            WarehouseBusyError: another run holds the write lock, or `stedi verify` a read lock.
            WarehouseError: the warehouse can't be written.
        """

    @abstractmethod
    def read_lock(self) -> AbstractContextManager[None]:
        """Hold a read lock, without waiting for it: no run works while it is held.

        In S3 it only checks that no run is working, and a run may begin while it is held. It needs no write permission.

        Raises:
            WarehouseBusyError: a run holds the write lock.
            WarehouseError: the warehouse can't be read.
        """

    @abstractmethod
    def confirm_write_lock(self) -> None:
        """Check that this process still holds the write lock, before a step that no other run may do at the same time.

        Raises:
            WarehouseBusyError: another run took it over, because this process was suspended for too long.
        """

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """Create an empty local folder for temporary files. The caller holds the write lock."""

    @abstractmethod
    def reader_scratch(self) -> AbstractContextManager[Path]:
        """Create an empty local folder for a reader's temporary files.

        It is in the warehouse if that is a writable folder, else in the system's folder for temporary files.
        """
