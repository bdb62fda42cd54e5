"""Scan a file with all that is packed in it. The first bytes say how; containers may be in containers."""

import re
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast, get_args

import numpy as np
import pyarrow as pa

from stedi.ingest.compression import recover
from stedi.ingest.damage import Compression
from stedi.privacy.scan.avro import AVRO_MAGIC, PUFFIN_MAGIC, DamagedError, unpack_avro, unpack_puffin
from stedi.privacy.scan.file_scan import Container, FileScan
from stedi.privacy.scan.parquet import scan_parquet
from stedi.privacy.scan.search import PIECE_BYTES, View
from stedi.privacy.scan.sqlite import SQLITE_MAGIC, freed_pages, read_rows
from stedi.privacy.scan.streams import UNPACK

# Containers in containers: a spreadsheet in a zip in a tar in a gzip.
MAX_DEPTH = 5
# The furthest magic number, that of tar, is at byte 257.
_HEAD_BYTES = 1 << 16
_MEMORY_BYTES = 64 << 20
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (AVRO_MAGIC, "avro"),
    (PUFFIN_MAGIC, "puffin"),
    (SQLITE_MAGIC, "sqlite"),
    (_PNG_MAGIC, "png"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x5d\0\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
# Formats that may be packed, and that the scan can't unpack.
_UNKNOWN = (
    (b"PARE", "encrypted Parquet"),
    (b"ORC", "ORC"),
    (b"ARROW1", "Arrow"),
    (b"\xff\x06\0\0sNaPpY", "Snappy"),
    (b"\x02\x21\x4c\x18", "LZ4 of an early version"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x89LZO\0", "lzop"),
    (b"\x1f\x9d", "compress"),
    (b"SEQ\x06", "SequenceFile"),
    (b"%PDF-", "PDF"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Office file"),
    (b"age-encryption.org/", "age"),
    (b"Salted__", "OpenSSL"),
)
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
# Two bytes begin a zlib stream (RFC 1950), and many texts: a stream that can't be unpacked at all is none.
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_PACKED_NAME = re.compile(r"\.(gz|bz2|zst|xz|lz4|zip|tar|zlib|parquet|avro|puffin|xlsx|npz|skops|db|sqlite)$", re.IGNORECASE)
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f]")
# Random bytes have 8 bits of entropy each. The weights of models have at most 7.8, and text 6.
_PACKED_BITS, _MIN_PACKED_BYTES = 7.95, 1 << 14


def detect(head: bytes) -> str | None:
    """Return the kind of container that begins with some bytes; None if it is none."""
    if head[257:262] == b"ustar":
        return "tar"
    if _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    if _BZIP2.match(head):
        return "bzip2"
    known = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if known is None and _ZLIB.match(head):
        return "zlib"
    return known


def scan_container(container: Container, scan: FileScan, chunks: Iterable[bytes] | None = None) -> None:
    """Scan the raw bytes of some content, and what is packed in it.

    What can't be opened becomes a doubt.

    Args:
        container: the content.
        scan: gets the matches and doubts.
        chunks: the same content, if the caller reads it anyway.

    Raises:
        OSError: the content can't be read.
    """
    container.file.seek(0)
    head = container.file.read(_HEAD_BYTES)
    container.file.seek(0)
    kind = detect(head)
    scan.search.add_stream(chunks or _read(container.file), _view(head, kind))
    if kind is None:
        scan.doubts.update(_unknown_packing(head))
        if _PACKED_NAME.search(container.name) and _NO_TEXT.search(head):
            scan.doubts.add("damaged: its name says that it is packed, its first bytes do not")
        return
    if container.depth >= MAX_DEPTH:
        scan.doubts.add(f"more than {MAX_DEPTH} containers in one another")
        return
    try:
        _OPEN[kind](container, scan) if kind in _OPEN else _scan_stream(container, scan, kind)
    except DamagedError as error:
        scan.doubts.add(f"{kind}: {error}")
    except OSError as error:
        # Arrow raises it for damage, without a number.
        if error.errno is not None:
            raise
        scan.doubts.add(f"{kind} can't be opened")
    except (zipfile.BadZipFile, tarfile.TarError, sqlite3.Error, pa.ArrowException, zlib.error) as error:
        scan.doubts.add(f"{kind} can't be opened ({type(error).__name__})")
    except (
        NotImplementedError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        OverflowError,
        MemoryError,
    ) as error:
        # Parsers raise these on damage and on what they do not support.
        scan.doubts.add(f"{kind} can't be read ({type(error).__name__})")


def scan_nested(chunks: Iterable[bytes], scan: FileScan, depth: int) -> None:
    """Scan content that was found in a container.

    Args:
        chunks: consecutive pieces of the content.
        scan: gets the matches and doubts.
        depth: number of containers around it.
    """
    pieces = iter(chunks)
    head = b""
    try:
        for piece in pieces:
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
    except DamagedError:
        scan.search.add_stream((head,), _view(head, None))
        raise
    pieces = chain((head,), pieces)
    kind = detect(head)
    if kind is None:
        scan.search.add_stream(pieces, _view(head, kind))
        scan.doubts.update(_unknown_packing(head))
        return
    # Unpacked personal data is on the disk for a moment, in a file without a name.
    with SpooledTemporaryFile(max_size=_MEMORY_BYTES) as file:
        for piece in pieces:
            file.write(piece)
        scan_container(Container(cast("BinaryIO", file), "", None, depth), scan)


def _read(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(PIECE_BYTES):
        yield chunk


def _view(head: bytes, kind: str | None) -> View:
    if kind == "sqlite":
        return View.PAGES
    if kind not in (None, "tar", "zlib", "png"):
        return View.PACKED
    return View.TEXT if b"\0" not in head or head.lstrip()[:1] in (b"{", b"[", b"<") else View.BINARY


def _unknown_packing(head: bytes) -> Iterator[str]:
    """Say why content that is no known container may hide something."""
    for magic, name in _UNKNOWN:
        if head.startswith(magic):
            yield f"unknown packing: {name}"
            return
    if len(head) >= _MIN_PACKED_BYTES:
        counts = np.bincount(np.frombuffer(head, np.uint8), minlength=256)
        shares = counts[counts > 0] / len(head)
        if -(shares * np.log2(shares)).sum() > _PACKED_BITS:
            yield "unknown packing, or encrypted"


def _scan_stream(container: Container, scan: FileScan, kind: str) -> None:
    chunks: Iterator[bytes] = UNPACK[kind](container.file)
    if kind == "zlib" and not _PACKED_NAME.search(container.name):
        try:
            chunks = chain((next(chunks, b""),), chunks)
        except DamagedError:
            return
    try:
        scan_nested(chunks, scan, container.depth + 1)
    except DamagedError:
        # A run reads the intact parts of damaged landing files, so they are searched as well.
        if kind in get_args(Compression):
            pieces = recover(container.file, cast("Compression", kind))
            scan.search.add_stream((piece for piece in pieces if isinstance(piece, bytes)), View.TEXT)
        raise


def _scan_avro(container: Container, scan: FileScan) -> None:
    for block in unpack_avro(container.file):
        scan.search.add_stream((block,), View.BINARY)


def _scan_puffin(container: Container, scan: FileScan) -> None:
    for part in unpack_puffin(container.file):
        scan_nested((part,), scan, container.depth + 1)


def _scan_zip(container: Container, scan: FileScan) -> None:
    with zipfile.ZipFile(container.file) as archive:
        for member in archive.infolist():
            try:
                with archive.open(member) as file:
                    scan_nested(_read(cast("BinaryIO", file)), scan, container.depth + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
                # RuntimeError: a password is needed.
                scan.doubts.add(f"a member of zip can't be read ({type(error).__name__})")


def _scan_tar(container: Container, scan: FileScan) -> None:
    container.file.seek(0)
    with tarfile.open(fileobj=container.file, mode="r:") as archive:
        for member in archive:
            scan.search.add_stream((f"{member.name}\n{member.linkname}".encode("utf-8", "surrogateescape"),), View.TEXT)
            if (file := archive.extractfile(member) if member.isfile() else None) is not None:
                scan_nested(_read(cast("BinaryIO", file)), scan, container.depth + 1)


def _scan_sqlite(container: Container, scan: FileScan) -> None:
    container.file.seek(0)
    if freed := freed_pages(container.file.read(100)):
        # The raw bytes are searched, but a value may continue on another freed page.
        scan.doubts.add(f"SQLite has {freed:,} freed pages; run VACUUM")
    for rows in read_rows(container):
        # A brace keeps values of one row from being combined with those of the next.
        scan.search.add_stream((b"\0{\0".join(b"\0".join(row) for row in rows),), View.TEXT)
        for value in chain.from_iterable(rows):
            if detect(value) is not None:
                scan_nested((value,), scan, container.depth + 1)


def _scan_png(container: Container, scan: FileScan) -> None:
    """Unpack the texts of a picture. Text that is drawn in its pixels can't be found."""
    container.file.seek(len(_PNG_MAGIC))
    while len(header := container.file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind not in (b"zTXt", b"iTXt", b"iCCP"):
            container.file.seek(length + 4, 1)
            continue
        content = container.file.read(length)
        container.file.seek(4, 1)
        _, _, content = content.partition(b"\0")
        if kind == b"iTXt":
            if content[:1] == b"\0":
                continue
            _, _, content = content[2:].partition(b"\0")
            _, _, content = content.partition(b"\0")
        else:
            content = content[1:]
        scan_nested((content,), scan, container.depth + 1)


_OPEN: dict[str, Callable[[Container, FileScan], None]] = {
    "parquet": scan_parquet,
    "avro": _scan_avro,
    "puffin": _scan_puffin,
    "sqlite": _scan_sqlite,
    "png": _scan_png,
    "zip": _scan_zip,
    "tar": _scan_tar,
}
