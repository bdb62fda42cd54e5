"""Where each record is in the unpacked content of a landing file, with the positions that the landing reader gives.

Files of lines are split in blocks, without a Python loop over lines where all lines of a block are flat objects. All other
files take the scanner, which finds the same spans in files of lines (`tests/unit/test_record_spans.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stedi.ingest.damage import CHUNK_BYTES, Damage, Piece
from stedi.ingest.file_text import unpack
from stedi.ingest.records import Pairs, decode
from stedi.ingest.scanner import scan_records

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# White space of JSON, without the line break.
_BLANKS = b" \t\r"
# Files with longer lines take the scanner, as in the landing reader.
_MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class RecordSpan:
    """Position of a record from 1, its first byte in the unpacked content, and the first byte after it.

    A damaged place of a compressed file has a position, and neither `start` nor `end`.
    """

    position: int
    start: int | None
    end: int | None


class NotLinesError(Exception):
    """Some line of the content may be no single object, or the file is damaged."""


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of a file. Each is one record or blank.

    Attributes:
        content: the lines. Only the last one of a file may lack its line break.
        line_break: the line break after each line, if all are alike and no line is blank or begins or ends with white
            space. None if that is unknown.
        count: number of records.
    """

    content: bytes
    line_break: bytes | None
    count: int

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each record in the content."""
        start = 0
        for line in self.content.split(b"\n") if self.count else ():
            if record := line.strip(_BLANKS):
                begin = start + len(line) - len(line.lstrip(_BLANKS))
                yield begin, begin + len(record)
            start += len(line) + 1

    def joined_records(self) -> bytes:
        """Return all records without the white space around them, each with a line feed after it."""
        if not self.count:
            return b""
        if self.line_break is None:
            return b"".join(line + b"\n" for line in map(_strip, self.content.split(b"\n")) if line)
        content = self.content.replace(b"\r\n", b"\n") if self.line_break == b"\r\n" else self.content
        return content if content.endswith(b"\n") else content + b"\n"

    def split(self, indexes: Sequence[int]) -> "tuple[LineBlock, list[bytes]]":
        """Remove the lines of some records.

        Args:
            indexes: the records' numbers in this block, from 0, ascending.

        Returns:
            The block without their lines, and the records.
        """
        lines = self.content.split(b"\n")
        numbers = range(self.count) if self.line_break else [number for number, line in enumerate(lines) if _strip(line)]
        removed = [_strip(lines[numbers[index]]) for index in indexes]
        is_last_removed = bool(indexes) and numbers[indexes[-1]] == len(lines) - 1
        for index in reversed(indexes):
            del lines[numbers[index]]
        # The line before a removed last line keeps its line break.
        content = b"\n".join([*lines, b""] if is_last_removed and lines else lines)
        return LineBlock(content, self.line_break, self.count - len(indexes)), removed


def _strip(line: bytes) -> bytes:
    return line.strip(_BLANKS)


def line_blocks(path: Path, name: str) -> Iterator[LineBlock]:
    """Split the content of a file into blocks of whole lines, in constant memory.

    A byte-order mark is a block without records.

    Args:
        path: the file, or a copy of it.
        name: the file's own name.

    Raises:
        NotLinesError: a line may be no single object, or is longer than 1 MiB; or the file is damaged.
        OSError: the file can't be read.
    """
    with path.open("rb") as raw:
        blocks = _whole_lines(unpack(raw, name, CHUNK_BYTES))
        for number, content in enumerate(blocks):
            if number == 0 and content.startswith(_BYTE_ORDER_MARK):
                yield LineBlock(_BYTE_ORDER_MARK, None, 0)
                content = content.removeprefix(_BYTE_ORDER_MARK)
            yield _check_lines(content)


def _whole_lines(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Join pieces to blocks of whole lines of about `CHUNK_BYTES`."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise NotLinesError
        waiting.append(piece)
        size += len(piece)
        if size < CHUNK_BYTES:
            continue
        content = b"".join(waiting)
        end = content.rfind(b"\n") + 1
        if end:
            yield content[:end]
        waiting, size = [content[end:]], len(content) - end
        if size > _MAX_LINE_BYTES:
            raise NotLinesError
    if size:
        yield b"".join(waiting)


def _check_lines(content: bytes) -> LineBlock:
    """Check that each line of some content is one record.

    If each line has one opening brace, at its start, one closing brace, at its end, and no list, the scanner reads each
    as one record, even if it is not JSON. Counting these is twenty times as fast as decoding the lines.
    """
    count = content.count(b"\n") + (not content.endswith(b"\n"))
    line_break = b"\r\n" if content.find(b"\r", 0, content.find(b"\n") + 1) >= 0 else b"\n"
    if (
        content.startswith(b"{")
        and content.endswith((b"}", b"}" + line_break))
        and content.count(b"{") == content.count(b"}") == count
        and content.count(b"}" + line_break + b"{") == count - 1
        and b"[" not in content
        and b"]" not in content
    ):
        return LineBlock(content, line_break, count)
    return LineBlock(content, None, sum(map(_is_one_record, content.split(b"\n"))))


def _is_one_record(line: bytes) -> bool:
    """Whether a line is one record; False for a blank line.

    Raises:
        NotLinesError: it may be anything else.
    """
    text = line.strip(_BLANKS).decode("utf-8", "surrogateescape")
    if not text:
        return False
    # A broken record ends before the next line that is indented no further, so no line may be indented.
    if not line.startswith(b"{") or len(line) > _MAX_LINE_BYTES:
        raise NotLinesError
    try:
        _, end = decode(text, 0)
    except (ValueError, RecursionError):
        raise NotLinesError from None
    if end != len(text):
        raise NotLinesError
    return True


def undecodable_bytes(path: Path, name: str) -> int | None:
    """Count the bytes of a damaged compressed file that can't be decompressed; None if the file is not damaged."""
    with path.open("rb") as raw:
        damages = [piece for piece in unpack(raw, name, CHUNK_BYTES) if not isinstance(piece, bytes)]
    return sum(damage.skipped for damage in damages if isinstance(damage, Damage)) if damages else None


class Content:
    """Unpacked content of a file, read forwards. Of a damaged file, that is all that can be unpacked."""

    def __init__(self, raw: BinaryIO, name: str) -> None:
        """Begin to read an open file of this name."""
        self._pieces = (piece for piece in unpack(raw, name, CHUNK_BYTES) if isinstance(piece, bytes))
        # The part of the current piece that was not read yet, and its first byte in the content.
        self._piece, self._at = memoryview(b""), 0

    def read(self, end: int | None) -> bytes:
        """Read up to a byte of the content, or to its end."""
        parts = []
        while end is None or self._at < end:
            if not self._piece:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._piece = memoryview(piece)
            part = self._piece if end is None else self._piece[: end - self._at]
            parts.append(part)
            self._piece = self._piece[len(part) :]
            self._at += len(part)
        return b"".join(parts)


def record_spans(
    path: Path, name: str = "", *, is_valid: Callable[[Pairs], bool] = lambda pairs: True
) -> Iterator[RecordSpan]:
    """Find where each record is in a file's unpacked content. Of a damaged file, that is all that can be unpacked.

    Args:
        path: the file, or a copy of it.
        name: the file's own name if `path` is a copy.
        is_valid: whether a decoded record is valid for its feed; see `scan_records`.

    Raises:
        OSError: the file can't be read.
    """
    name = name or path.name
    try:
        # Positions are certain only if all lines are records.
        for _ in line_blocks(path, name):
            pass
    except NotLinesError:
        for position, record in enumerate(scan_records(path, name=name, is_valid=is_valid), start=1):
            yield RecordSpan(position, *(record.span or (None, None)))
        return
    position = begin = 0
    for block in line_blocks(path, name):
        for start, end in block.spans():
            position += 1
            yield RecordSpan(position, begin + start, begin + end)
        begin += len(block.content)
