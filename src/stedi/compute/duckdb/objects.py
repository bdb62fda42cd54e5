"""Objects in S3 as the embedded engine opens them.

Its own way there is an extension that it fetches when it is first used, which a machine without a way out
can't. It takes any fsspec file system instead, and Arrow has one.
"""

import io
import re
from typing import Any
from urllib.parse import urlsplit

from fsspec.implementations.arrow import ArrowFile, ArrowFSWrapper
from pyarrow import NativeFile
from pyarrow.fs import S3FileSystem

from stedi.errors import WarehouseError
from stedi.storage.aws_client import Access, advice_on
from stedi.storage.s3 import ADVICE

# DuckDB takes a file as missing if a call of this module fails. `stedi.__main__` does not interrupt such calls.
CALLED_BY_NATIVE_CODE = True
_AWS_ERROR = re.compile(r"AWS Error (\w+)")


class Objects(ArrowFSWrapper):  # type: ignore[misc]
    """All objects that the AWS environment gives access to, by `s3://bucket/key`."""

    protocol = "s3"
    cachable = False

    def __init__(self) -> None:
        """Look at the environment as it is now.

        Raises:
            WarehouseError: it can't be understood.
        """
        self._access = Access("s3", WarehouseError)
        self._keys = self._access.keys()
        # Each query opens its files again and asks about them, and a data file never changes: asked every
        # time, a run over a few rows took a thousand requests.
        self._known: dict[str, dict[str, Any]] = {}
        self._opened: dict[str, NativeFile] = {}
        super().__init__(self._connected())

    def _connected(self) -> S3FileSystem:
        key, secret, token = self._keys
        own: dict[str, str] = {}
        if self._access.endpoint:
            parts = urlsplit(self._access.endpoint)
            own = {"scheme": parts.scheme, "endpoint_override": parts.netloc.rpartition("@")[2]}
        return S3FileSystem(access_key=key, secret_key=secret, session_token=token, region=self._access.region, **own)

    def _open(self, path: str, mode: str = "rb", *more: Any, **options: Any) -> "ArrowFile | OpenObject":
        if (keys := self._access.keys()) != self._keys:
            self._keys = keys
            self.fs = self._connected()
            self._opened.clear()
        if mode != "rb":
            return super()._open(path, mode, *more, **options)
        if path not in self._opened:
            self._opened[path] = self.fs.open_input_file(self._strip_protocol(path))
        return OpenObject(self._opened[path])

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What there is to know of an object."""
        found = self._known.get(path)
        if found is None:
            found = super().info(path, **options)
            if found["type"] == "file":
                self._known[path] = found
        return found

    def modified(self, path: str) -> Any:
        """When an object was written."""
        return self.info(path)["mtime"]

    # There are no folders in S3. Arrow would put an empty object for each, which readers and upkeep would find.

    def isdir(self, path: str) -> bool:
        """Whether a folder is there already: there is none, and what is asked of S3 for it would find out nothing else."""
        return False

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing has to be made for objects to go there."""

    def ls(self, path: str, detail: bool = False, **options: Any) -> list[Any]:
        """What lies below a prefix, which may be nothing."""
        try:
            found: list[Any] = super().ls(path, detail, **options)
        except FileNotFoundError:
            return []
        return found


class OpenObject(io.RawIOBase):
    """A place in an object that others may read elsewhere at the same time."""

    def __init__(self, stream: NativeFile) -> None:
        self._stream, self._at = stream, 0
        self.size: int = stream.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(self.size - self._at, 0)
        found: bytes = self._stream.read_at(left if size is None or size < 0 else min(size, left), self._at)
        self._at += len(found)
        return found


def refusal(said: str) -> str:
    """What went wrong with an object, and what to do, from what the engine says when a file system of Python fails."""
    found = _AWS_ERROR.search(said)
    if "FileNotFoundError" in said or (found and found[1] == "NO_SUCH_KEY"):
        return "an object is not there any more; run again"
    if found:
        # Arrow spells AWS's names its own way: ACCESS_DENIED.
        return advice_on(found[1].title().replace("_", ""), ADVICE)
    return "S3 fails in a way not known; run again, and if it stays so, check AWS_ENDPOINT_URL"
