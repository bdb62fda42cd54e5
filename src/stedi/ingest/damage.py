"""Damaged places of compressed files, and the search for the next intact part."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

Compression = Literal["gzip", "bzip2", "zstd"]

CHUNK_BYTES = 1 << 20
# Control characters that JSON text does not contain.
NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Damage:
    """One damaged place of a compressed file. `str` gives its text in quarantine.

    Attributes:
        compression: format of the file.
        offset: position of the first byte that can't be decompressed, in the compressed file.
        why: what is damaged.
        skipped: number of bytes of the compressed file that were skipped.
        missing: number of lost bytes of content; None if unknown.
        has_gap: whether content is lost.
    """

    compression: Compression
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
        return f"{self.compression} damaged at byte {self.offset:,}: {self.why}; {lost}"

    @property
    def reason(self) -> str:
        """Reason for quarantine."""
        return f"broken_{self.compression}"


@dataclass(frozen=True)
class SuspectMember:
    """Start of a member that fails its checks. Its content, up to the next `Damage`, may be altered.

    gzip and zstd have one checksum per member, at its end. bzip2 verifies each block before it returns its content.
    """


Piece = bytes | SuspectMember | Damage


def find_member(file: BinaryIO, start: int, size: int, magic: re.Pattern[bytes], is_member: Callable[[int], bool]) -> int:
    """Find the start of the next member at or after a position; the file's size if there is none.

    Args:
        file: the compressed file.
        start: first position to search.
        size: size of the file.
        magic: pattern of the first bytes of a member; it matches at most 16 bytes.
        is_member: whether a member begins at a position that matches the pattern.
    """
    longest = 16
    while start < size:
        file.seek(start)
        window = file.read(CHUNK_BYTES + longest)
        for match in magic.finditer(window):
            if match.start() < CHUNK_BYTES and is_member(start + match.start()):
                return start + match.start()
        start += CHUNK_BYTES
    return size


def skip_zeros(file: BinaryIO, start: int, size: int) -> int:
    """Return the first position at or after `start` whose byte is not zero: files may be padded with zeros."""
    while start < size:
        file.seek(start)
        chunk = file.read(CHUNK_BYTES)
        if rest := chunk.lstrip(b"\0"):
            return start + len(chunk) - len(rest)
        start += len(chunk)
    return size
