"""Find records one by one in files in which the engine's fast path met something unusual.

Records come in any layout: one a line, back to back, trailing commas, one array, spread over
lines, cut off at the end.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stedi.landing.archives import SNIFFED_BYTES, Damage, packing_of, unpack
from stedi.landing.feed import Feed
from stedi.landing.records import Pairs, decode

_CHUNK_BYTES = 1 << 20
# Enough for a first record, of whatever feed.
_FIRST_CHUNK_BYTES = 1 << 12
# No record of these feeds comes near this; a broken one is given up after as much text.
_LONGEST_RECORD = 1 << 20
_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*")
_BEFORE_AN_OBJECT = re.compile(r"[\n}][\s,\[\]]*(?=\{)")
_END_OF_GARBAGE = re.compile(r"\n|[^\s,:\[][ \t,]*(?=\{)")
_LINE_WITH_A_RECORD = re.compile(r"\n(?=[,\[]*\{)")
# Python says in which line of the text it failed, and counts lines from the text's start: behind so much of it,
# what was read is taken off, or 80,000 broken lines would take half a minute.
_MOST_BEHIND = 1 << 14


@dataclass(frozen=True)
class Found:
    """One record as it stands in the text: its pairs, or why it is none."""

    text: str
    pairs: Pairs | None = None
    reason: str | None = None


def read_records(path: Path, *, name: str = "", chunk_bytes: int = _CHUNK_BYTES) -> Iterator[Found]:
    """All records of one file, readable or not, in constant memory; the file is read in chunks.

    Each damaged place of a packed file is one unreadable record, together with the text cut off
    before and behind it. `name` is the file's own name where `path` is a copy.
    """
    with path.open("rb") as raw:
        head = raw.read(SNIFFED_BYTES)
        raw.seek(0)
        packing = packing_of(head, name or path.name)
        text = _Text(unpack(raw, packing) if packing else _chunks(raw, chunk_bytes), chunk_bytes)
        yield from _records(text)


def _records(text: "_Text") -> Iterator[Found]:
    gap, before, behind = None, "", ""
    while True:
        last: Found | None = None
        for found in _scan(text):
            if gap and found.reason == "not_an_object":
                # Text that begins no record is the end of one that began before or within the gap.
                behind += found.text
                continue
            if gap:
                yield Found(f"{before}[{gap}]{text.skipped}{behind}", reason=gap.reason)
                gap = None
            if last:
                yield last
            for damage in text.take_damages():
                yield Found(f"[{damage}]", reason=damage.reason)
            last = found
        if gap:
            yield Found(f"{before}[{gap}]{text.skipped}{behind}", reason=gap.reason)
        gap, before, behind = text.gap, "", ""
        if last and gap and last.reason in ("unfinished_record", "not_an_object"):
            before = last.text
        elif last:
            yield last
        for damage in text.take_damages():
            yield Found(f"[{damage}]", reason=damage.reason)
        if gap is None:
            return
        text.next_part()


def _chunks(raw: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    while chunk := raw.read(chunk_bytes):
        yield chunk


def spelled_keys(path: Path, feed: Feed, name: str = "") -> tuple[str, ...]:
    """How the first record of a file spells each field of the feed, in the fields' order.

    Keys come in any case (`timeStamp`, `timestamp`), nearly always the same throughout a file.
    """
    try:
        first = next(read_records(path, name=name, chunk_bytes=_FIRST_CHUNK_BYTES), None)
    except OSError:
        first = None
    spelled = {key.lower(): key for key, _ in (first.pairs if first and first.pairs else ())}
    return tuple(spelled.get(field.name.lower(), field.name) for field in feed.fields)


class _Text:
    """Text of a file in chunks, up to a gap of its content; bytes that are no UTF-8 come as lone surrogates."""

    def __init__(self, pieces: Iterable[bytes | Damage], chunk_bytes: int) -> None:
        self._pieces, self._chunk_bytes = iter(pieces), chunk_bytes
        self._damages: list[Damage] = []
        self._start_part()

    def _start_part(self) -> None:
        self.skipped, self._ahead = "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._piece, self._at = b"", 0
        self._has_ended = False
        self.gap: Damage | None = None

    def next_part(self) -> None:
        """Go on behind the gap: with the next record, or with the next line that begins one.

        An object within the record that is cut off by the gap could be taken for a record.
        """
        self._start_part()
        while not self._has_ended and len(self._ahead) < _LONGEST_RECORD:
            self._ahead += self._decoded()
            start = self._ahead.lstrip(" \t\r\n,[]\ufeff")[:1]
            if start == "{":
                return
            if start and (line := _LINE_WITH_A_RECORD.search(self._ahead)):
                self.skipped, self._ahead = self._ahead[: line.start()], self._ahead[line.start() :]
                return

    @property
    def ended(self) -> bool:
        """Whether the file, or its part before a gap, is read."""
        return self._has_ended and not self._ahead

    def take_damages(self) -> list[Damage]:
        """The damages without a gap of content up to here, each once."""
        damages, self._damages = self._damages, []
        return damages

    def read(self) -> str:
        text, self._ahead = self._ahead, ""
        return text or self._decoded()

    def _decoded(self) -> str:
        while self._at >= len(self._piece) and not self._has_ended:
            piece = next(self._pieces, None)
            if isinstance(piece, bytes):
                self._piece, self._at = piece, 0
            elif piece is not None and not piece.has_gap:
                self._damages.append(piece)
            else:
                self._has_ended, self.gap = True, piece
        data = self._piece[self._at : self._at + self._chunk_bytes]
        self._at += len(data)
        return self._decoder.decode(data, final=self._has_ended)


def _scan(source: _Text) -> Iterator[Found]:
    text, at, line = "", 0, ""
    while True:
        at = _BETWEEN_RECORDS.match(text, at).end()  # type: ignore[union-attr]  # matches anything
        if at == len(text):
            if source.ended:
                break
            text, at, line = source.read(), 0, _beginning(text, at, line)
            continue
        found, end = _next(text, at, line)
        # A failure may only mean that the rest has not been read yet.
        if end == len(text) or found.reason:
            lookahead = len(text) - at
            if not source.ended and lookahead < _LONGEST_RECORD:
                text, at, line = text[at:] + source.read(), 0, _beginning(text, at, line)
                continue
            if found.reason and end == len(text) and source.ended and text[at] == "{":
                found = _at_the_end(found)
        yield found
        at = end
        if found.reason and at > _MOST_BEHIND:
            text, at, line = text[at:], 0, _beginning(text, at, line)


def _beginning(text: str, at: int, line: str) -> str:
    """How the line of a position begins before it: its white space and one character, where there are any.

    `line` is how the text's first line began before the text.
    """
    start = text.rfind("\n", 0, at) + 1
    before = text[start:at] if start else line + text[:at]
    return before[: len(before) - len(before.lstrip()) + 1]


def _at_the_end(found: Found) -> Found:
    """The unreadable record that ends a file: broken off, unless it closes; the end of an array is not part of it."""
    whole = found.text.rstrip(" \t\r\n,]")
    return Found(whole, reason=found.reason) if whole.endswith("}") else Found(found.text, reason="unfinished_record")


def _next(text: str, at: int, line: str) -> tuple[Found, int]:
    """The record that starts at a position and where it ends; unreadable text up to the next start."""
    if text[at] != "{":
        end = _end_of_garbage(text, at)
        return Found(text[at:end].rstrip(), reason="not_an_object"), end
    try:
        pairs, end = decode(text, at)
    except (ValueError, RecursionError) as error:
        end = _end_of_unreadable(text, at, _beginning(text, at, line))
        reason = "nested_too_deep" if isinstance(error, RecursionError) else "not_json"
        return Found(text[at:end].rstrip().rstrip(","), reason=reason), end
    return Found(text[at:end], pairs=pairs), end


def _end_of_garbage(text: str, at: int) -> int:
    """Where a line ends that begins with no object, or where an object starts on it that is not part of what is cut off."""
    for gap, is_in_a_list in _gaps(_END_OF_GARBAGE, text, at):
        if gap[0] == "\n":
            return gap.start()
        if not is_in_a_list:
            return gap.end()
    return len(text)


def _end_of_unreadable(text: str, at: int, line: str) -> int:
    """Where the next record starts. An object of a list within the unreadable one is none, and could be a consent.

    Such an object stands behind a comma, and in a line of its own it is indented further than the record.
    """
    indent = len(line) - len(line[-1:].strip())
    for gap, is_in_a_list in _gaps(_BEFORE_AN_OBJECT, text, at + 1):
        closes = gap[0][0] == "}"
        if closes and (not is_in_a_list or not gap[0][1:].strip()):
            return gap.end()
        lines = gap[0].rpartition("\n")
        if lines[1] and len(lines[2]) <= indent:
            return gap.end()
    return len(text)


def _gaps(pattern: re.Pattern[str], text: str, at: int) -> Iterator[tuple[re.Match[str], bool]]:
    """Where something else may start behind a position, and whether a list has been opened since and not closed."""
    lists, counted = 0, at
    for gap in pattern.finditer(text, at):
        lists += text.count("[", counted, gap.end()) - text.count("]", counted, gap.end())
        counted = gap.end()
        yield gap, lists > 0
