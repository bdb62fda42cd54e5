"""PyIceberg's access to local files, with durable writes."""

import os
from io import BufferedReader, BufferedWriter
from pathlib import Path

from pyiceberg.io import FileIO, InputFile, OutputFile

from stedi.storage.paths import plain_path


class LocalFileIO(FileIO):
    """Reads and writes local files. Each file is synced to the disk when it is closed, before a commit refers to it.

    PyIceberg's own implementation uses Arrow: it leaves syncing to the operating system and takes a third of a second
    to import.
    """

    def new_input(self, location: str) -> "LocalFile":
        """Return a file to read."""
        return LocalFile(location)

    def new_output(self, location: str) -> "LocalFile":
        """Return a file to write."""
        return LocalFile(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file.

        Raises:
            FileNotFoundError: it does not exist.
        """
        path = location if isinstance(location, str) else location.location
        Path(plain_path(path)).unlink()


class LocalFile(InputFile, OutputFile):
    """One local file by its location."""

    def __len__(self) -> int:
        return self._path.stat().st_size

    @property
    def _path(self) -> Path:
        return Path(plain_path(self.location))

    def exists(self) -> bool:
        """Whether the file exists."""
        return self._path.exists()

    def open(self, seekable: bool = True) -> BufferedReader:
        """Open the file for reading."""
        return self._path.open("rb")

    def to_input_file(self) -> "LocalFile":
        """Return this file: it can be read, too."""
        return self

    def create(self, overwrite: bool = False) -> "DurableFile":
        """Open the file for writing, and create its folder.

        Raises:
            FileExistsError: the file exists, and `overwrite` is off.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return DurableFile(self._path.open("wb" if overwrite else "xb", buffering=0))


class DurableFile(BufferedWriter):
    """A file that is synced to the disk (fsync) when it is closed."""

    def close(self) -> None:
        """Flush, sync and close the file."""
        try:
            if not self.closed:
                self.flush()
                os.fsync(self.fileno())
        finally:
            super().close()
