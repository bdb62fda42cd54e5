"""What every warehouse offers, wherever it lies: files by name, one writer at a time, and room for what is not kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredFile:
    """A file of a warehouse: its name, its size, and when it was written, in seconds since the epoch."""

    name: str
    bytes: int
    modified: float


class Warehouse(ABC):
    """A place for tables and for what goes with them.

    A file's *name* is its path inside the warehouse, its *path* what engines open: a plain path, or
    `s3://bucket/key`. `database` is the tables' namespace in the catalog.
    """

    database: str
    # Whether a writer that died, or was put to sleep for long, has surely lost its hold: then what it
    # left half-done is nobody's.
    hold_ends_with_process: bool
    # Whether a file can be for one user's eyes only.
    keeps_secrets: bool

    @abstractmethod
    def __str__(self) -> str:
        """The place as its user wrote it."""

    @abstractmethod
    def path(self, name: str) -> str:
        """What engines open to get at a file or folder."""

    def name_of(self, path: str) -> str:
        """The name of a file by its path."""
        return path.removeprefix(f"{self.path('')}/")

    @abstractmethod
    def folder(self, name: str) -> str:
        """The path of a folder, which is there from now on."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: there is none of that name.
        """

    @abstractmethod
    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        """Put a new file in place, whole or not at all; a private one is for this user's eyes only.

        Raises:
            FileExistsError: there is one of that name.
        """

    @abstractmethod
    def replace(self, name: str, content: bytes) -> None:
        """Put a file in place of another, in one step."""

    @abstractmethod
    def keep(self, path: str) -> None:
        """Have a file that an engine wrote outlast a failure of power, before a commit names it."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""

    @abstractmethod
    def list(self, folder: str) -> Sequence[StoredFile]:
        """All files below a folder, by name."""

    @abstractmethod
    def remove_empty_folders(self, folder: str) -> None:
        """Remove folders below a folder that hold nothing, where there are folders at all."""

    @abstractmethod
    def sole_writer(self) -> AbstractContextManager[None]:
        """Hold the warehouse for writing.

        Raises:
            WarehouseBusyError: another run holds it.
            WarehouseError: it can't be written.
        """

    @abstractmethod
    def read_lock(self) -> AbstractContextManager[None]:
        """Refuse to read while a run is at work. In a folder, also keep runs out while reading. Writes nothing.

        Raises:
            WarehouseBusyError: a run is at work.
            WarehouseError: the warehouse can't be read.
        """

    @abstractmethod
    def reader_scratch(self) -> AbstractContextManager[Path]:
        """An empty local folder for a reader's temporary files: in the warehouse if that is writable, else the system's."""

    @abstractmethod
    def confirm_hold(self) -> None:
        """Make sure, before a step that others must not take at the same time, that we still hold it.

        Raises:
            WarehouseBusyError: another run took it over, because this one stood still for too long.
        """

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """An empty local folder for what is not kept; the caller holds the warehouse."""
