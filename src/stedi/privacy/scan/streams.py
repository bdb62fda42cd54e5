"""Unpack compressed streams, chunk by chunk: gzip, zlib, bzip2, xz, Zstandard and LZ4, also several in a row."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import pyarrow as pa
import zstandard

from stedi.privacy.scan.avro import DamagedError

_CHUNK_BYTES = 1 << 18
_FIRST_BYTES = 512
_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _unpack(file: BinaryIO, start: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Unpack streams in a row.

    Raises:
        DamagedError: a stream is damaged or ends early, or other bytes are after the last one.
    """
    file.seek(0)
    stream, streams = start(), 0
    fed = False
    # Text that begins like a zlib stream fails in the first piece.
    while packed := file.read(_CHUNK_BYTES if fed or streams else _FIRST_BYTES):
        while packed:
            try:
                yield stream.decompress(packed)
            except _ERRORS as error:
                raise DamagedError(f"packed content is damaged ({type(error).__name__})") from None
            fed = True
            if not stream.eof:
                break
            # Streams may be padded with zeros.
            packed = stream.unused_data.lstrip(b"\0")
            stream, streams, fed = start(), streams + 1, False
    if fed:
        raise DamagedError("packed content ends early")


def _unpack_lz4(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    try:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "lz4") as stream:
            while content := stream.read(_CHUNK_BYTES):
                yield content
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"packed content is damaged ({type(error).__name__})") from None


UNPACK: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    "gzip": lambda file: _unpack(file, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    "zlib": lambda file: _unpack(file, zlib.decompressobj),
    "bzip2": lambda file: _unpack(file, bz2.BZ2Decompressor),
    "xz": lambda file: _unpack(file, lzma.LZMADecompressor),
    "zstd": lambda file: _unpack(file, lambda: zstandard.ZstdDecompressor().decompressobj()),
    "lz4": _unpack_lz4,
}
