"""Decompress damaged bzip2 files block by block. A block has its own checksum, and may begin at any bit."""

import bz2
from collections.abc import Iterator
from typing import BinaryIO

from stedi.ingest.damage import CHUNK_BYTES, Damage, skip_zeros

# Magic numbers of a block and of the end of a stream.
_BLOCK, _END = 0x314159265359.to_bytes(6, "big"), 0x177245385090.to_bytes(6, "big")
_MARKER_BITS, _CHECKSUM_BITS, _HEADER_BYTES = 48, 32, 4


def recover_bzip2(file: BinaryIO, size: int) -> Iterator[bytes | Damage]:
    """Decompress all intact content of a bzip2 file of `size` bytes; see `compression.recover`.

    A file is one or more streams. A stream is a header, blocks, and an end marker with a checksum over the blocks.
    """
    markers = _find_markers(file)
    marker = next(markers, None)
    # Positions of blocks are in bits. Between streams, `stream_end` is the position after the last one, in bytes.
    stream_end: int | None = 0
    expected, checksum, is_intact = 0, 0, True
    while True:
        at = marker[0] if marker else size * 8
        if stream_end is not None:
            header = at // 8 - _HEADER_BYTES if marker else size
            is_intact = skip_zeros(file, stream_end, size) >= header
            if not is_intact:
                yield Damage("bzip2", stream_end, "no bzip2 stream begins here", header - stream_end)
            checksum, stream_end = 0, None
        elif at > expected:
            is_intact = False
            yield Damage("bzip2", expected // 8, "no block begins here", at // 8 - expected // 8)
        if marker is None:
            return
        next_marker = next(markers, None)
        behind_checksum = at + _MARKER_BITS + _CHECKSUM_BITS
        crc = _read_bits(file, at + _MARKER_BITS, behind_checksum)
        if marker[1] == _END:
            if behind_checksum > size * 8:
                yield Damage("bzip2", size, "the file ends within a checksum", has_gap=False)
                return
            if is_intact and crc != checksum:
                yield Damage("bzip2", at // 8, "wrong checksum of the stream", has_gap=False)
            stream_end, marker = -(-behind_checksum // 8), next_marker
            continue
        end = next_marker[0] if next_marker else size * 8
        checksum = ((checksum << 1 | checksum >> 31) & 0xFFFFFFFF) ^ crc
        content, error, count = _decompress_block(file, at, end, crc)
        if content:
            yield content
        if error:
            is_intact = False
            error = error if next_marker else "the file ends within a block, or its last block is damaged"
            yield Damage("bzip2", at // 8 + count, error, max(0, end // 8 - at // 8 - count))
        elif next_marker is None:
            yield Damage("bzip2", size, "the file ends within its content")
        if next_marker is None:
            return
        expected, marker = end, next_marker


def _find_markers(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Find the positions of blocks and of ends of streams (in bits), with their magic numbers."""
    start, overlap = 0, 8
    while True:
        file.seek(start)
        window = file.read(CHUNK_BYTES + overlap)
        matches: set[tuple[int, bytes]] = set()
        number = int.from_bytes(window, "big")
        for shift in range(8):
            shifted = (number << shift).to_bytes(len(window) + 1, "big")[1:]
            for marker in (_BLOCK, _END):
                at = shifted.find(marker)
                while at >= 0:
                    if at < CHUNK_BYTES and at * 8 + shift + _MARKER_BITS <= len(window) * 8:
                        matches.add((start * 8 + at * 8 + shift, marker))
                    at = shifted.find(marker, at + 1)
        yield from sorted(matches)
        if len(window) <= CHUNK_BYTES:
            return
        start += CHUNK_BYTES


def _read_bits(file: BinaryIO, start: int, end: int) -> int:
    """Read bits of a file as a number."""
    first, last = start // 8, -(-end // 8)
    file.seek(first)
    data = file.read(last - first)
    return (int.from_bytes(data, "big") >> (last * 8 - end)) & ((1 << (end - start)) - 1)


# A block has at most 900 kB of content, and compressed hardly more.
_MAX_BLOCK_BITS = 8 * (1_100_000)


def _decompress_block(file: BinaryIO, start: int, end: int, crc: int) -> tuple[bytes, str, int]:
    """Decompress one block.

    Args:
        file: the compressed file.
        start: where the block begins (bits).
        end: where the next block begins (bits).
        crc: the block's checksum.

    Returns:
        The content, the damage or "", and the number of bytes before the damage.
    """
    is_long = end - start > _MAX_BLOCK_BITS
    end = min(end, start + _MAX_BLOCK_BITS)
    length = end - start + _MARKER_BITS + _CHECKSUM_BITS
    tail = int.from_bytes(_END, "big") << _CHECKSUM_BITS | crc
    padding = -length % 8
    block = ((_read_bits(file, start, end) << (_MARKER_BITS + _CHECKSUM_BITS) | tail) << padding).to_bytes(
        (length + padding) // 8, "big"
    )
    if not is_long:
        try:
            return bz2.decompress(b"BZh9" + block), "", 0
        except (OSError, ValueError):
            pass
    # The bytes after the block may be the damaged marker of the next one. The content comes with the block's last byte.
    stream, content = bz2.BZ2Decompressor(), b""
    stream.decompress(b"BZh9")
    for count in range(len(block)):
        try:
            content += stream.decompress(block[count : count + 1])
        except (OSError, ValueError):
            break
        if stream.eof:
            break
    # Compress the content again to get its checksum, which follows the headers of stream and block.
    is_right = content and bz2.compress(content)[10:14] == crc.to_bytes(4, "big")
    return (content, "damaged behind a block", count) if is_right else (b"", "damaged block", 0)
