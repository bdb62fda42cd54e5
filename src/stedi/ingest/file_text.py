"""Text of a landing file, decompressed and decoded in chunks, up to each gap of a damaged file."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from stedi.ingest.compression import SNIFFED_BYTES, detect_compression, recover
from stedi.ingest.damage import Damage, Piece, SuspectMember

_SEARCHED_AFTER_GAP = 1 << 20
_LINE_WITH_A_RECORD = re.compile(r"\n(?=[,\[]*\{)")


def open_text(raw: BinaryIO, name: str, chunk_bytes: int) -> "FileText":
    """Open the text of a file, compressed or not.

    Args:
        raw: the file.
        name: its name, whose ending may show how it is compressed.
        chunk_bytes: bytes to read at a time.
    """
    return FileText(unpack(raw, name, chunk_bytes), chunk_bytes)


def unpack(raw: BinaryIO, name: str, chunk_bytes: int) -> Iterator[Piece]:
    """Decompress a file, compressed or not, in pieces; see `compression.recover`.

    Args:
        raw: the file.
        name: its name, whose ending may show how it is compressed.
        chunk_bytes: size of the pieces of a file that is not compressed.
    """
    head = raw.read(SNIFFED_BYTES)
    raw.seek(0)
    compression = detect_compression(head, name)
    return recover(raw, compression) if compression else _chunks(raw, chunk_bytes)


def _chunks(raw: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    while chunk := raw.read(chunk_bytes):
        yield chunk


class FileText:
    """Text of a file in chunks. It ends at a gap in the content. A chunk also ends before a suspect member.

    Bytes that are not UTF-8 become lone surrogates.

    Attributes:
        skipped: text between a gap and the first record after it.
        gap: damage at which the text ends; None at the end of the file.
        is_suspect: whether text of a member that fails its checks was read.
        start: number of unpacked bytes before the text.
    """

    def __init__(self, pieces: Iterable[Piece], chunk_bytes: int) -> None:
        self._pieces, self._chunk_bytes = iter(pieces), chunk_bytes
        self._unpacked_bytes = 0
        self._damages: list[Damage] = []
        self._start_part()

    def _start_part(self) -> None:
        self.skipped, self.start = "", self._unpacked_bytes
        # Chunks that were put back, the next one last.
        self._ahead: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._piece, self._at = b"", 0
        self._has_ended = False
        self.gap: Damage | None = None
        self.is_suspect = self._is_suspect_next = False

    def next_part(self) -> None:
        """Continue after the gap, with the next record or the next line that begins with a record.

        The text directly after the gap may be an inner object of a cut-off record, which must not become a record.
        """
        self._start_part()
        ahead = ""
        while not self._has_ended and len(ahead) < _SEARCHED_AFTER_GAP:
            ahead += self._decoded()
            start = ahead.lstrip(" \t\r\n,[]\ufeff")[:1]
            if start == "{":
                break
            if start and (line := _LINE_WITH_A_RECORD.search(ahead)):
                self.skipped, ahead = ahead[: line.start()], ahead[line.start() :]
                self.start += count_bytes(self.skipped)
                break
        self.put_back(ahead)

    @property
    def ended(self) -> bool:
        """Whether the whole file, or its part before a gap, was read."""
        return self._has_ended and not self._ahead

    def take_damages(self) -> list[Damage]:
        """Return the damages without a gap that were read since the last call."""
        damages, self._damages = self._damages, []
        return damages

    def read(self, size: int = 0) -> str:
        """Read about `size` characters, at least one chunk; less at the end."""
        pieces: list[str] = []
        size = max(size, self._chunk_bytes)
        while size > 0 and not self.ended and not (pieces and self._is_suspect_next):
            pieces.append(self._ahead.pop() if self._ahead else self._decoded())
            size -= len(pieces[-1])
        return "".join(pieces)

    def put_back(self, text: str) -> None:
        """Put text back. `read` returns it again."""
        chunks = [text[at : at + self._chunk_bytes] for at in range(0, len(text), self._chunk_bytes)]
        self._ahead.extend(reversed(chunks))

    def put_back_after(self, text: str, at: int) -> str:
        """Put back the text that is more than two chunks after a position; returns the rest."""
        end = at + 2 * self._chunk_bytes
        if len(text) <= end:
            return text
        self.put_back(text[end:])
        return text[:end]

    def _decoded(self) -> str:
        self.is_suspect, self._is_suspect_next = self.is_suspect or self._is_suspect_next, False
        while self._at >= len(self._piece) and not self._has_ended:
            piece = next(self._pieces, None)
            if isinstance(piece, bytes):
                self._piece, self._at = piece, 0
            elif isinstance(piece, SuspectMember):
                # Ends the chunk here, so that the records before it are not suspect.
                self._is_suspect_next = True
                return ""
            elif piece is not None and not piece.has_gap and not self.is_suspect:
                self._damages.append(piece)
            else:
                self._has_ended, self.gap = True, piece
        data = self._piece[self._at : self._at + self._chunk_bytes]
        self._at += len(data)
        self._unpacked_bytes += len(data)
        return self._decoder.decode(data, final=self._has_ended)


def count_bytes(text: str) -> int:
    """Count the bytes from which `FileText` decoded a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
