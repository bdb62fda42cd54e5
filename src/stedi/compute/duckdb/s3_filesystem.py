"""S3 file system for DuckDB, through Arrow.

DuckDB's own S3 support is an extension that it downloads at first use, which fails on machines without internet access.
It accepts any fsspec file system instead, and Arrow has one.
"""

import io
import re
from typing import Any
from urllib.parse import urlsplit

from fsspec.implementations.arrow import ArrowFile, ArrowFSWrapper
from pyarrow import NativeFile
from pyarrow.fs import S3FileSystem

from stedi.errors import WarehouseError
from stedi.storage.aws_client import ConnectionSettings
from stedi.storage.aws_errors import WAREHOUSE_HINTS, explain_code

# If a call of this module fails, DuckDB treats the file as missing. So `stedi.__main__` does not interrupt such calls.
CALLED_BY_NATIVE_CODE = True
_AWS_ERROR = re.compile(r"AWS Error (\w+)")


class CachedS3FileSystem(ArrowFSWrapper):  # type: ignore[misc]
    """All objects that the AWS environment gives access to, by `s3://bucket/key`. Requests each object's metadata once."""

    protocol = "s3"
    cachable = False

    def __init__(self) -> None:
        """Connect with the settings of the AWS environment.

        Raises:
            WarehouseError: the environment is not valid.
        """
        self._access = ConnectionSettings("s3", WarehouseError)
        self._keys = self._access.credentials()
        # Each query opens its files again, and a data file never changes. Without these caches, a run over a few rows would
        # send a thousand requests.
        self._info: dict[str, dict[str, Any]] = {}
        self._opened: dict[str, NativeFile] = {}
        super().__init__(self._connect())

    def _connect(self) -> S3FileSystem:
        key, secret, token = self._keys
        endpoint: dict[str, str] = {}
        if self._access.endpoint:
            parts = urlsplit(self._access.endpoint)
            endpoint = {"scheme": parts.scheme, "endpoint_override": parts.netloc.rpartition("@")[2]}
        return S3FileSystem(access_key=key, secret_key=secret, session_token=token, region=self._access.region, **endpoint)

    def _open(self, path: str, mode: str = "rb", *more: Any, **options: Any) -> "ArrowFile | OpenObject":
        if (keys := self._access.credentials()) != self._keys:
            self._keys = keys
            self.fs = self._connect()
            self._opened.clear()
        if mode != "rb":
            return super()._open(path, mode, *more, **options)
        if path not in self._opened:
            self._opened[path] = self.fs.open_input_file(self._strip_protocol(path))
        return OpenObject(self._opened[path])

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Describe an object: type, size, time."""
        info = self._info.get(path)
        if info is None:
            info = super().info(path, **options)
            if info["type"] == "file":
                self._info[path] = info
        return info

    def modified(self, path: str) -> Any:
        """Return when an object was written."""
        return self.info(path)["mtime"]

    # S3 has no folders. Arrow would create an empty object for each, which readers and maintenance would list.

    def isdir(self, path: str) -> bool:
        """Always False, without a request."""
        return False

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: objects need no folder."""

    def ls(self, path: str, detail: bool = False, **options: Any) -> list[Any]:
        """List the objects below a prefix."""
        try:
            objects: list[Any] = super().ls(path, detail, **options)
        except FileNotFoundError:
            return []
        return objects


class OpenObject(io.RawIOBase):
    """Reader of a shared stream, with its own position."""

    def __init__(self, stream: NativeFile) -> None:
        self._stream, self._at = stream, 0
        self.size: int = stream.size()

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; returns it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, or all if it is negative or None."""
        left = max(self.size - self._at, 0)
        content: bytes = self._stream.read_at(left if size is None or size < 0 else min(size, left), self._at)
        self._at += len(content)
        return content


def explain_error(message: str) -> str:
    """Explain an error of this file system, given DuckDB's message, and say what to do."""
    code = _AWS_ERROR.search(message)
    if "FileNotFoundError" in message or (code and code[1] == "NO_SUCH_KEY"):
        return "an object no longer exists; run again"
    if code:
        # Arrow spells AWS's codes in capitals, such as ACCESS_DENIED.
        return explain_code(code[1].title().replace("_", ""), WAREHOUSE_HINTS)
    return "S3 failed for an unknown reason; run again, and if it fails again, check AWS_ENDPOINT_URL"
