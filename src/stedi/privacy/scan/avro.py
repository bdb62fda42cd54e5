"""Unpack the blocks of Avro files (Iceberg's manifests), and the blobs of Puffin files (Iceberg's statistics)."""

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa
import zstandard

AVRO_MAGIC = b"Obj\x01"
PUFFIN_MAGIC = b"PFA1"
_SYNC_BYTES = 16
# Longer blocks are damage: writers make blocks of some kilobytes to megabytes.
_MAX_BLOCK_BYTES = 1 << 30


class DamagedError(ValueError):
    """A container is damaged, or packed in an unknown way. The message quotes no content."""


def unpack_avro(file: BinaryIO) -> Iterator[bytes]:
    """Yield the header and the unpacked blocks of an Avro file.

    Raises:
        DamagedError: the file is damaged, or its codec is unknown.
    """
    file.seek(len(AVRO_MAGIC))
    codec = "null"
    while count := _read_long(file):
        if count < 0:
            # The size of the block of entries follows.
            count = -count
            _read_long(file)
        for _ in range(count):
            key, value = _read_bytes(file), _read_bytes(file)
            codec = value.decode("ascii", "replace") if key == b"avro.codec" else codec
    end = file.tell()
    file.seek(0)
    yield file.read(end)
    if codec not in _AVRO_CODECS:
        raise DamagedError("an Avro codec is unknown")
    sync = _read(file, _SYNC_BYTES)
    while _has_more(file):
        _read_long(file)
        block = _read_bytes(file)
        try:
            yield _AVRO_CODECS[codec](block)
        except (zlib.error, zstandard.ZstdError, pa.ArrowException, OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise DamagedError(f"a block of Avro can't be unpacked ({type(error).__name__})") from None
        if _read(file, _SYNC_BYTES) != sync:
            raise DamagedError("a block of Avro is damaged")


def _has_more(file: BinaryIO) -> bool:
    if not file.read(1):
        return False
    file.seek(-1, 1)
    return True


def _read(file: BinaryIO, length: int) -> bytes:
    content = file.read(length) if 0 <= length <= _MAX_BLOCK_BYTES else b""
    if len(content) != length:
        raise DamagedError("Avro ends early")
    return content


def _read_long(file: BinaryIO) -> int:
    number, shift = 0, 0
    while True:
        byte = _read(file, 1)[0]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1)
        if shift > 63:
            raise DamagedError("a number of Avro is damaged")


def _read_bytes(file: BinaryIO) -> bytes:
    return _read(file, _read_long(file))


def _unpack_snappy(block: bytes) -> bytes:
    """Unpack a block of Avro in Snappy: its length in base 128 is in front, a checksum of four bytes at the end."""
    length = shift = 0
    for byte in block[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if length > _MAX_BLOCK_BYTES:
        raise ValueError("too long")
    return bytes(pa.Codec("snappy").decompress(block[:-4], length))


def unpack_zstd(content: bytes) -> bytes:
    """Unpack a frame of Zstandard, whose length need not be in its header.

    Raises:
        ZstdError: the frame is damaged.
    """
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


_AVRO_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": lambda block: zlib.decompress(block, -zlib.MAX_WBITS),
    "snappy": _unpack_snappy,
    "zstandard": unpack_zstd,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}


def unpack_puffin(file: BinaryIO) -> Iterator[bytes]:
    """Yield the unpacked footer and blobs of a Puffin file.

    Raises:
        DamagedError: the file is damaged, or packed in an unknown way.
    """
    # The footer ends with its length, four bytes of flags (bit 0: packed), and the magic number.
    end = file.seek(0, 2)
    file.seek(max(0, end - 12))
    length, flags, magic = int.from_bytes(file.read(4), "little"), file.read(4), file.read(4)
    if magic != PUFFIN_MAGIC or length > end - 12 or len(flags) < 4:
        raise DamagedError("Puffin has no footer")
    file.seek(end - 12 - length)
    footer = file.read(length)
    try:
        footer = _unpack_lz4(footer) if flags[0] & 1 else footer
        yield footer
        for blob in json.loads(footer)["blobs"]:
            file.seek(blob["offset"])
            content = file.read(blob["length"])
            yield _PUFFIN_CODECS[blob.get("compression-codec")](content)
    except (pa.ArrowException, zstandard.ZstdError, OSError, ValueError, LookupError, TypeError) as error:
        raise DamagedError(f"Puffin can't be unpacked ({type(error).__name__})") from None


def _unpack_lz4(content: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(content), "lz4").read())


_PUFFIN_CODECS: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "lz4": _unpack_lz4, "zstd": unpack_zstd}
