"""Search the bytes of one file for identifiers, and decide which matches belong to somebody else."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import ahocorasick_rs
import numpy as np
import numpy.typing as npt

from stedi.privacy.identifiers import Identifier, Kind, Pattern, patterns
from stedi.privacy.scan.boundaries import continues_before, is_longer, prefixed_values, token_around
from stedi.privacy.scan.escapes import before_escape, decode_escapes, has_escapes

# Bytes beside a match that decide about it: the rest of an address, or the rest of a record.
_MARGIN = 4_096
# A record is shorter. Name and birthday that are further apart, or have a brace between them, are of two records.
_MAX_RECORD = 2_048
_BRACES = (b"{", b"}")
# What a value in `demanded_absent=False` must be together with, to count.
_COMBINED: frozenset[Kind] = frozenset(("name", "birthday"))
# Bytes that are searched at once: a few copies of them fit into the processor's cache.
PIECE_BYTES = 1 << 20


class View(Enum):
    """How values lie in the bytes.

    `TEXT` separates values by characters that no value contains. `BINARY` puts values next to lengths and other values, so
    that neighbours of a match may not belong to its value. `PACKED` is binary data whose values are searched unpacked, too,
    so that these explain what is not the identifier. `PAGES` are the pages of a database, which are explained by its rows.
    """

    TEXT = "text"
    BINARY = "binary"
    PACKED = "packed"
    PAGES = "pages"


@dataclass(frozen=True)
class _Known:
    """A pattern, and the number of the identifier that it finds."""

    pattern: Pattern
    number: int


class Matcher:
    """All patterns of all identifiers in one automaton: a thousand people cost hardly more than one."""

    def __init__(self, identifiers: Sequence[Identifier]) -> None:
        """Build the automaton.

        Args:
            identifiers: what to search for.
        """
        self.identifiers = tuple(identifiers)
        by_content: dict[bytes, list[_Known]] = {}
        for number, identifier in enumerate(self.identifiers):
            for pattern in patterns(identifier):
                by_content.setdefault(pattern.content, []).append(_Known(pattern, number))
        self._known = list(by_content.values())
        # The deterministic automaton is twice as fast as the others, in tens of megabytes for a thousand people.
        self._automaton = (
            ahocorasick_rs.BytesAhoCorasick(list(by_content), implementation=ahocorasick_rs.Implementation.DFA)
            if by_content
            else None
        )
        self.margin = max((len(content) for content in by_content), default=0) + _MARGIN

    def find(self, text: bytes) -> Iterator[tuple[_Known, int, int]]:
        """Yield all matches in a lower-case text, with start and end; those of different patterns may overlap."""
        if self._automaton is not None:
            for number, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
                for known in self._known[number]:
                    yield known, start, end


@dataclass
class _Open:
    """A match in binary data with neighbours that may or may not belong to its value."""

    number: int
    token: bytes
    start: int
    stop: int

    def is_explained_by(self, longer: bytes) -> bool:
        """Whether a longer value is around the match. Compression may have cut off a part of it."""
        if self.token in longer:
            return True
        at = self.token.find(longer)
        while at >= 0:
            if at <= self.start and self.stop <= at + len(longer):
                return True
            at = self.token.find(longer, at + 1)
        return False


@dataclass
class Search:
    """The matches in one file.

    Attributes:
        matcher: what to search for.
        counts: number of matches by number of the identifier.
        unpacked: bytes searched, unpacked.
    """

    matcher: Matcher
    counts: Counter[int] = field(default_factory=Counter)
    unpacked: int = 0
    _longer: set[bytes] = field(default_factory=set)
    _open: list[_Open] = field(default_factory=list)

    def by_kind(self) -> Counter[Kind]:
        """Number of matches by kind of identifier."""
        # A match beside bytes that may belong to it is somebody else's if the file has the longer value in full.
        for match in self._open:
            if not any(map(match.is_explained_by, self._longer)):
                self.counts[match.number] += 1
        self._open.clear()
        kinds: Counter[Kind] = Counter()
        for number, count in self.counts.items():
            kinds[self.matcher.identifiers[number].kind] += count
        return kinds

    def add_stream(self, chunks: Iterable[bytes], view: View) -> None:
        """Search a stream of bytes, in constant memory.

        Args:
            chunks: consecutive pieces of any length.
            view: how values lie in them.
        """
        margin = self.matcher.margin
        text, begin = b"", 0
        try:
            for chunk in chunks:
                for at in range(0, len(chunk), PIECE_BYTES):
                    piece = chunk[at : at + PIECE_BYTES]
                    self.unpacked += len(piece)
                    text += piece.lower()
                    if len(text) < begin + 2 * margin:
                        continue
                    end = max(begin, before_escape(text, len(text) - margin))
                    self._add_piece(text, begin, end, view)
                    kept = max(0, end - margin)
                    text, begin = text[kept:], end - kept
        finally:
            # Also what came before a damaged place.
            self._add_piece(text, begin, len(text), view)

    def _add_piece(self, text: bytes, begin: int, end: int, view: View) -> None:
        """Count the matches that start in a part of a lower-case text."""
        hits = self._count(text, begin, end, view)
        if view is View.PACKED or not has_escapes(text):
            return
        parts = [decode_escapes(part) for part in (text[:begin], text[begin:end], text[end:])]
        decoded = b"".join(parts)
        if len(decoded) != len(text):
            first, last = len(parts[0]), len(parts[0]) + len(parts[1])
            self.counts.update(self._hits(decoded, first, last, View.TEXT) - hits)

    def _count(self, text: bytes, begin: int, end: int, view: View) -> Counter[int]:
        hits = self._hits(text, begin, end, view)
        self.counts.update(hits)
        return hits

    def _hits(self, text: bytes, begin: int, end: int, view: View) -> Counter[int]:
        hits: Counter[int] = Counter()
        shared: list[tuple[int, int, int]] = []
        # Several identifiers of a person may be spellings of one value.
        places: set[tuple[str, Kind, int]] = set()
        for known, start, stop in self.matcher.find(text):
            identifier = self.matcher.identifiers[known.number]
            if start < begin or (start >= end and identifier.demanded_absent):
                continue
            # Binary data has no records: what is next to each other may be of different people.
            if not identifier.demanded_absent and view is not View.TEXT:
                continue
            place = (identifier.subject, identifier.kind, start)
            if place in places or not self._is_hit(known, text, start, stop, view):
                continue
            places.add(place)
            if identifier.demanded_absent:
                hits[known.number] += 1
            else:
                shared.append((start, stop, known.number))
        for first, second in self._records(text, shared):
            if begin <= first[0] < end:
                hits[first[2]] += 1
                hits[second[2]] += 1
        return hits

    def _is_hit(self, known: _Known, text: bytes, start: int, stop: int, view: View) -> bool:
        """Whether a match is the identifier itself. If that can't be decided yet, it is noted."""
        pattern = known.pattern
        if pattern.encoding == "bound":
            return view is View.BINARY and any(
                (begin, end) == (start, stop) for begin, end in prefixed_values(text, start, stop, furthest=0)
            )
        if not is_longer(text, start, stop, pattern):
            return True
        # A letter next to UTF-16 is in two bytes, so that it is no length.
        if view is View.TEXT or pattern.encoding != "utf-8":
            self._note_longer(text, start, stop)
            return False
        if view is View.BINARY:
            for begin, end in prefixed_values(text, start, stop):
                if not is_longer(text[begin:end], start - begin, stop - begin, pattern):
                    return True
                self._note_longer(text[begin:end], start - begin, stop - begin)
                return False
            if continues_before(text, start, pattern):
                return False
        begin, end = token_around(text, start, stop)
        self._open.append(_Open(known.number, text[begin:end], start - begin, stop - begin))
        return False

    def _note_longer(self, text: bytes, start: int, stop: int) -> None:
        begin, end = token_around(text, start, stop)
        self._longer.add(text[begin:end])

    def _records(
        self, text: bytes, matches: list[tuple[int, int, int]]
    ) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
        """Yield pairs of values of one person in one record, of which one is the name and the other the birthday."""
        identifiers = self.matcher.identifiers
        matches = sorted(matches)
        for position, first in enumerate(matches):
            for second in matches[position + 1 :]:
                if second[0] - first[1] > _MAX_RECORD:
                    break
                one, other = identifiers[first[2]], identifiers[second[2]]
                between = text[first[1] : second[0]]
                if (
                    one.subject == other.subject
                    and {one.kind, other.kind} == _COMBINED
                    and not any(brace in between for brace in _BRACES)
                ):
                    yield first, second

    def add_values(self, content: memoryview, offsets: npt.NDArray[np.int64]) -> dict[int, list[int]]:
        """Search values that lie next to each other, each for itself.

        Args:
            content: the bytes of the values.
            offsets: where each value begins in them, and where the last one ends.

        Returns:
            Positions of the values with an identifier that counts only together with another, by the identifier's number.
        """
        places: dict[int, list[int]] = {}
        first = 0
        while first < len(offsets) - 1:
            # At least one value, however long.
            last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + PIECE_BYTES, "right")) - 1)
            begin, end = int(offsets[first]), int(offsets[last])
            text = bytes(content[begin:end]).lower()
            self.unpacked += len(text)
            bounds = (offsets[first : last + 1] - begin).tolist()
            self._add_values(text, bounds, first, places)
            first = last
        return places

    def _add_values(self, text: bytes, bounds: list[int], first: int, places: dict[int, list[int]]) -> None:
        counted: set[tuple[str, Kind, int]] = set()
        for known, start, stop in self.matcher.find(text):
            identifier = self.matcher.identifiers[known.number]
            index = bisect_right(bounds, start) - 1
            begin, end = bounds[index], bounds[index + 1]
            if stop > end or known.pattern.encoding == "bound":
                continue
            # Its surroundings are enough: values may be long.
            begin, end = max(begin, start - self.matcher.margin), min(end, stop + self.matcher.margin)
            place = (identifier.subject, identifier.kind, start)
            if place in counted or not self._is_hit(known, text[begin:end], start - begin, stop - begin, View.TEXT):
                continue
            counted.add(place)
            if identifier.demanded_absent:
                self.counts[known.number] += 1
            else:
                places.setdefault(known.number, []).append(first + index)
        if has_escapes(text):
            for begin, end in pairwise(bounds):
                value = text[begin:end]
                if has_escapes(value):
                    raw = self._hits(value, 0, len(value), View.TEXT)
                    decoded = decode_escapes(value)
                    self.counts.update(self._hits(decoded, 0, len(decoded), View.TEXT) - raw)

    def add_rows(self, places: dict[int, set[int]]) -> None:
        """Count the rows that contain a person's name and birthday in different columns.

        Args:
            places: rows by number of an identifier that counts only together with another.
        """
        identifiers = self.matcher.identifiers
        for name, rows in places.items():
            for birthday, others in places.items():
                one, other = identifiers[name], identifiers[birthday]
                if (one.kind, other.kind, one.subject) == ("name", "birthday", other.subject):
                    together = len(rows & others)
                    self.counts[name] += together
                    self.counts[birthday] += together
