"""Decompress damaged zstd files: each block alone and in order, since its header contains its size."""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from stedi.ingest.damage import NO_TEXT, Damage, Piece, SuspectMember, find_member, skip_zeros

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_FRAME_START = re.compile(re.escape(ZSTD_MAGIC))
# Types of blocks: raw and compressed ones contain as many bytes as their header says, a run-length one contains one.
_RUN_LENGTH, _RESERVED = 1, 3
_MAX_BLOCK_BYTES = 1 << 17


def recover_zstd(file: BinaryIO, size: int, *, checks_first: bool = True) -> Iterator[Piece]:
    """Decompress all intact content of a zstd file of `size` bytes; see `compression.recover`.

    Args:
        file: the compressed file.
        size: size of the file.
        checks_first: read each frame twice, to give a `SuspectMember` before the content of a damaged one.
    """

    def is_frame(start: int) -> bool:
        first = next(_read_frame(file, start), None)
        return isinstance(first, bytes) and not NO_TEXT.search(first[:64])

    start = 0
    while (start := skip_zeros(file, start, size)) < size:
        file.seek(start)
        magic = file.read(8)
        if ZSTD_SKIPPABLE.match(magic) and len(magic) == 8:
            end = start + 8 + struct.unpack("<I", magic[4:])[0]
            if end <= size:
                start = end
                continue
        damage, end = Damage("zstd", start, "no zstd frame begins here"), start
        if magic.startswith(ZSTD_MAGIC):
            if checks_first and any(isinstance(piece, Damage) for piece in _read_frame(file, start)):
                yield SuspectMember()
            for piece in _read_frame(file, start):
                if isinstance(piece, bytes):
                    yield piece
                elif isinstance(piece, int):
                    end = piece
                else:
                    damage = piece
        if end > start and damage.why.startswith("no "):
            start = end
            continue
        if not damage.has_gap:
            yield damage
            start = end
            continue
        end = find_member(file, start + 1, size, _FRAME_START, is_frame)
        yield Damage("zstd", damage.offset, damage.why, max(0, end - damage.offset), damage.missing)
        start = end


def _read_frame(file: BinaryIO, start: int) -> Iterator[bytes | int | Damage]:
    """Decompress the blocks of the frame at `start`.

    Yields:
        Content, then the end of the frame if its end was reached, then its damage if there is any.
    """
    import zstandard

    file.seek(start)
    head = file.read(18)
    try:
        parameters = zstandard.get_frame_parameters(head)
        header_bytes = zstandard.frame_header_size(head)
        frame = zstandard.ZstdDecompressor().decompressobj()
        content = frame.decompress(head[:header_bytes])
    except zstandard.ZstdError:
        yield Damage("zstd", start, "damaged header of a frame" if len(head) == 18 else "the file ends within its content")
        return
    at, produced = start + header_bytes, 0
    is_last, error = False, ""
    while not is_last and not error:
        file.seek(at)
        header = file.read(3)
        number = int.from_bytes(header, "little")
        is_last, block_type, length = bool(number & 1), number >> 1 & 3, number >> 3
        body_bytes = 1 if block_type == _RUN_LENGTH else length
        if block_type == _RESERVED or length > _MAX_BLOCK_BYTES:
            error = "damaged header of a block"
        else:
            body = file.read(body_bytes)
            if len(header) < 3 or len(body) < body_bytes:
                error = "the file ends within its content"
                break
            try:
                content = frame.decompress(header + body)
            except zstandard.ZstdError:
                error = "damaged block"
                break
            produced += len(content)
            if content:
                yield content
            at += 3 + body_bytes
    if error:
        size = parameters.content_size
        is_known = size not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) and size >= produced
        yield Damage("zstd", at, error, missing=size - produced if is_known else None)
        return
    if not parameters.has_checksum:
        yield at
        return
    file.seek(at)
    checksum = file.read(4)
    yield at + 4
    if len(checksum) < 4:
        yield Damage("zstd", at, "the file ends within a checksum", has_gap=False)
        return
    try:
        frame.decompress(checksum)
    except zstandard.ZstdError:
        yield Damage("zstd", at, f"wrong checksum of the frame at byte {start:,}", has_gap=False)
