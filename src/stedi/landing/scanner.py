"""Find records one by one in files in which the engine's fast path met something unusual.

Records come in any layout: one a line, back to back, trailing commas, one array, spread over
lines, cut off at the end.

A record is what Python's JSON decoder reads at a `{`. Where it fails, a lenient scan of the
brackets finds where the unreadable record ends, so that objects within it become no records.

Time is linear in the file's size, whatever the file contains:

- The scan accepts all that the decoder accepts, so the decoder reads no further than the scan that
  follows its failure. Text is added only as far as the scan needs it, and doubled each time.
- If the scan closes the record, or fails where the next record starts, its text is done with.
- If the scan from A fails at D and the next record starts at B before D, the text between is read again.
  An object there that closed before D is decoded and scanned once more, up to its own end. One that was
  still open at D fails at D as well: `_Failure` lists these, and they are neither decoded nor scanned.
  Within a string of the first scan, a scan ends with the line, since a string does.
- The scan fails at a depth of 1,000. Objects open there at a depth of 900 or less are too deep
  for a record. Only the others are scanned again, each 900 levels further.
- Text behind a record goes back in chunks if there is much of it, since Python's decoder counts the lines of
  the text before each failure.
"""

import codecs
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

from stedi.identity import people_in
from stedi.landing.archives import SNIFFED_BYTES, Damage, Doubt, packing_of, unpack
from stedi.landing.feed import Feed
from stedi.landing.records import DEEPEST, Pairs, decode

_CHUNK_BYTES = 1 << 16
# So much text before the position is dropped: counting its lines took half a minute for 80,000 broken lines.
_MOST_BEHIND = 1 << 14
# Longer first records tell nothing about how a file spells its keys.
_FIRST_RECORD_BYTES = 1 << 14
# Decoded, a record takes up to 30 bytes a character: 480 MB. The longest real one, with a list of 1,102 changes, is 1 MB.
_LONGEST_RECORD = 1 << 24
# What is kept of a longer one at each of its ends, where its own fields usually are.
_KEPT_OF_LONGER = 1 << 16
# Of text that is lost to a damaged archive, as much is kept as the longest record that the engine reads has.
_MOST_TEXT_OF_DAMAGE = 1 << 20
_SEARCHED_BEHIND_GAP = 1 << 20
# Ten times the depth that a record may have.
_DEEPEST_SCANNED = 1000
_LONGEST_INDENT = 1000

_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*+")
_BEFORE_AN_OBJECT = re.compile(r"[\n}][\s,\[\]]*+(?=\{)")
_END_OF_GARBAGE = re.compile(r"\n|[^\s,:\[][ \t,]*+(?=\{)")
_LINE_WITH_A_RECORD = re.compile(r"\n(?=[,\[]*\{)")
# A record that is spread over lines goes on with a key or a closing bracket.
_GOES_ON = re.compile(r'\s*+["}\]]')
_INDENT = re.compile(r"[^\S\n]*+")
_SEPARATORS = "".join(filter(str.isspace, map(chr, range(1 << 16)))) + ",[]"

_WORD = r'[^\s"{}\[\],:]++'
_STRING_BODY = r'(?:[^"\\\n]++|\\.)*+'
_SCALAR = rf'(?:"{_STRING_BODY}"|{_WORD})'
_TOKEN = re.compile(rf'\s*+([{{}}\[\],:]|"{_STRING_BODY}("?)|{_WORD})?')
_REST_OF_WORD = re.compile(r'[^\s"{}\[\],:]*+')
_REST_OF_STRING = re.compile(_STRING_BODY)
# An object without inner ones at once: four times as fast as token by token, for a list of customers' changes.
_FLAT_OBJECT = re.compile(rf"\{{\s*+(?:{_SCALAR}\s*+:\s*+{_SCALAR}\s*+(?:,\s*+|(?=\}})))*+\}}")


@dataclass(frozen=True)
class Found:
    """One record as it stands in the text: its pairs, or why it is none."""

    text: str
    pairs: Pairs | None = None
    reason: str | None = None


def read_records(
    path: Path,
    *,
    name: str = "",
    chunk_bytes: int = _CHUNK_BYTES,
    longest: int = _LONGEST_RECORD,
    is_valid: Callable[[Pairs], bool] = lambda pairs: True,
) -> Iterator[Found]:
    """Find all records of one file, readable or not, in constant memory.

    Each damaged place of a packed file is one unreadable record, together with the text cut off
    before and behind it. In a member that fails its checks, everything from the first record on that
    is unreadable or not `is_valid` belongs to the damaged place.

    Args:
        path: the file, or a copy of it.
        name: the file's own name where `path` is a copy.
        chunk_bytes: how much is read at a time.
        longest: characters of the longest record. Longer ones are unreadable (`record_too_long`),
            and of their text the beginning and the end are kept.
        is_valid: whether a readable record keeps the rules of its feed.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as raw:
        yield from _records(_text_of(raw, name or path.name, chunk_bytes), longest, is_valid)


def spelled_keys(path: Path, feed: Feed, name: str = "") -> tuple[str, ...]:
    """How the first record of a file spells each field of the feed, in the fields' order.

    Keys come in any case (`timeStamp`, `timestamp`), nearly always the same throughout a file.
    Fields have their own names where the file begins with no readable record.
    """
    pairs: Pairs = []
    try:
        with path.open("rb") as raw:
            text = _text_of(raw, name or path.name, _FIRST_RECORD_BYTES).read()
        start = _BETWEEN_RECORDS.match(text).end()  # type: ignore[union-attr]  # matches anything
        if text.startswith("{", start):
            pairs, _ = decode(text, start)
    except (OSError, ValueError, RecursionError):
        pass
    spelled = {key.lower(): key for key, _ in pairs}
    return tuple(spelled.get(field.name.lower(), field.name) for field in feed.fields)


def _text_of(raw: BinaryIO, name: str, chunk_bytes: int) -> "_Text":
    head = raw.read(SNIFFED_BYTES)
    raw.seek(0)
    packing = packing_of(head, name)
    return _Text(unpack(raw, packing) if packing else _chunks(raw, chunk_bytes), chunk_bytes)


def _chunks(raw: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    while chunk := raw.read(chunk_bytes):
        yield chunk


def _records(text: "_Text", longest: int, is_valid: Callable[[Pairs], bool]) -> Iterator[Found]:
    gap, before, behind = None, _Excerpt(), _Excerpt()
    while True:
        last: Found | None = None
        untrusted = _Excerpt()
        for found in _Scanner(text, longest).records():
            if gap and found.reason == "not_an_object":
                # Text that begins no record is the end of one that began before or within the gap.
                behind.add(found.text)
                continue
            if gap:
                yield Found(f"{before}[{gap}]{behind}", reason=gap.reason)
                gap = None
            if last:
                yield last
            for damage in text.take_damages():
                yield Found(f"[{damage}]", reason=damage.reason)
            # The member's data went wrong here at the latest. Readable records behind may be made up of others.
            if text.is_doubtful and (untrusted or found.pairs is None or not is_valid(found.pairs)):
                untrusted.add(f"{found.text}\n")
                last = None
            else:
                last = found
        if gap:
            yield Found(f"{before}[{gap}]{behind}", reason=gap.reason)
        gap, before, behind = text.gap, untrusted, _Excerpt()
        if last and gap and last.reason in ("unfinished_record", "not_an_object"):
            before.add(last.text)
        elif last:
            yield last
        for damage in text.take_damages():
            yield Found(f"[{damage}]", reason=damage.reason)
        if gap is None:
            return
        text.next_part()
        behind.add(text.skipped)


class _Excerpt:
    """The beginning of a long text, how many characters follow, and which addresses are among them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room, self._more = _MOST_TEXT_OF_DAMAGE, 0
        self._people: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __str__(self) -> str:
        more = f"… {self._more:,} more characters{_naming(self._people)} " if self._more else ""
        return "".join(self._parts) + more

    def add(self, text: str) -> None:
        if self._room:
            self._parts.append(text[: self._room])
        if len(text) > self._room:
            self._more += len(text) - self._room
            self._people |= people_in(text)
        self._room = max(0, self._room - len(text))


def _naming(people: Iterable[str]) -> str:
    """Addresses in text that is left out, as a record spells them: whoever reads the rest must not miss anybody."""
    return "".join(f', "email": {json.dumps(person, ensure_ascii=False)}' for person in sorted(people))


class _Text:
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


@dataclass(frozen=True)
class _Failure:
    """Where the scan of a record contradicted itself, and what was open there.

    `open` maps the position of each open object to how many lists were opened in it and not closed.
    Positions count from the start of the file's part.
    """

    at: int = -1
    open: Mapping[int, int] = field(default_factory=dict)


class _Scanner:
    """Finds the records of a file's part."""

    def __init__(self, source: _Text, longest: int) -> None:
        self._source, self._longest = source, longest
        self._kept = min(_KEPT_OF_LONGER, longest // 2)
        # The text that is held, the position in it, where it begins in the file's part,
        # and how its first line begins before it.
        self._text, self._at, self._offset, self._line = "", 0, 0, ""
        # Where the current record begins in the file's part, and its beginning where that is no longer held.
        self._begin, self._head = 0, ""
        self._left_out: set[str] = set()
        self._failure = _Failure()

    def records(self) -> Iterator[Found]:
        """Find all records up to the end of the file's part."""
        while self._skip_separators():
            self._begin, self._head, self._left_out = self._offset + self._at, "", set()
            if self._text[self._at] != "{":
                search = _EndOfGarbage(self._at)
                self._hold(search)
                yield self._take(search.at, reason="not_an_object")
            elif (lists := self._failure.open.get(self._begin)) is not None:
                yield self._cut_off(self._failure.at - self._offset, lists, self._column())
            else:
                try:
                    pairs, end = decode(self._text, self._at)
                except (ValueError, RecursionError):
                    yield from self._undecoded()
                else:
                    yield self._take(end, pairs=pairs)

    def _skip_separators(self) -> bool:
        """Go to what is next in the text; False at its end."""
        while True:
            self._at = _BETWEEN_RECORDS.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches anything
            if self._at < len(self._text):
                return True
            if self._source.ended:
                return False
            self._drop(self._at)
            self._text = self._source.read()

    def _undecoded(self) -> Iterator[Found]:
        """Find the end of the record here, which the decoder does not read in the text that is held."""
        held, column = len(self._text), self._column()
        structure = _Structure(self._at, column)
        self._hold(structure)
        end, is_too_long = structure.at, self._size(structure.at) > self._longest
        if structure.outcome == "closed":
            yield self._closed(end, structure.depth, is_new=end > held and not is_too_long)
        elif is_too_long and structure.outcome == "end":
            yield self._take(end, reason="record_too_long")
        elif is_too_long:
            yield self._cut_off(end, structure.count_lists(), column)
        elif structure.outcome != "contradiction" and len(structure.open_lines) > 1:
            yield from self._cut_lines(structure)
        elif structure.outcome == "too deep":
            yield self._cut_off(end, structure.count_lists(), column, reason="nested_too_deep")
        elif contradiction := structure.contradiction:
            at, opened = contradiction
            self._failure = _Failure(self._offset + at, _lists_in(opened, self._offset))
            yield self._cut_off(at, self._failure.open[self._begin], column)
        else:
            yield self._take(end, reason=_why_it_ends(self._text[self._at : end]))

    def _closed(self, end: int, depth: int, *, is_new: bool) -> Found:
        """The record up to its closing bracket, decoded if it was not held as a whole before."""
        if is_new:
            try:
                pairs, _ = decode(self._text, self._at)
            except (ValueError, RecursionError):
                pass
            else:
                return self._take(end, pairs=pairs)
        return self._take(end, reason="nested_too_deep" if depth > DEEPEST else "not_json")

    def _cut_lines(self, structure: "_Structure") -> Iterator[Found]:
        """Records that each begin in a line of their own and are open in the one before: lines that were cut in a list."""
        cuts = [self._at, *(at for _, at in structure.open_lines)]
        if structure.outcome == "too deep":
            # The last ones may still be records: only the others are too deep already.
            are_too_deep = [depth <= _DEEPEST_SCANNED - DEEPEST for depth, _ in structure.open_lines]
            cuts = cuts[: [*are_too_deep, False].index(False) + 2]
        found = [Found(_trimmed(self._text[start:end]), reason="not_json") for start, end in pairwise(cuts)]
        if structure.outcome == "end":
            last = self._text[cuts[-1] :]
            found.append(Found(last.rstrip(), reason=_why_it_ends(last)))
            cuts.append(structure.at)
        self._go_to(cuts[-1])
        yield from found

    def _cut_off(self, failed_at: int, lists: int, column: int, *, reason: str = "not_json") -> Found:
        """The record here, whose scan failed at a position that is in so many of its lists."""
        may_be_line = reason == "not_json" and self._size(failed_at) <= self._longest
        search = _EndOfCutOff(self._at, column, failed_at, lists, self._at + self._longest, may_be_line=may_be_line)
        self._hold(search)
        end = search.at
        if self._source.ended and end == len(self._text) and self._size(end) <= self._longest:
            # The record that ends a file has broken off, unless it closes. The end of an array is no part of it.
            whole = self._text.rstrip(" \t\r\n,]")
            if not whole.endswith("}"):
                return self._take(end, reason=_why_it_ends(self._text[self._at : end]))
            end = len(whole)
        return self._take(end, reason=reason)

    def _hold(self, search: "_Structure | _Gaps") -> None:
        """Search while text is added. Of a record that is too long, only the ends are held."""
        while not search.scan(self._text, self._source.ended):
            if self._size(search.at) > self._longest:
                held, is_cut = self._text[self._at :], bool(self._head)
                self._left_out |= people_in(held, is_cut_before=is_cut, is_cut_behind=True)
                self._head = self._head or held[: self._kept]
                size = max(0, search.at - self._kept)
                search.drop(size)
                self._drop(size)
            self._text += self._source.read(len(self._text) - self._at)

    def _size(self, end: int) -> int:
        """How many characters the current record has up to a position."""
        return self._offset + end - self._begin

    def _take(self, end: int, *, reason: str | None = None, pairs: Pairs | None = None) -> Found:
        """The current record up to a position, and go there."""
        text, size = self._text[self._at : end], self._size(end)
        if size > self._longest:
            head, left_out = self._head or text[: self._kept], size - 2 * self._kept
            people = self._left_out | people_in(text, is_cut_before=bool(self._head))
            note = f"[… {left_out:,} of {size:,} characters left out{_naming(people)} …]"
            found = Found(f"{head}{note}{text[-self._kept :]}", reason="record_too_long")
        else:
            found = Found(_trimmed(text) if reason else text, pairs, reason)
        self._go_to(end)
        return found

    def _go_to(self, end: int) -> None:
        self._at = end
        if end > _MOST_BEHIND:
            self._drop(end)
        self._text = self._source.give_back_behind(self._text, self._at)

    def _drop(self, size: int) -> None:
        """Take characters off the text that is held."""
        self._line = self._beginning(size)[:_LONGEST_INDENT]
        self._text, self._at, self._offset = self._text[size:], max(0, self._at - size), self._offset + size

    def _beginning(self, at: int) -> str:
        """What a position's line has before it."""
        start = self._text.rfind("\n", 0, at) + 1
        return self._text[start:at] if start else self._line + self._text[:at]

    def _column(self) -> int:
        """How far the record here is indented: its own place if it is the first of its line, else that of the line."""
        before = self._beginning(self._at)
        return len(before) if not before.strip(_SEPARATORS) else len(before) - len(before.lstrip())


def _why_it_ends(text: str) -> str:
    """Why the text from a record's start to the end of its file is no record: its line was cut, or an upload broke off."""
    is_one_line = "\n" not in text.rstrip()
    return "not_json" if is_one_line and "\n" in text else "unfinished_record"


def _trimmed(text: str) -> str:
    return text.rstrip().rstrip(",")


def _lists_in(openers: Iterable[int], offset: int) -> dict[int, int]:
    """How many lists are open in each open object, by the object's position behind an offset; see `_Structure`."""
    lists, found = 0, {}
    for opener in reversed(list(openers)):
        if opener < 0:
            lists += 1
        else:
            found[offset + opener] = lists
    return found


class _Structure:
    """Lenient scan of a record's brackets, in steps.

    An object or list begins where a value may, brackets match, and no value follows another one
    directly. Strings end in their line. Everything else is tolerated: a comma too many, a value that
    is missing or no JSON.
    """

    def __init__(self, at: int, column: int) -> None:
        self.at = at
        """Where the scan stands. At the end: where the record closes, or where the scan failed."""
        self.outcome: Literal["closed", "contradiction", "too deep", "end"] | None = None
        self.depth = 0
        """How deep the brackets were nested at most."""
        self.open_lines: list[tuple[int, int]] = []
        """Depth and position of open objects that begin in a line of their own, indented no further than the record."""
        self.contradiction: tuple[int, list[int]] | None = None
        """Where the record contradicts itself and what was open there, as in `_open`.

        Else an unlikely value: an object behind a colon that begins in a line of its own, indented no further
        than the record. No writer breaks the line there. It counts if the file ends before the object around it.
        """
        # Positions of open objects, and complements of those of open lists.
        self._open: list[int] = []
        self._expects: Literal["value", "key", "colon", "comma"] = "value"
        self._inside: Literal["string", "word"] | None = None
        self._column = column
        # Behind the last token but commas and opening brackets of lists.
        self._line_floor = at

    def count_lists(self) -> int:
        """Count the lists that are open."""
        return sum(opener < 0 for opener in self._open)

    def drop(self, size: int) -> None:
        """Take off characters from the start of the text, not those behind `at`."""
        self.at -= size
        self._line_floor = max(0, self._line_floor - size)

    def scan(self, text: str, is_all: bool) -> bool:
        """Go on in a text to which more may have been added; whether there is an outcome."""
        opened, at, expects = self._open, self._resume(text), self._expects
        while at >= 0:
            token = _TOKEN.match(text, at)
            assert token  # it matches anything
            start, at = token.span(1)
            if start < 0:
                at = len(text)
                break
            first = text[start]
            if first == ",":
                expects = "value" if opened[-1] < 0 else "key"
            elif first == ":":
                if expects != "colon":
                    return self._contradict(start)
                expects = "value"
            elif first == "{":
                if expects != "value":
                    return self._contradict(start)
                flat = _FLAT_OBJECT.match(text, start) if opened else None
                is_in_object = bool(opened) and opened[-1] >= 0
                is_line = (is_in_object or not flat) and bool(opened) and self._begins_line(text, start)
                if is_line and is_in_object and not self._is_cut():
                    self.contradiction = start, opened.copy()
                self.depth = max(self.depth, len(opened) + 1)
                if len(opened) == _DEEPEST_SCANNED:
                    return self._stop("too deep", start)
                if flat:
                    at, expects = flat.end(), "comma"
                else:
                    if is_line:
                        self.open_lines.append((len(opened), start))
                    opened.append(start)
                    expects = "key"
                self._line_floor = at
            elif first == "[":
                if expects != "value":
                    return self._contradict(start)
                if len(opened) == _DEEPEST_SCANNED:
                    return self._stop("too deep", start)
                opened.append(~start)
                self.depth = max(self.depth, len(opened))
            elif first in "}]":
                if (opened[-1] < 0) != (first == "]"):
                    return self._contradict(start)
                opened.pop()
                if self.open_lines and self.open_lines[-1][0] == len(opened):
                    self.open_lines.pop()
                if not opened:
                    return self._stop("closed", at)
                self._line_floor, expects = at, "comma"
            elif expects in ("key", "value"):
                expects = "colon" if expects == "key" else "comma"
                self._line_floor = start + 1
                if first == '"' and not token[2]:
                    self._inside, self.at = "string", at
                    at = self._resume(text)
                elif first != '"' and at == len(text):
                    self._inside = "word"
                    break
            else:
                return self._contradict(start)
        self._expects = expects
        if self.outcome:
            return True
        self.at = max(self.at, at)
        if not is_all:
            return False
        self.contradiction = self.contradiction if self._is_cut() else None
        return self._stop("end", len(text))

    def _resume(self, text: str) -> int:
        """Go on behind the string or word in which the text ended before; -1 where it has no end yet."""
        at, inside, self._inside = self.at, self._inside, None
        if inside == "word":
            at = _REST_OF_WORD.match(text, at).end()  # type: ignore[union-attr]  # matches anything
            self._inside = "word" if at == len(text) else None
        elif inside == "string":
            self.at = at = _REST_OF_STRING.match(text, at).end()  # type: ignore[union-attr]  # matches anything
            if text[at : at + 2] in ("", "\\"):
                self._inside = "string"
                return -1
            if text[at] != '"':
                self._contradict(at)
                return -1
            at += 1
        return at

    def _begins_line(self, text: str, at: int) -> bool:
        """Whether a position is the first of its line, but for separators, and indented no further than the record."""
        newline = text.rfind("\n", self._line_floor, at)
        return newline >= 0 and _indent(text, newline) <= self._column

    def _is_cut(self) -> bool:
        """Whether an object is still open that has an unlikely value."""
        if not self.contradiction:
            return False
        depth = len(self.contradiction[1])
        return self._open[depth - 1 : depth] == self.contradiction[1][-1:]

    def _contradict(self, at: int) -> Literal[True]:
        self.contradiction = at, self._open.copy()
        return self._stop("contradiction", at)

    def _stop(self, outcome: Literal["closed", "contradiction", "too deep", "end"], at: int) -> Literal[True]:
        self.outcome, self.at = outcome, at
        return True


def _indent(text: str, newline: int) -> int:
    """How much white space the line behind a newline begins with."""
    return _INDENT.match(text, newline + 1).end() - newline - 1  # type: ignore[union-attr]  # matches anything


class _Gaps(ABC):
    """Searches the gaps before objects for the one where a record ends, in steps."""

    def __init__(self, pattern: re.Pattern[str], at: int, lists: int) -> None:
        self._pattern, self.at, self._counted = pattern, at, at
        # How many lists have been opened and not closed.
        self._lists = lists

    @abstractmethod
    def _end(self, text: str, gap: re.Match[str]) -> int | None:
        """Where the record ends at or within a gap, None if it goes on."""

    def drop(self, size: int) -> None:
        """Take off characters from the start of the text, not those behind `at`."""
        self.at, self._counted = self.at - size, self._counted - size

    def scan(self, text: str, is_all: bool) -> bool:
        """Go on in a text to which more may have been added; whether the record's end is found."""
        for gap in self._pattern.finditer(text, self.at):
            self._count(text, gap.end())
            end = self._end(text, gap)
            if end is not None:
                self.at = end
                return True
        # The text may end within a gap.
        self.at = len(text) if is_all else max(self.at, len(text.rstrip(_SEPARATORS)) - 1)
        self._count(text, self.at)
        return is_all

    def _count(self, text: str, end: int) -> None:
        if end > self._counted:
            self._lists += text.count("[", self._counted, end) - text.count("]", self._counted, end)
            self._counted = end


class _EndOfGarbage(_Gaps):
    """Where a line ends that begins with no object, or where an object starts on it that is not part of what is cut off."""

    def __init__(self, at: int) -> None:
        super().__init__(_END_OF_GARBAGE, at, 0)

    def _end(self, text: str, gap: re.Match[str]) -> int | None:
        if gap[0] == "\n":
            return gap.start()
        return gap.end() if self._lists <= 0 else None


class _EndOfCutOff(_Gaps):
    """Where the next record starts behind one that contradicts itself.

    If the record was one line, this is the first line that begins with an object, though the
    scan may have taken some lines for elements of a list that was cut. If it is spread over
    lines without indentation, objects begin lines in it, too: then it is no line before the
    contradiction, and none within a list behind it.
    """

    def __init__(self, at: int, column: int, failed_at: int, lists: int, limit: int, *, may_be_line: bool) -> None:
        super().__init__(_BEFORE_AN_OBJECT, at, lists)
        self._start, self._column, self._failed_at, self._limit = at, column, failed_at, limit
        self._is_line: bool | None = None if may_be_line else False
        self._is_behind = self._is_behind_its_line = False

    def drop(self, size: int) -> None:
        """Take off characters from the start of the text, not those behind `at`."""
        super().drop(size)
        self._failed_at, self._limit = self._failed_at - size, self._limit - size

    def scan(self, text: str, is_all: bool) -> bool:
        """Go on in a text to which more may have been added; whether the record's end is found."""
        if not self._is_behind:
            for gap in self._pattern.finditer(text, self.at, self._failed_at + 1):
                if self._begins_line(text, gap) and self._is_one_line(text):
                    self.at = gap.end()
                    return True
            if len(text) <= self._failed_at:
                self.at = max(self.at, len(text.rstrip(_SEPARATORS)) - 1)
                return False
            self.at = self._counted = self._failed_at
            self._is_behind = True
            if text[self.at] == "{":
                return True
        if super().scan(text, is_all):
            return True
        self._is_behind_its_line = self._has_newline(text, self.at)
        return False

    def _end(self, text: str, gap: re.Match[str]) -> int | None:
        is_in_list = self._lists > 0
        if gap[0][0] == "}" and (not is_in_list or not gap[0][1:].strip(" \t\r")):
            return gap.end()
        if self._begins_line(text, gap) and (
            not is_in_list
            or not self._has_newline(text, gap.start())
            or (gap.end() <= self._limit and self._is_one_line(text))
        ):
            return gap.end()
        return None

    def _has_newline(self, text: str, end: int) -> bool:
        """Whether the line ends between the contradiction and a position."""
        return self._is_behind_its_line or text.find("\n", max(0, self._failed_at), end) >= 0

    def _begins_line(self, text: str, gap: re.Match[str]) -> bool:
        newline = text.rfind("\n", gap.start(), gap.end())
        return newline >= 0 and _indent(text, newline) <= self._column

    def _is_one_line(self, text: str) -> bool:
        """Whether the line behind the record's first one is no part of a record spread over lines without indentation."""
        if self._is_line is None:
            goes_on = _GOES_ON.match(text, text.find("\n", self._start))
            self._is_line = not goes_on or _indent(text, text.rfind("\n", 0, goes_on.end())) > self._column
        return self._is_line
