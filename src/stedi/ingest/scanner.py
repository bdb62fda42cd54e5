"""Find the records of a file one by one, for files that the fast path can't read.

Records come in any layout: one per line, several per line, with trailing commas, in one array, on several lines, cut off at
the end.

A record is what Python's JSON decoder reads at a `{`. Where the decoder fails, a lenient scan of the brackets
(`record_end`) finds the end of the unreadable record, so that its inner objects do not become records.

Time is linear in the file's size, whatever the file contains (`bench/bad_files.py`):

- The scan accepts all that the decoder accepts, so the decoder reads no further than the scan after its failure. Text is
  added only as far as the scan needs it, twice as much each time.
- If the scan closes the record, or fails where the next record starts, its text is not read again.
- If the scan from A fails at D and the next record starts at B before D, the text between is read again. An object
  there that closed before D is decoded and scanned once more, up to its own end. One that was still open at D fails at D
  as well: `_Failure` lists these, and they are neither decoded nor scanned. Within a string of the first scan, a scan
  ends with the line, since a string does.
- The scan fails at a depth of 1,000. Objects open there at a depth of 900 or less are too deep for a record. Only
  the others are scanned again, each 900 levels further.
- Text far after a record is put back in chunks, and text before it is dropped, because Python's decoder counts the lines
  before each failure.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from stedi.ingest.file_text import FileText, count_bytes, open_text
from stedi.ingest.record_end import (
    MAX_SCANNED_DEPTH,
    SEPARATORS,
    BracketScan,
    CutRecordSearch,
    GapSearch,
    NonObjectSearch,
    end_of,
)
from stedi.ingest.records import MAX_DEPTH, Pairs, ScannedRecord, decode
from stedi.model.feed import Feed
from stedi.model.identity import people_in

_CHUNK_BYTES = 1 << 16
# Text before the position is dropped from this size on. 80,000 broken lines then take 1.5 s instead of 29 s, in which
# Python's decoder counts lines.
_MAX_TEXT_BEFORE = 1 << 14
# The spelling of keys is not looked up in a longer first record.
_FIRST_RECORD_BYTES = 1 << 14
# A decoded record takes up to 30 bytes of memory per character: 480 MB. The longest real one, with a list of 1,102
# changes, has 1 MB.
_MAX_RECORD = 1 << 24
# Characters kept at each end of a longer record, where its own fields usually are.
_KEPT_OF_LONGER = 1 << 16
# Characters kept of the text on each side of a damaged place: the length of the longest record on the fast path.
_MAX_TEXT_AT_DAMAGE = 1 << 20
_MAX_INDENT = 1000
_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*+")


def scan_records(
    path: Path,
    *,
    name: str = "",
    chunk_bytes: int = _CHUNK_BYTES,
    max_chars: int = _MAX_RECORD,
    is_valid: Callable[[Pairs], bool] = lambda pairs: True,
) -> Iterator[ScannedRecord]:
    """Find all records of one file, readable or not, in constant memory.

    Each damaged place of a compressed file is one unreadable record, with the cut-off text before and after it. In a
    member that fails its checks, the first record that is unreadable or not valid, and all text after it, belong to the
    damaged place.

    Args:
        path: the file, or a copy of it.
        name: the file's own name if `path` is a copy.
        chunk_bytes: bytes to read at a time.
        max_chars: maximum length of a record. Only the two ends of longer records are kept (`record_too_long`).
        is_valid: whether a decoded record is valid for its feed.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as raw:
        yield from _scan_parts(open_text(raw, name or path.name, chunk_bytes), max_chars, is_valid)


def spelled_keys(path: Path, feed: Feed, name: str = "") -> tuple[str, ...]:
    """Return the first record's spelling of each field of a feed, in the fields' order.

    Keys are case-insensitive (`timeStamp`, `timestamp`), and nearly always spelled the same throughout a file. Without a
    readable first record the fields' own names are returned.
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


def _scan_parts(text: FileText, max_chars: int, is_valid: Callable[[Pairs], bool]) -> Iterator[ScannedRecord]:
    """Scan the parts of a file between its gaps, and join each gap with the cut-off text before and after it."""
    gap, before, after = None, _Excerpt(), _Excerpt()
    while True:
        last: ScannedRecord | None = None
        suspect = _Excerpt()
        for record in _Scanner(text, max_chars).records():
            if gap and record.reason == "not_an_object":
                # The end of a record that began before or within the gap.
                after.add(record.text)
                continue
            if gap:
                yield ScannedRecord(f"{before}[{gap}]{after}", reason=gap.reason)
                gap = None
            if last:
                yield last
            for damage in text.take_damages():
                yield ScannedRecord(f"[{damage}]", reason=damage.reason)
            # The member's content is altered here or earlier. Readable records after this one may be mixtures of others.
            if text.is_suspect and (suspect or record.pairs is None or not is_valid(record.pairs)):
                suspect.add(f"{record.text}\n")
                last = None
            else:
                last = record
        if gap:
            yield ScannedRecord(f"{before}[{gap}]{after}", reason=gap.reason)
        gap, before, after = text.gap, suspect, _Excerpt()
        if last and gap and last.reason in ("unfinished_record", "not_an_object"):
            before.add(last.text)
        elif last:
            yield last
        for damage in text.take_damages():
            yield ScannedRecord(f"[{damage}]", reason=damage.reason)
        if gap is None:
            return
        text.next_part()
        after.add(text.skipped)


class _Excerpt:
    """The beginning of a long text, the number of left-out characters, and the addresses in them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room, self._more = _MAX_TEXT_AT_DAMAGE, 0
        self._people: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __str__(self) -> str:
        more = f"… {self._more:,} more characters{_format_addresses(self._people)} " if self._more else ""
        return "".join(self._parts) + more

    def add(self, text: str) -> None:
        """Append text."""
        if self._room:
            self._parts.append(text[: self._room])
        if len(text) > self._room:
            self._more += len(text) - self._room
            self._people |= people_in(text)
        self._room = max(0, self._room - len(text))


def _format_addresses(people: Iterable[str]) -> str:
    """Format the addresses of left-out text as a record has them, so that `find_people` still finds them."""
    return "".join(f', "email": {json.dumps(person, ensure_ascii=False)}' for person in sorted(people))


@dataclass(frozen=True)
class _Failure:
    """Position at which the scan of a record failed, and the open objects there.

    `open` maps the position of each open object to its number of open lists. Positions count from the start of the
    file's part.
    """

    at: int = -1
    open: Mapping[int, int] = field(default_factory=dict)


class _Scanner:
    """Finds the records of a file's part."""

    def __init__(self, source: FileText, max_chars: int) -> None:
        self._source, self._max_chars = source, max_chars
        self._kept = min(_KEPT_OF_LONGER, max_chars // 2)
        # The text in memory, the position in it, its offset in the file's part, and the start of its first line that is no
        # longer in memory.
        self._text, self._at, self._offset, self._line = "", 0, 0, ""
        # Offset of the current record in the file's part, and its beginning if that is no longer in memory.
        self._begin, self._head = 0, ""
        # First byte of the current record in the unpacked file, if its beginning is no longer in memory.
        self._begin_byte = 0
        # A position in the text, and its byte in the unpacked file. Not after the next record that will be taken.
        self._counted, self._counted_byte = 0, source.start
        self._left_out: set[str] = set()
        self._failure = _Failure()

    def records(self) -> Iterator[ScannedRecord]:
        """Find all records up to the end of the file's part."""
        while self._skip_separators():
            self._begin, self._head, self._left_out = self._offset + self._at, "", set()
            if self._text[self._at] != "{":
                search = NonObjectSearch(self._at)
                self._search(search)
                yield self._take(search.at, reason="not_an_object")
            elif (lists := self._failure.open.get(self._begin)) is not None:
                yield self._take_cut_record(self._failure.at - self._offset, lists, self._column())
            else:
                try:
                    pairs, end = decode(self._text, self._at)
                except (ValueError, RecursionError):
                    yield from self._take_unreadable()
                else:
                    yield self._take(end, pairs=pairs)

    def _skip_separators(self) -> bool:
        """Skip to the next text that is no separator; False at the end."""
        while True:
            self._at = end_of(_BETWEEN_RECORDS, self._text, self._at)
            if self._at < len(self._text):
                return True
            if self._source.ended:
                return False
            self._drop(self._at)
            self._text = self._source.read()

    def _take_unreadable(self) -> Iterator[ScannedRecord]:
        """Find the end of the record here, which the decoder can't read in the text in memory."""
        length, column = len(self._text), self._column()
        structure = BracketScan(self._at, column)
        self._search(structure)
        end, is_too_long = structure.at, self._size(structure.at) > self._max_chars
        if structure.outcome == "closed":
            yield self._take_closed(end, structure.depth, is_new=end > length and not is_too_long)
        elif is_too_long and structure.outcome == "end":
            yield self._take(end, reason="record_too_long")
        elif is_too_long:
            yield self._take_cut_record(end, structure.count_lists(), column)
        elif structure.outcome != "syntax error" and len(structure.open_lines) > 1:
            yield from self._take_cut_lines(structure)
        elif structure.outcome == "too deep":
            yield self._take_cut_record(end, structure.count_lists(), column, reason="nested_too_deep")
        elif syntax_error := structure.syntax_error:
            at, opened = syntax_error
            self._failure = _Failure(self._offset + at, _lists_in(opened, self._offset))
            yield self._take_cut_record(at, self._failure.open[self._begin], column)
        else:
            yield self._take(end, reason=_why_it_ends(self._text[self._at : end]))

    def _take_closed(self, end: int, depth: int, *, is_new: bool) -> ScannedRecord:
        """Take the record up to its closing bracket; decode it if it was not complete in memory before."""
        if is_new:
            try:
                pairs, _ = decode(self._text, self._at)
            except (ValueError, RecursionError):
                pass
            else:
                return self._take(end, pairs=pairs)
        return self._take(end, reason="nested_too_deep" if depth > MAX_DEPTH else "not_json")

    def _take_cut_lines(self, structure: BracketScan) -> Iterator[ScannedRecord]:
        """Take records that each begin a line within the one before: lines that were cut in a list."""
        cuts = [self._at, *(at for _, at in structure.open_lines)]
        if structure.outcome == "too deep":
            # Only the outer ones are too deep already. The inner ones may still be records.
            are_too_deep = [depth <= MAX_SCANNED_DEPTH - MAX_DEPTH for depth, _ in structure.open_lines]
            cuts = cuts[: [*are_too_deep, False].index(False) + 2]
        cut_records = [
            self._record(start, _trimmed(self._text[start:end]), reason="not_json") for start, end in pairwise(cuts)
        ]
        if structure.outcome == "end":
            last = self._text[cuts[-1] :]
            cut_records.append(self._record(cuts[-1], last.rstrip(), reason=_why_it_ends(last)))
            cuts.append(structure.at)
        self._go_to(cuts[-1])
        yield from cut_records

    def _take_cut_record(self, failed_at: int, lists: int, column: int, *, reason: str = "not_json") -> ScannedRecord:
        """Take the record here, whose scan failed at a position within `lists` of its lists."""
        may_be_line = reason == "not_json" and self._size(failed_at) <= self._max_chars
        search = CutRecordSearch(self._at, column, failed_at, lists, self._at + self._max_chars, may_be_line=may_be_line)
        self._search(search)
        end = search.at
        if self._source.ended and end == len(self._text) and self._size(end) <= self._max_chars:
            # The last record of a file is unfinished, unless it closes. The end of an array is not part of it.
            whole = self._text.rstrip(" \t\r\n,]")
            if not whole.endswith("}"):
                return self._take(end, reason=_why_it_ends(self._text[self._at : end]))
            end = len(whole)
        return self._take(end, reason=reason)

    def _search(self, search: BracketScan | GapSearch) -> None:
        """Run a search to its end and add text as needed. Only the two ends of a record that is too long stay in memory."""
        while not search.scan(self._text, self._source.ended):
            if self._size(search.at) > self._max_chars:
                in_memory, is_cut = self._text[self._at :], bool(self._head)
                if not is_cut:
                    self._begin_byte = self._byte(self._at)
                self._left_out |= people_in(in_memory, is_cut_before=is_cut, is_cut_after=True)
                self._head = self._head or in_memory[: self._kept]
                size = max(0, search.at - self._kept)
                search.drop(size)
                self._drop(size)
            self._text += self._source.read(len(self._text) - self._at)

    def _size(self, end: int) -> int:
        """Length of the current record up to a position."""
        return self._offset + end - self._begin

    def _take(self, end: int, *, reason: str | None = None, pairs: Pairs | None = None) -> ScannedRecord:
        """Return the current record up to a position, and go there."""
        text, size = self._text[self._at : end], self._size(end)
        if size > self._max_chars:
            head, left_out = self._head or text[: self._kept], size - 2 * self._kept
            people = self._left_out | people_in(text, is_cut_before=bool(self._head))
            note = f"[… {left_out:,} of {size:,} characters left out{_format_addresses(people)} …]"
            first = self._begin_byte if self._head else self._byte(self._at)
            span = first, self._byte(self._at + len(_trimmed(text)))
            record = ScannedRecord(f"{head}{note}{text[-self._kept :]}", reason="record_too_long", span=span)
        else:
            record = self._record(self._at, _trimmed(text) if reason else text, reason=reason, pairs=pairs)
        self._go_to(end)
        return record

    def _record(self, start: int, text: str, *, reason: str | None, pairs: Pairs | None = None) -> ScannedRecord:
        """Return the record whose whole text begins at a position."""
        first = self._byte(start)
        self._counted, self._counted_byte = start + len(text), first + count_bytes(text)
        return ScannedRecord(text, pairs, reason, (first, self._counted_byte))

    def _byte(self, at: int) -> int:
        """Return the byte of a position in the unpacked file. From call to call, positions never decrease."""
        if at > self._counted:
            self._counted_byte += count_bytes(self._text[self._counted : at])
            self._counted = at
        return self._counted_byte

    def _go_to(self, end: int) -> None:
        self._at = end
        if end > _MAX_TEXT_BEFORE:
            self._drop(end)
        self._text = self._source.put_back_after(self._text, self._at)

    def _drop(self, size: int) -> None:
        """Drop characters from the start of the text in memory."""
        self._line = self._line_before(size)[:_MAX_INDENT]
        self._byte(max(size, self._counted))
        self._counted -= size
        self._text, self._at, self._offset = self._text[size:], max(0, self._at - size), self._offset + size

    def _line_before(self, at: int) -> str:
        """Return the text of a position's line before it."""
        start = self._text.rfind("\n", 0, at) + 1
        return self._text[start:at] if start else self._line + self._text[:at]

    def _column(self) -> int:
        """Return the indent of the record here: its own column if it begins its line, else the indent of the line."""
        before = self._line_before(self._at)
        return len(before) if not before.strip(SEPARATORS) else len(before) - len(before.lstrip())


def _why_it_ends(text: str) -> str:
    """Return the reason for a record without an end: a cut line, or a file that ends within the record."""
    is_one_line = "\n" not in text.rstrip()
    return "not_json" if is_one_line and "\n" in text else "unfinished_record"


def _trimmed(text: str) -> str:
    return text.rstrip().rstrip(",")


def _lists_in(openers: Iterable[int], offset: int) -> dict[int, int]:
    """Count the open lists within each open object, by the object's offset in the part; see `BracketScan`."""
    lists, counts = 0, {}
    for opener in reversed(list(openers)):
        if opener < 0:
            lists += 1
        else:
            counts[offset + opener] = lists
    return counts
