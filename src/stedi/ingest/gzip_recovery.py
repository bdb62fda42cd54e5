"""Decompress damaged gzip files: the content of all members, before and after each damaged place."""

import re
import struct
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO

from stedi.ingest.damage import NO_TEXT, Damage, Piece, SuspectMember, find_member, skip_zeros

GZIP_MAGIC = b"\x1f\x8b"
# Small: the chunk with the damage is decompressed again, byte by byte.
_CHUNK_BYTES = 1 << 12
# See https://zlib.net/zlib_tech.html, maximum compression factor.
_MAX_RATIO = 1032
_MEMBER_START = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL)


def recover_gzip(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Decompress all intact content of a gzip file of `size` bytes; see `compression.recover`."""
    start = 0
    while (start := skip_zeros(file, start, size)) < size:
        file.seek(start)
        if file.read(2) != GZIP_MAGIC:
            end = _find_member(file, start, size)
            yield Damage("gzip", start, "no gzip member begins here", end - start)
            start = end
            continue
        if not _has_right_checksum(file, start):
            yield SuspectMember()
        start = yield from _recover_member(file, start, size)


def _find_member(file: BinaryIO, start: int, size: int) -> int:
    def is_member(start: int) -> bool:
        file.seek(start)
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content, _, error = _decompress_bytewise(member, file.read(_CHUNK_BYTES))
        return not NO_TEXT.search(content[:64]) and (bool(content) or (member.eof and not error))

    return find_member(file, start, size, _MEMBER_START, is_member)


def _recover_member(file: BinaryIO, start: int, size: int) -> Generator[Piece, None, int]:
    """Decompress the member that begins at `start`; returns where to continue."""
    member, at, produced, error = zlib.decompressobj(zlib.MAX_WBITS | 16), start, 0, ""
    file.seek(start)
    while not member.eof and not error:
        chunk = file.read(_CHUNK_BYTES)
        if not chunk:
            error = "the file ends within its content"
            break
        before = member.copy()
        try:
            content = member.decompress(chunk)
            at += len(chunk) - len(member.unused_data)
        except zlib.error:
            content, count, error = _decompress_bytewise(before, chunk)
            at += count
        if content:
            produced += len(content)
            yield content
    if not error:
        return at
    if error in ("incorrect data check", "incorrect length check"):
        # The failing byte is the last one of the checksum, or of the length that follows it.
        length_at = at + 1 if error == "incorrect data check" else at - 3
        error = f"wrong {'checksum' if error == 'incorrect data check' else 'length'} of the member at byte {start:,}"
        if error.startswith("wrong length") or _uint32(file, length_at) == produced % 2**32:
            yield Damage("gzip", at, error, has_gap=False)
            return length_at + 4
    is_cut = error.startswith("the file ends")
    end = size if is_cut and at - start < 18 else _find_member(file, start + 1, size)
    # The last four bytes of a member are the length of its content.
    length = None if is_cut and end == size else _uint32(file, end - 4)
    missing = None
    if length is not None:
        missing = (length - produced) % 2**32
        # Deflate compresses by 1,032 at most, so a larger number is no length.
        missing = missing if missing <= _MAX_RATIO * (end - start) else None
    yield Damage("gzip", at, error, max(0, end - at), missing)
    return end


def _has_right_checksum(file: BinaryIO, start: int) -> bool:
    """Whether the gzip member at a position has the right checksum."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    file.seek(start)
    while not member.eof:
        chunk = file.read(_CHUNK_BYTES)
        try:
            member.decompress(chunk)
        except zlib.error as error:
            # zlib compares the length after the checksum, so the checksum is right.
            return str(error).endswith("incorrect length check")
        if not chunk:
            return False
    return True


def _decompress_bytewise(member: "zlib._Decompress", chunk: bytes) -> tuple[bytes, int, str]:
    """Decompress up to the first error; returns the content, the number of bytes before the error, and the error."""
    content = bytearray()
    for at in range(len(chunk)):
        tail = chunk[at : at + 1]
        try:
            while (piece := member.decompress(tail, 1)) or member.unconsumed_tail:
                content += piece
                tail = member.unconsumed_tail
        except zlib.error as error:
            return bytes(content), at, str(error).rpartition(": ")[2]
        if member.eof:
            break
    return bytes(content), len(chunk), ""


def _uint32(file: BinaryIO, at: int) -> int | None:
    file.seek(at)
    data = file.read(4)
    return struct.unpack("<I", data)[0] if len(data) == 4 else None
