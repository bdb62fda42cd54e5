"""Unpack gzip, bzip2 and zstd files, damaged ones too: all content that unpacks, and each damaged place."""

import bz2
import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Packing = Literal["gzip", "bzip2", "zstd"]

SNIFFED_BYTES = 512
_CHUNK_BYTES = 1 << 20
# Damaged gzip members are unpacked again byte by byte, from the chunk with the damage on.
_GZIP_CHUNK_BYTES = 1 << 12
_TRIAL_BYTES = 1 << 16

_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_BY_ENDING: dict[str, Packing] = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
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
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Damage:
    """One damaged place of an archive.

    `offset` is the byte of the archive from which on it does not unpack. `skipped` bytes of the
    archive give no content. `missing` bytes of content are lost, None where that is unknown.
    """

    packing: Packing
    offset: int
    why: str
    skipped: int = 0
    missing: int | None = None
    has_gap: bool = True

    def __str__(self) -> str:
        if not self.has_gap:
            lost = "all content was unpacked"
        else:
            lost = f"{self.skipped:,} bytes of the archive skipped"
            lost += "" if self.missing is None else f", {self.missing:,} bytes of content missing"
        return f"{self.packing} damaged at byte {self.offset:,}: {self.why}; {lost}"

    @property
    def reason(self) -> str:
        """Why the place is quarantined."""
        return f"broken_{self.packing}"


@dataclass(frozen=True)
class Doubt:
    """Start of a member whose checksum or data are wrong: what unpacks of it, up to the next damage, may be altered.

    gzip and zstd check a member as a whole, at its end. bzip2 checks each block before any of it comes out.
    """


def packing_of(head: bytes, name: str) -> Packing | None:
    """How a file is packed, by its first bytes. Its name decides only where these are neither text nor known."""
    if head.startswith(_GZIP):
        return "gzip"
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        return "bzip2"
    if head.startswith(_ZSTD) or _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    by_name = next((packing for ending, packing in _BY_ENDING.items() if name.lower().endswith(ending)), None)
    if by_name is None or not head:
        return None
    # The header of the first member may be what is damaged, or cut off.
    is_cut = head.startswith(_BZIP2) or any(magic.startswith(head) for magic in (_GZIP, _BZIP2, _ZSTD))
    return by_name if is_cut or (_NO_TEXT.search(head) and not other_format(head)) else None


def other_format(head: bytes) -> str | None:
    """The format of a file that holds no JSON and is packed in no way known here, by its first bytes."""
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(b"ORC") and len(head) > 3 and not _NO_TEXT.search(head):
        return None
    return next((name for magic, name in _OTHER_FORMATS if head.startswith(magic)), None)


def is_whole(path: Path, packing: Packing) -> bool:
    """Whether a packed file unpacks to its end with the right checksums."""
    if packing == "gzip":
        try:
            with gzip.open(path) as unpacked:
                while unpacked.read(_CHUNK_BYTES):
                    pass
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
        return True
    if packing == "bzip2":
        return all(piece is not None for piece in _whole_bzip2(path))
    with path.open("rb") as file:
        return not any(isinstance(piece, Damage) for piece in _unzstd(file, file.seek(0, 2), checks_first=False))


def unpack_whole_bzip2(path: Path, target: Path) -> bool:
    """Unpack a file to another one; False where it is damaged.

    Raises:
        OSError: a file can't be read or written.
    """
    with target.open("wb") as out:
        for piece in _whole_bzip2(path):
            if piece is None:
                return False
            out.write(piece)
    return True


def _whole_bzip2(path: Path) -> Iterator[bytes | None]:
    """The content of a file of one or more streams; None at the first damage."""
    with path.open("rb") as file:
        stream: bz2.BZ2Decompressor | None = bz2.BZ2Decompressor()
        while packed := file.read(_CHUNK_BYTES):
            while packed or not (stream is None or stream.needs_input):
                if stream is None:
                    # Files may be joined, and padded with zeros.
                    packed = packed.lstrip(b"\0")
                    stream = bz2.BZ2Decompressor() if packed else None
                    continue
                try:
                    content = stream.decompress(packed, _CHUNK_BYTES)
                except (OSError, ValueError):
                    yield None
                    return
                yield content
                packed = stream.unused_data if stream.eof else b""
                stream = None if stream.eof else stream
        if stream is not None:
            yield None


def unpack(file: BinaryIO, packing: Packing) -> Iterator[bytes | Doubt | Damage]:
    """The content of an archive in its order, in constant memory, and between it each damaged place.

    A `Doubt` comes before the content of a member of gzip or zstd that fails its checks, a `Damage` behind it.
    """
    unpackers: dict[Packing, Callable[[BinaryIO, int], Iterator[bytes | Doubt | Damage]]] = {
        "gzip": _gunzip,
        "bzip2": _bunzip2,
        "zstd": _unzstd,
    }
    return unpackers[packing](file, file.seek(0, 2))


# Members


def _next_member(file: BinaryIO, start: int, size: int, magic: re.Pattern[bytes], is_member: Callable[[int], bool]) -> int:
    """Where the next member begins at or after a position; the file's size where none does."""
    longest = 16
    while start < size:
        file.seek(start)
        window = file.read(_CHUNK_BYTES + longest)
        for found in magic.finditer(window):
            if found.start() < _CHUNK_BYTES and is_member(start + found.start()):
                return start + found.start()
        start += _CHUNK_BYTES
    return size


def _after_zeros(file: BinaryIO, start: int, size: int) -> int:
    """The first position from `start` on without a zero byte."""
    while start < size:
        file.seek(start)
        chunk = file.read(_CHUNK_BYTES)
        if rest := chunk.lstrip(b"\0"):
            return start + len(chunk) - len(rest)
        start += len(chunk)
    return size


# gzip

_GZIP_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL)


def _gunzip(file: BinaryIO, size: int) -> Iterator[bytes | Doubt | Damage]:
    def is_member(start: int) -> bool:
        file.seek(start)
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content, _, why = _byte_by_byte(member, file.read(_GZIP_CHUNK_BYTES))
        return not _NO_TEXT.search(content[:64]) and (bool(content) or (member.eof and not why))

    start = 0
    while (start := _after_zeros(file, start, size)) < size:
        file.seek(start)
        if file.read(2) != _GZIP:
            end = _next_member(file, start, size, _GZIP_MEMBER, is_member)
            yield Damage("gzip", start, "no gzip member begins here", end - start)
            start = end
            continue
        if not _has_right_checksum(file, start):
            yield Doubt()
        member, at, produced, why = zlib.decompressobj(zlib.MAX_WBITS | 16), start, 0, ""
        file.seek(start)
        while not member.eof and not why:
            packed = file.read(_GZIP_CHUNK_BYTES)
            if not packed:
                why = "the file ends within its content"
                break
            before = member.copy()
            try:
                content = member.decompress(packed)
                at += len(packed) - len(member.unused_data)
            except zlib.error:
                content, taken, why = _byte_by_byte(before, packed)
                at += taken
            if content:
                produced += len(content)
                yield content
        if not why:
            start = at
            continue
        if why in ("incorrect data check", "incorrect length check"):
            # The failing byte is the last of the checksum, or of the length behind it.
            length_at = at + 1 if why == "incorrect data check" else at - 3
            why = f"wrong {'checksum' if why == 'incorrect data check' else 'length'} of the member at byte {start:,}"
            if why.startswith("wrong length") or _uint32(file, length_at) == produced % 2**32:
                yield Damage("gzip", at, why, has_gap=False)
                start = length_at + 4
                continue
        is_cut = why.startswith("the file ends")
        end = size if is_cut and at - start < 18 else _next_member(file, start + 1, size, _GZIP_MEMBER, is_member)
        missing = _uint32(file, end - 4) if not (is_cut and end == size) else None
        if missing is not None:
            missing = (missing - produced) % 2**32
            # What deflate can't have made is no length.
            missing = missing if missing <= 1032 * (end - start) else None
        yield Damage("gzip", at, why, max(0, end - at), missing)
        start = end


def _has_right_checksum(file: BinaryIO, start: int) -> bool:
    """Whether the content of the gzip member at a position has the checksum behind it."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    file.seek(start)
    while not member.eof:
        packed = file.read(_GZIP_CHUNK_BYTES)
        try:
            member.decompress(packed)
        except zlib.error as error:
            # zlib compares the length after the checksum.
            return str(error).endswith("incorrect length check")
        if not packed:
            return False
    return True


def _byte_by_byte(member: "zlib._Decompress", packed: bytes) -> tuple[bytes, int, str]:
    """What unpacks before the first error, how many bytes were fed before it, and the error."""
    content = bytearray()
    for at in range(len(packed)):
        tail = packed[at : at + 1]
        try:
            while (piece := member.decompress(tail, 1)) or member.unconsumed_tail:
                content += piece
                tail = member.unconsumed_tail
        except zlib.error as error:
            return bytes(content), at, str(error).rpartition(": ")[2]
        if member.eof:
            break
    return bytes(content), len(packed), ""


def _uint32(file: BinaryIO, at: int) -> int | None:
    file.seek(at)
    data = file.read(4)
    return struct.unpack("<I", data)[0] if len(data) == 4 else None


# bzip2: blocks begin at any bit, and each has a checksum, so each is unpacked alone

_BLOCK, _END = 0x314159265359.to_bytes(6, "big"), 0x177245385090.to_bytes(6, "big")
_MARKER_BITS, _CHECKSUM_BITS, _HEADER_BYTES = 48, 32, 4


def _bunzip2(file: BinaryIO, size: int) -> Iterator[bytes | Damage]:
    markers = _markers(file)
    here = next(markers, None)
    # Positions of blocks are in bits. Between streams, `stream_end` is the byte behind the last one.
    stream_end: int | None = 0
    expected, checksum, is_intact = 0, 0, True
    while True:
        at = here[0] if here else size * 8
        if stream_end is not None:
            header = at // 8 - _HEADER_BYTES if here else size
            is_intact = _after_zeros(file, stream_end, size) >= header
            if not is_intact:
                yield Damage("bzip2", stream_end, "no bzip2 stream begins here", header - stream_end)
            checksum, stream_end = 0, None
        elif at > expected:
            is_intact = False
            yield Damage("bzip2", expected // 8, "no block begins here", at // 8 - expected // 8)
        if here is None:
            return
        following = next(markers, None)
        behind_checksum = at + _MARKER_BITS + _CHECKSUM_BITS
        crc = _bits(file, at + _MARKER_BITS, behind_checksum)
        if here[1] == _END:
            if behind_checksum > size * 8:
                yield Damage("bzip2", size, "the file ends within a checksum", has_gap=False)
                return
            if is_intact and crc != checksum:
                yield Damage("bzip2", at // 8, "wrong checksum of the stream", has_gap=False)
            stream_end, here = -(-behind_checksum // 8), following
            continue
        end = following[0] if following else size * 8
        checksum = ((checksum << 1 | checksum >> 31) & 0xFFFFFFFF) ^ crc
        content, why, taken = _block(file, at, end, crc)
        if content:
            yield content
        if why:
            is_intact = False
            why = why if following else "the file ends within a block, or its last block is damaged"
            yield Damage("bzip2", at // 8 + taken, why, max(0, end // 8 - at // 8 - taken))
        elif following is None:
            yield Damage("bzip2", size, "the file ends within its content")
        if following is None:
            return
        expected, here = end, following


def _markers(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where blocks and ends of streams begin, in bits."""
    start, overlap = 0, 8
    while True:
        file.seek(start)
        window = file.read(_CHUNK_BYTES + overlap)
        found: set[tuple[int, bytes]] = set()
        number = int.from_bytes(window, "big")
        for shift in range(8):
            shifted = (number << shift).to_bytes(len(window) + 1, "big")[1:]
            for marker in (_BLOCK, _END):
                at = shifted.find(marker)
                while at >= 0:
                    if at < _CHUNK_BYTES and at * 8 + shift + _MARKER_BITS <= len(window) * 8:
                        found.add((start * 8 + at * 8 + shift, marker))
                    at = shifted.find(marker, at + 1)
        yield from sorted(found)
        if len(window) <= _CHUNK_BYTES:
            return
        start += _CHUNK_BYTES


def _bits(file: BinaryIO, start: int, end: int) -> int:
    """The bits of a file as a number."""
    first, last = start // 8, -(-end // 8)
    file.seek(first)
    data = file.read(last - first)
    return (int.from_bytes(data, "big") >> (last * 8 - end)) & ((1 << (end - start)) - 1)


# A block has at most 900 kB, which take hardly more room packed.
_LONGEST_BLOCK_BITS = 8 * (1_100_000)


def _block(file: BinaryIO, start: int, end: int, crc: int) -> tuple[bytes, str, int]:
    """The content of a block, why it is not whole, and how many bytes it took until then."""
    is_long = end - start > _LONGEST_BLOCK_BITS
    end = min(end, start + _LONGEST_BLOCK_BITS)
    length = end - start + _MARKER_BITS + _CHECKSUM_BITS
    tail = int.from_bytes(_END, "big") << _CHECKSUM_BITS | crc
    padding = -length % 8
    packed = ((_bits(file, start, end) << (_MARKER_BITS + _CHECKSUM_BITS) | tail) << padding).to_bytes(
        (length + padding) // 8, "big"
    )
    if not is_long:
        try:
            return bz2.decompress(b"BZh9" + packed), "", 0
        except (OSError, ValueError):
            pass
    # What follows may be the damaged marker of the next block: a block's content comes with its last byte.
    stream, content = bz2.BZ2Decompressor(), b""
    stream.decompress(b"BZh9")
    for taken in range(len(packed)):
        try:
            content += stream.decompress(packed[taken : taken + 1])
        except (OSError, ValueError):
            break
        if stream.eof:
            break
    # Compressed again, the content has its checksum at the same place: behind the headers of stream and block.
    is_right = content and bz2.compress(content)[10:14] == crc.to_bytes(4, "big")
    return (content, "damaged behind a block", taken) if is_right else (b"", "damaged block", 0)


# zstd: blocks have their sizes in their headers, so each is unpacked alone, in order

_ZSTD_FRAME = re.compile(rb"\x28\xb5\x2f\xfd", re.DOTALL)


def _unzstd(file: BinaryIO, size: int, *, checks_first: bool = True) -> Iterator[bytes | Doubt | Damage]:
    def is_frame(start: int) -> bool:
        first = next(_frame(file, start), None)
        return isinstance(first, bytes) and not _NO_TEXT.search(first[:64])

    start = 0
    while (start := _after_zeros(file, start, size)) < size:
        file.seek(start)
        magic = file.read(8)
        if _ZSTD_SKIPPABLE.match(magic) and len(magic) == 8:
            end = start + 8 + struct.unpack("<I", magic[4:])[0]
            if end <= size:
                start = end
                continue
        damage, end, produced = Damage("zstd", start, "no zstd frame begins here"), start, 0
        if magic.startswith(_ZSTD):
            if checks_first and any(isinstance(piece, Damage) for piece in _frame(file, start)):
                yield Doubt()
            for piece in _frame(file, start):
                if isinstance(piece, bytes):
                    produced += len(piece)
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
        end = _next_member(file, start + 1, size, _ZSTD_FRAME, is_frame)
        yield Damage("zstd", damage.offset, damage.why, max(0, end - damage.offset), damage.missing)
        start = end


def _frame(file: BinaryIO, start: int) -> Iterator[bytes | int | Damage]:
    """The content of a frame's blocks; at last where the frame ends, or the damage."""
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
    at, produced, size = start + header_bytes, 0, parameters.content_size
    known = None if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) else size
    is_last, why = False, ""
    while not is_last and not why:
        file.seek(at)
        header = file.read(3)
        number = int.from_bytes(header, "little")
        is_last, kind, length = bool(number & 1), number >> 1 & 3, number >> 3
        body_bytes = 1 if kind == 1 else length
        if kind == 3 or length > 1 << 17:
            why = "damaged header of a block"
        else:
            body = file.read(body_bytes)
            if len(header) < 3 or len(body) < body_bytes:
                why = "the file ends within its content"
                break
            try:
                content = frame.decompress(header + body)
            except zstandard.ZstdError:
                why = "damaged block"
                break
            produced += len(content)
            if content:
                yield content
            at += 3 + body_bytes
    if not why and parameters.has_checksum:
        file.seek(at)
        checksum = file.read(4)
        at += 4
        try:
            if len(checksum) == 4:
                frame.decompress(checksum)
        except zstandard.ZstdError:
            yield at
            yield Damage("zstd", at - 4, f"wrong checksum of the frame at byte {start:,}", has_gap=False)
            return
        if len(checksum) < 4:
            yield at
            yield Damage("zstd", at - 4, "the file ends within a checksum", has_gap=False)
            return
    if why:
        missing = known - produced if known is not None and known >= produced else None
        yield Damage("zstd", at, why, missing=missing)
    else:
        yield at
