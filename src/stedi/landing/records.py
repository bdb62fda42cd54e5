"""Read records one by one from files in which the engine's fast path met something unusual.

The scanner finds the records of any layout (one a line, back to back, trailing commas, one
array, spread over lines, cut off at the end); `interpret` types their fields.
"""

import codecs
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stedi.identity import NotOneAddressError, device_of, people_in, person_of
from stedi.landing.archives import SNIFFED_BYTES, Damage, Doubt, packing_of, unpack
from stedi.landing.feed import FIRST_TIME_MS, Feed, Field, last_time_ms
from stedi.landing.files import LandingFile

Pairs = list[tuple[str, Any]]
Values = dict[str, str | int | float | None]

_CHUNK_BYTES = 1 << 20
# Enough for a first record, of whatever feed.
_FIRST_CHUNK_BYTES = 1 << 12
# No record of these feeds comes near this; a broken one is given up after as much text.
_LONGEST_RECORD = 1 << 20
# Of text that is lost to a damaged archive, as much is kept as the longest record that the engine reads has.
_MOST_TEXT_OF_DAMAGE = 1 << 20
_BETWEEN_RECORDS = re.compile(r"[\s,\[\]\ufeff]*")
_BEFORE_AN_OBJECT = re.compile(r"[\n}][\s,\[\]]*(?=\{)")
_END_OF_GARBAGE = re.compile(r"\n|[^\s,:\[][ \t,]*(?=\{)")
_LINE_WITH_A_RECORD = re.compile(r"\n(?=[,\[]*\{)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Python says in which line of the text it failed, and counts lines from the text's start: behind so much of it,
# what was read is taken off, or 80,000 broken lines would take half a minute.
_MOST_BEHIND = 1 << 14
# Stands for the value of a lenient field that can't be read.
_UNUSABLE = object()
# Deeper values are no data of these feeds, and reading them would need a stack as deep.
_DEEPEST = 100


class InvalidRecordError(Exception):
    """The record breaks a rule that every record must keep; the message is the reason's name."""


@dataclass(frozen=True)
class Found:
    """One record as it stands in the text: its pairs, or why it is none."""

    text: str
    pairs: Pairs | None = None
    reason: str | None = None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float | str:
    """A number, or its text where it is too large to be one here."""
    number = float(text)
    return number if math.isfinite(number) else text


class _Object(list[tuple[str, Any]]):
    """The pairs of one JSON object, in order, repeated keys included."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_float=_float, parse_constant=_no_constant)


def read_records(
    path: Path,
    *,
    name: str = "",
    chunk_bytes: int = _CHUNK_BYTES,
    is_valid: Callable[[Pairs], bool] = lambda pairs: True,
) -> Iterator[Found]:
    """All records of one file, readable or not, in constant memory; the file is read in chunks.

    Each damaged place of a packed file is one unreadable record, together with the text cut off
    before and behind it. In a member that fails its checks, everything from the first record on that
    is unreadable or not `is_valid` belongs to the damaged place. `name` is the file's own name where
    `path` is a copy.
    """
    with path.open("rb") as raw:
        head = raw.read(SNIFFED_BYTES)
        raw.seek(0)
        packing = packing_of(head, name or path.name)
        text = _Text(unpack(raw, packing) if packing else _chunks(raw, chunk_bytes), chunk_bytes)
        yield from _records(text, is_valid)


def _records(text: "_Text", is_valid: Callable[[Pairs], bool]) -> Iterator[Found]:
    gap, before, behind = None, _Excerpt(), _Excerpt()
    while True:
        last: Found | None = None
        untrusted = _Excerpt()
        for found in _scan(text):
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
    """The beginning of a long text, and how many characters follow."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room, self._more = _MOST_TEXT_OF_DAMAGE, 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __str__(self) -> str:
        return "".join(self._parts) + (f"… {self._more:,} more characters " if self._more else "")

    def add(self, text: str) -> None:
        if self._room:
            self._parts.append(text[: self._room])
        self._more += max(0, len(text) - self._room)
        self._room = max(0, self._room - len(text))


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
    """Text of a file in chunks, up to a gap of its content or the end of a doubtful member.

    Bytes that are no UTF-8 come as lone surrogates.
    """

    def __init__(self, pieces: Iterable[bytes | Doubt | Damage], chunk_bytes: int) -> None:
        self._pieces, self._chunk_bytes = iter(pieces), chunk_bytes
        self._damages: list[Damage] = []
        self._start_part()

    def _start_part(self) -> None:
        self.skipped, self._ahead = "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._piece, self._at = b"", 0
        self._has_ended = False
        self.gap: Damage | None = None
        # Whether text of a member that fails its checks was read.
        self.is_doubtful = False

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
            elif isinstance(piece, Doubt):
                self.is_doubtful = True
            elif piece is not None and not piece.has_gap and not self.is_doubtful:
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
        pairs, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        end = _end_of_unreadable(text, at, _beginning(text, at, line))
        return Found(text[at:end].rstrip().rstrip(","), reason=_why_unreadable(error)), end
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


def row_of(
    feed: Feed, file: LandingFile, position: int, text: str, pairs: Pairs | None, reason: str | None
) -> tuple[bool, tuple[object, ...]]:
    """Type one record of a file: whether it lands or is quarantined, and its row of either table.

    Without pairs the text is read first; what has a reason is quarantined for it. Moments are
    microseconds since the epoch.
    """
    arrived_at, last_ms = file.modified_ns // 1000, last_time_ms(file.modified_ns)
    if reason is None:
        try:
            values, extra = interpret(text, feed, last_ms) if pairs is None else typed(pairs, feed, last_ms)
        except InvalidRecordError as error:
            reason = str(error)
        else:
            return True, (*values.values(), extra, file.name, position, arrived_at)
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    named = people_named(feed, text, pairs) if feed.decides_consent else set()
    # An address that is no UTF-8 is not legible: no record of anybody lands under it.
    people = "\n".join(sorted(person for person in named if _is_utf8(person)))
    return False, (feed.name, file.name, position, raw, reason, arrived_at, people or None)


def _is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogates, which stand for bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def lands(feed: Feed, file: LandingFile, pairs: Pairs) -> bool:
    """Whether a readable record of a file is valid."""
    return row_of(feed, file, 0, "", pairs, None)[0]


def interpret(text: str, feed: Feed, last_ms: int) -> tuple[Values, str | None]:
    """Type the fields of one record given as JSON text; see `typed`."""
    try:
        pairs = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(_why_unreadable(error)) from None
    return typed(pairs, feed, last_ms)


def _why_unreadable(error: ValueError | RecursionError) -> str:
    return "nested_too_deep" if isinstance(error, RecursionError) else "not_json"


def typed(pairs: Pairs, feed: Feed, last_ms: int) -> tuple[Values, str | None]:
    """Type the fields of one record and gather what the schema does not know, as JSON text.

    Keys match in any case; numbers may be written as strings; null and empty mean absent. No time may be later than
    `last_ms` (ms since the epoch, UTC).

    Raises:
        InvalidRecordError: named after the first rule that the record breaks.
    """
    if _is_too_deep(pairs):
        raise InvalidRecordError("nested_too_deep")
    fields = {field.name.lower(): field for field in feed.fields}
    values: Values = {field.name: None for field in feed.fields}
    given: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in pairs:
        field = fields.get(key.strip().lower())
        if field is None:
            extra[key] = _plain(value)
            continue
        try:
            read: Any = _value(field, value, last_ms)
            values[field.name] = read
        except InvalidRecordError:
            if not field.lenient:
                raise
            extra[key] = _plain(value)
            read = _UNUSABLE
        if given.setdefault(field.name, read) != read:
            # Also null and a value: which of them holds can't be told.
            raise InvalidRecordError(f"{field.name}_given_twice")
    for identity, field in feed.identifying.items():
        values[identity] = _identity(field, values[field.name])
        if values[identity] is None and field.required:
            raise InvalidRecordError(f"{field.name}_missing")
    for field in feed.fields:
        if field.required and values[field.name] is None:
            raise InvalidRecordError(f"{field.name}_missing")
    if feed.one_of and all(values[name] is None for name in feed.one_of):
        raise InvalidRecordError(f"{feed.one_of[0]}_missing")
    extra_text = json.dumps(extra, ensure_ascii=False) if extra else None
    if not _is_utf8("".join(v for v in (*values.values(), extra_text) if isinstance(v, str))):
        raise InvalidRecordError("not_utf8")
    return values, extra_text


def _value(field: Field, value: Any, last_ms: int) -> str | int | float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if field.kind == "text":
        if isinstance(value, list):
            raise InvalidRecordError(f"{field.name}_not_text")
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecordError(f"{field.name}_not_a_number")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidRecordError(f"{field.name}_not_finite") from None
    if not math.isfinite(number):
        raise InvalidRecordError(f"{field.name}_not_finite")
    if field.kind == "number":
        return number
    if wrong := _why_no_time(number, last_ms):
        raise InvalidRecordError(f"{field.name}_{wrong}")
    return int(number)


def _why_no_time(number: float, last_ms: int) -> str | None:
    """What is wrong with a time; None for a whole number of milliseconds that lies in the span of times."""

    def is_in_span(ms: float) -> bool:
        return FIRST_TIME_MS <= ms <= last_ms

    if is_in_span(number):
        return None if number.is_integer() else "not_milliseconds"
    for unit, ms in (("seconds", number * 1e3), ("microseconds", number / 1e3), ("nanoseconds", number / 1e6)):
        if is_in_span(ms):
            return f"perhaps_in_{unit}"
    if not number.is_integer():
        return "not_milliseconds"
    return "before_2000" if number < FIRST_TIME_MS else "after_arrival"


def _identity(field: Field, value: str | int | float | None) -> str | None:
    """Who or what a field's value identifies; None where it identifies nobody."""
    if value is None:
        return None
    assert isinstance(value, str)
    try:
        return (person_of(value) if field.identifies == "person" else device_of(value)) or None
    except NotOneAddressError:
        raise InvalidRecordError(f"{field.name}_not_one_address") from None


def people_named(feed: Feed, text: str, pairs: Pairs | None) -> set[str]:
    """Everybody whom a record names that can't be used, as far as that can be read.

    These are the people of the record itself, once for each time its address is given. Of a record that can't be
    read, or that has no address of its own, they are all whose addresses stand anywhere in it: too many rather than
    too few, for what it says of them is not known.
    """
    field = feed.identifying["person"]
    if pairs is None:
        try:
            pairs = _DECODER.decode(text)
        except (ValueError, RecursionError):
            pairs = []
    if not isinstance(pairs, _Object):
        pairs = []
    values = [value for key, value in pairs if key.strip().lower() == field.name.lower()]
    people = {person for value in values for person in _people_of(value)}
    if not people:
        key = rf"(?i:(?<!\w){re.escape(field.name)})[\"']?\s{{0,100}}:\s{{0,100}}"
        quoted = re.findall(rf"{key}(\"(?:[^\"\\\n]|\\.)*\")", text)
        people = {person for value in quoted for person in _people_of(_unescaped(value))}
    return people or people_in(text)


def _people_of(value: Any) -> set[str]:
    if not isinstance(value, str):
        return people_in(json.dumps(_plain(value), ensure_ascii=False))
    try:
        return {person_of(value)} - {""}
    except NotOneAddressError:
        return people_in(value)


def _unescaped(quoted: str) -> str:
    try:
        text = json.loads(quoted, strict=False)
    except ValueError:
        text = quoted[1:-1]
    return str(text)


def _is_too_deep(pairs: Pairs) -> bool:
    """Whether values are nested deeper than records ever are, found without a stack as deep."""
    values: list[Any] = [value for _, value in pairs]
    for _ in range(_DEEPEST):
        values = [inner for value in values if isinstance(value, list) for inner in _parts(value)]
        if not values:
            return False
    return True


def _parts(value: list[Any]) -> list[Any]:
    return [inner for _, inner in value] if isinstance(value, _Object) else value


def _plain(value: Any) -> Any:
    """Pairs back to plain JSON values; of a repeated key the last value counts, as in most readers."""
    if isinstance(value, _Object):
        return {key: _plain(inner) for key, inner in value}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
