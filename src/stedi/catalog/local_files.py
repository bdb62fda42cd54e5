"""Metadata files on a local disk, as PyIceberg asks for them."""

import os
from io import BufferedReader, BufferedWriter
from pathlib import Path

from pyiceberg.io import FileIO, InputFile, OutputFile

from stedi.storage.paths import plain_path


class LocalFileIO(FileIO):
    """Reads and writes local files; what is written is on the disk before a commit can name it.

    PyIceberg's own, by way of Arrow, leaves that to the operating system, and takes a third of a
    second to load.
    """

    def new_input(self, location: str) -> "LocalFile":
        return LocalFile(location)

    def new_output(self, location: str) -> "LocalFile":
        return LocalFile(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
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
        return self._path.exists()

    def open(self, seekable: bool = True) -> BufferedReader:
        return self._path.open("rb")

    def to_input_file(self) -> "LocalFile":
        return self

    def create(self, overwrite: bool = False) -> "LastingFile":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return LastingFile(self._path.open("wb" if overwrite else "xb", buffering=0))


class LastingFile(BufferedWriter):
    """A file that is on the disk once it is closed."""

    def close(self) -> None:
        try:
            if not self.closed:
                self.flush()
                os.fsync(self.fileno())
        finally:
            super().close()
