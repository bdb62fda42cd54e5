"""Text of a landing file, unpacked and decoded in chunks, up to each gap of a damaged archive."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from stedi.ingest.archives import SNIFFED_BYTES, Damage, Doubt, packing_of, unpack

_SEARCHED_BEHIND_GAP = 1 << 20
_LINE_WITH_A_RECORD = re.compile(r"\n(?=[,\[]*\{)")


def open_text(raw: BinaryIO, name: str, chunk_bytes: int) -> "FileText":
    head = raw.read(SNIFFED_BYTES)
    raw.seek(0)
    packing = packing_of(head, name)
    return FileText(unpack(raw, packing) if packing else _chunks(raw, chunk_bytes), chunk_bytes)


def _chunks(raw: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    while chunk := raw.read(chunk_bytes):
        yield chunk


class FileText:
    """Text of a file in chunks, up to a gap of its content or the end of a doubtful member.

    Bytes that are no UTF-8 come as lone surrogates.
    """

    def __init__(self, pieces: Iterable[bytes | Doubt | Damage], chunk_bytes: int) -> None:
        self._pieces, self._chunk_bytes = iter(pieces), chunk_bytes
        self._damages: list[Damage] = []
        self._start_part()

    def _start_part(self) -> None:
        self.skipped = ""
        # Pieces that were given back, the next one last.
        self._ahead: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._piece, self._at = b"", 0
        self._has_ended = False
        self.gap: Damage | None = None
        # Whether text of a member that fails its checks was read, or comes next.
        self.is_doubtful = self._is_doubt_ahead = False

    def next_part(self) -> None:
        """Go on behind the gap: with the next record, or with the next line that begins one.

        An object within the record that is cut off by the gap could be taken for a record.
        """
        self._start_part()
        ahead = ""
        while not self._has_ended and len(ahead) < _SEARCHED_BEHIND_GAP:
            ahead += self._decoded()
            start = ahead.lstrip(" \t\r\n,[]\ufeff")[:1]
            if start == "{":
                break
            if start and (line := _LINE_WITH_A_RECORD.search(ahead)):
                self.skipped, ahead = ahead[: line.start()], ahead[line.start() :]
                break
        self.give_back(ahead)

    @property
    def ended(self) -> bool:
        """Whether the file, or its part before a gap, is read."""
        return self._has_ended and not self._ahead

    def take_damages(self) -> list[Damage]:
        """The damages without a gap of content up to here, each once."""
        damages, self._damages = self._damages, []
        return damages

    def read(self, size: int = 0) -> str:
        """The next text: of so many characters, or one chunk if that is more, or less at the end."""
        pieces: list[str] = []
        size = max(size, self._chunk_bytes)
        while size > 0 and not self.ended and not (pieces and self._is_doubt_ahead):
            pieces.append(self._ahead.pop() if self._ahead else self._decoded())
            size -= len(pieces[-1])
        return "".join(pieces)

    def give_back(self, text: str) -> None:
        """Have text read again, in chunks."""
        chunks = [text[at : at + self._chunk_bytes] for at in range(0, len(text), self._chunk_bytes)]
        self._ahead.extend(reversed(chunks))

    def give_back_behind(self, text: str, at: int) -> str:
        """Give back what is more than two chunks behind a position; return the rest of the text."""
        end = at + 2 * self._chunk_bytes
        if len(text) <= end:
            return text
        self.give_back(text[end:])
        return text[:end]

    def _decoded(self) -> str:
        self.is_doubtful, self._is_doubt_ahead = self.is_doubtful or self._is_doubt_ahead, False
        while self._at >= len(self._piece) and not self._has_ended:
            piece = next(self._pieces, None)
            if isinstance(piece, bytes):
                self._piece, self._at = piece, 0
            elif isinstance(piece, Doubt):
                # The text before it is read apart, or its last records would be in doubt.
                self._is_doubt_ahead = True
                return ""
            elif piece is not None and not piece.has_gap and not self.is_doubtful:
                self._damages.append(piece)
            else:
                self._has_ended, self.gap = True, piece
        data = self._piece[self._at : self._at + self._chunk_bytes]
        self._at += len(data)
        return self._decoder.decode(data, final=self._has_ended)
