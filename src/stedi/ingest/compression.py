"""Detect formats and compression of landing files by their first bytes, and decompress intact and damaged files."""

import bz2
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stedi.ingest.bzip2_recovery import recover_bzip2
from stedi.ingest.damage import CHUNK_BYTES, NO_TEXT, Compression, Damage, Piece
from stedi.ingest.gzip_recovery import GZIP_MAGIC, recover_gzip
from stedi.ingest.zstd_recovery import ZSTD_MAGIC, ZSTD_SKIPPABLE, recover_zstd

# These first bytes decide the format of a file. The furthest magic number, that of tar, is at byte 257.
SNIFFED_BYTES = 512

_BZIP2_MAGIC = b"BZh"
_BY_ENDING: dict[str, Compression] = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_OTHER_FORMATS = (
    (b"PAR1", "Parquet"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"ARROW1", "Arrow"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x89LZO\x00", "lzop"),
    (b"\x1f\x9d", "compress"),
    (b"SEQ\x06", "SequenceFile"),
    (b"SQLite format 3\x00", "SQLite"),
)


def detect_compression(head: bytes, name: str) -> Compression | None:
    """Detect how a file is compressed, by its first bytes.

    Its name decides only if the first bytes are neither text nor a known format, because the header may be damaged.

    Args:
        head: the first `SNIFFED_BYTES` of the file.
        name: name of the file.
    """
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        return "bzip2"
    if head.startswith(ZSTD_MAGIC) or ZSTD_SKIPPABLE.match(head):
        return "zstd"
    by_name = next((compression for ending, compression in _BY_ENDING.items() if name.lower().endswith(ending)), None)
    if by_name is None or not head:
        return None
    is_cut = head.startswith(_BZIP2_MAGIC) or any(magic.startswith(head) for magic in (GZIP_MAGIC, _BZIP2_MAGIC, ZSTD_MAGIC))
    return by_name if is_cut or (NO_TEXT.search(head) and not detect_other_format(head)) else None


def detect_other_format(head: bytes) -> str | None:
    """Detect a format that landing files can't have, such as Parquet, by the first bytes of a file; None for others."""
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(b"ORC") and len(head) > 3 and not NO_TEXT.search(head):
        return None
    return next((name for magic, name in _OTHER_FORMATS if head.startswith(magic)), None)


def is_undamaged(path: Path, compression: Compression) -> bool:
    """Whether a compressed file can be decompressed to its end, and all checksums are right."""
    if compression == "gzip":
        try:
            with gzip.open(path) as content:
                while content.read(CHUNK_BYTES):
                    pass
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
        return True
    if compression == "bzip2":
        return all(piece is not None for piece in _read_bzip2(path))
    with path.open("rb") as file:
        return not any(isinstance(piece, Damage) for piece in recover_zstd(file, file.seek(0, 2), checks_first=False))


def decompress_bzip2(path: Path, target: Path) -> bool:
    """Decompress a file to another one; False if it is damaged.

    Raises:
        OSError: a file can't be read or written.
    """
    with target.open("wb") as out:
        for piece in _read_bzip2(path):
            if piece is None:
                return False
            out.write(piece)
    return True


def _read_bzip2(path: Path) -> Iterator[bytes | None]:
    """Decompress a file of one or more streams; None at the first damage."""
    with path.open("rb") as file:
        stream: bz2.BZ2Decompressor | None = bz2.BZ2Decompressor()
        while compressed := file.read(CHUNK_BYTES):
            while compressed or not (stream is None or stream.needs_input):
                if stream is None:
                    # Streams may be concatenated, and padded with zeros.
                    compressed = compressed.lstrip(b"\0")
                    stream = bz2.BZ2Decompressor() if compressed else None
                    continue
                try:
                    content = stream.decompress(compressed, CHUNK_BYTES)
                except (OSError, ValueError):
                    yield None
                    return
                yield content
                compressed = stream.unused_data if stream.eof else b""
                stream = None if stream.eof else stream
        if stream is not None:
            yield None


def compress(contents: Iterable[bytes], compression: Compression | None) -> Iterator[bytes]:
    """Compress content as one member, with a checksum and without a name or time; None leaves it as it is."""
    if compression is None:
        yield from contents
        return
    compressor: Any
    if compression == "gzip":
        compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    elif compression == "bzip2":
        compressor = bz2.BZ2Compressor()
    else:
        import zstandard

        compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    for content in contents:
        yield compressor.compress(content)
    yield compressor.flush()


def recover(file: BinaryIO, compression: Compression) -> Iterator[Piece]:
    """Decompress all intact content of a file, in order and in constant memory.

    Yields:
        Content; a `SuspectMember` before the content of a gzip or zstd member that fails its checks; a `Damage` at each
        damaged place.
    """
    recoveries: dict[Compression, Callable[[BinaryIO, int], Iterator[Piece]]] = {
        "gzip": recover_gzip,
        "bzip2": recover_bzip2,
        "zstd": recover_zstd,
    }
    return recoveries[compression](file, file.seek(0, 2))
