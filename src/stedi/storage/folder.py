"""A warehouse in a local folder, with the operating system's lock.

The system drops the lock when the process ends, however it ends, so nothing can be left locked.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.storage.disk import shared_holder, sole_holder, sync, whole_file
from stedi.storage.warehouse import StoredFile, Warehouse

# Iceberg's readers take a location for a URL, in which these end a path or are something else.
_NOT_IN_A_LOCATION = re.compile(r"[?#\\\x00-\x1f\x7f]")


class WarehouseFolder(Warehouse):
    """A folder on a local disk."""

    database = "stedi"
    hold_ends_with_process = True
    keeps_secrets = True

    def __init__(self, given: Path) -> None:
        """Take the folder, which need not be there yet.

        Raises:
            ValueError: Iceberg tables can't name what lies there.
        """
        self.given = given
        try:
            str(given).encode()
        except UnicodeEncodeError:
            raise ValueError("its path is no UTF-8, which Iceberg tables can't name; choose another") from None
        if found := _NOT_IN_A_LOCATION.search(str(self.root)):
            raise ValueError(f"its full path holds {found[0]!r}, which readers of Iceberg tables can't find; choose another")

    def __str__(self) -> str:
        return str(self.given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WarehouseFolder) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    @cached_property
    def root(self) -> Path:
        """The folder by its full path, as the tables name it."""
        return self.given.resolve()

    def path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else str(self.root)

    def folder(self, name: str) -> str:
        (self.root / name).mkdir(parents=True, exist_ok=True)
        return self.path(name)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        if (self.root / name).exists():
            raise FileExistsError(f"{name} is there already")
        self._put(name, content, 0o600 if private else 0o666)

    def replace(self, name: str, content: bytes) -> None:
        self._put(name, content, 0o666)

    def _put(self, name: str, content: bytes, mode: int) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        with whole_file(path, mode) as file:
            file.write(content)

    def keep(self, path: str) -> None:
        sync(Path(path))

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def list(self, folder: str) -> list[StoredFile]:
        found = []
        for parent, _, names in os.walk(self.root / folder, onerror=_raise_unless_missing):
            for name in names:
                path = Path(parent, name)
                # Upkeep may remove one meanwhile.
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if path.is_file():
                        found.append(StoredFile(str(path)[len(self.path("")) + 1 :], status.st_size, status.st_mtime))
        return sorted(found, key=lambda file: Path(file.name))

    def remove_empty_folders(self, folder: str) -> None:
        for path in sorted((self.root / folder).rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                held.enter_context(sole_holder(self.root / ".lock"))
            except BlockingIOError:
                raise self._busy() from None
            except OSError as error:
                raise WarehouseError(
                    f"warehouse {self} can't be written: {error.strerror or error}; check its permissions and the disk"
                ) from error
            yield

    def _busy(self) -> WarehouseBusyError:
        try:
            with shared_holder(self.root / ".lock"):
                return WarehouseBusyError(f"`stedi verify` is reading {self}; wait for it to end, then run again")
        except OSError:
            return WarehouseBusyError(f"another run is working on {self}; wait for it to end, then run again")

    @contextmanager
    def read_lock(self) -> Iterator[None]:
        lock = self.root / ".lock"
        with ExitStack() as held:
            try:
                if not lock.exists():
                    # A copy without its lock file. Where it can't be made, no run can begin either.
                    with suppress(OSError):
                        lock.touch()
                held.enter_context(shared_holder(lock))
            except BlockingIOError:
                raise WarehouseBusyError(f"another run is working on {self}; wait for it to end, then try again") from None
            except FileNotFoundError:
                pass
            except OSError as error:
                raise WarehouseError(
                    f"the lock file of warehouse {self} can't be read: {error.strerror or error}; grant read access to .lock"
                ) from error
            yield

    def confirm_hold(self) -> None:
        """Nobody can have taken it: the lock is the process's."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        # What lies there is a dead process's.
        folder = self.root / ".scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder

    @contextmanager
    def reader_scratch(self) -> Iterator[Path]:
        with ExitStack() as made:
            try:
                # There is room for a copy of the tables beside the tables. The next run removes what a killed reader left.
                (self.root / ".scratch").mkdir(exist_ok=True)
                folder = made.enter_context(TemporaryDirectory(dir=self.root / ".scratch"))
            except OSError:
                folder = made.enter_context(TemporaryDirectory(prefix="stedi-"))
            yield Path(folder)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
