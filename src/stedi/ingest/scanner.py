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

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from stedi.ingest.brackets import DEEPEST_SCANNED, SEPARATORS, BracketScan, EndOfCutOff, EndOfGarbage, GapSearch, end_of
from stedi.ingest.file_text import FileText, open_text
from stedi.ingest.records import DEEPEST, Pairs, decode
from stedi.model.feed import Feed
from stedi.model.identity import people_in

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
_LONGEST_INDENT = 1000
_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*+")


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
        yield from _records(open_text(raw, name or path.name, chunk_bytes), longest, is_valid)


def spelled_keys(path: Path, feed: Feed, name: str = "") -> tuple[str, ...]:
    """How the first record of a file spells each field of the feed, in the fields' order.

    Keys come in any case (`timeStamp`, `timestamp`), nearly always the same throughout a file.
    Fields have their own names where the file begins with no readable record.
    """
    pairs: Pairs = []
    try:
        with path.open("rb") as raw:
            text = open_text(raw, name or path.name, _FIRST_RECORD_BYTES).read()
        start = end_of(_BETWEEN_RECORDS, text, 0)
        if text.startswith("{", start):
            pairs, _ = decode(text, start)
    except (OSError, ValueError, RecursionError):
        pass
    spelled = {key.lower(): key for key, _ in pairs}
    return tuple(spelled.get(field.name.lower(), field.name) for field in feed.fields)


def _records(text: FileText, longest: int, is_valid: Callable[[Pairs], bool]) -> Iterator[Found]:
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

    def __init__(self, source: FileText, longest: int) -> None:
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
                search = EndOfGarbage(self._at)
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
            self._at = end_of(_BETWEEN_RECORDS, self._text, self._at)
            if self._at < len(self._text):
                return True
            if self._source.ended:
                return False
            self._drop(self._at)
            self._text = self._source.read()

    def _undecoded(self) -> Iterator[Found]:
        """Find the end of the record here, which the decoder does not read in the text that is held."""
        held, column = len(self._text), self._column()
        structure = BracketScan(self._at, column)
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

    def _cut_lines(self, structure: BracketScan) -> Iterator[Found]:
        """Records that each begin in a line of their own and are open in the one before: lines that were cut in a list."""
        cuts = [self._at, *(at for _, at in structure.open_lines)]
        if structure.outcome == "too deep":
            # The last ones may still be records: only the others are too deep already.
            are_too_deep = [depth <= DEEPEST_SCANNED - DEEPEST for depth, _ in structure.open_lines]
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
        search = EndOfCutOff(self._at, column, failed_at, lists, self._at + self._longest, may_be_line=may_be_line)
        self._hold(search)
        end = search.at
        if self._source.ended and end == len(self._text) and self._size(end) <= self._longest:
            # The record that ends a file has broken off, unless it closes. The end of an array is no part of it.
            whole = self._text.rstrip(" \t\r\n,]")
            if not whole.endswith("}"):
                return self._take(end, reason=_why_it_ends(self._text[self._at : end]))
            end = len(whole)
        return self._take(end, reason=reason)

    def _hold(self, search: BracketScan | GapSearch) -> None:
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
        return len(before) if not before.strip(SEPARATORS) else len(before) - len(before.lstrip())


def _why_it_ends(text: str) -> str:
    """Why the text from a record's start to the end of its file is no record: its line was cut, or an upload broke off."""
    is_one_line = "\n" not in text.rstrip()
    return "not_json" if is_one_line and "\n" in text else "unfinished_record"


def _trimmed(text: str) -> str:
    return text.rstrip().rstrip(",")


def _lists_in(openers: Iterable[int], offset: int) -> dict[int, int]:
    """How many lists are open in each open object, by the object's position behind an offset; see `BracketScan`."""
    lists, found = 0, {}
    for opener in reversed(list(openers)):
        if opener < 0:
            lists += 1
        else:
            found[offset + opener] = lists
    return found
