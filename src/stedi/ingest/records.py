"""Type the fields of single records, which `scanner` finds in landing files."""

import json
import math
import re
from functools import lru_cache
from typing import Any

from stedi.ingest.landing_file import LandingFile
from stedi.model.feed import FIRST_TIME_MS, Feed, Field, last_time_ms
from stedi.model.identity import SURROGATE, NotOneAddressError, device_of, people_in, person_of

Pairs = list[tuple[str, Any]]
Values = dict[str, str | int | float | None]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Stands for the value of a lenient field that can't be read.
_UNUSABLE = object()
# Deeper values are no data of these feeds, and reading them would need a stack as deep.
DEEPEST = 100


class InvalidRecordError(Exception):
    """The record breaks a rule that every record must keep; the message is the reason's name."""


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float | str:
    """A number, or its text where it is too large to be one here."""
    number = float(text)
    return number if math.isfinite(number) else text


class _Object(list[tuple[str, Any]]):
    """The pairs of one JSON object, in order, repeated keys included."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_float=_float, parse_constant=_no_constant)


def decode(text: str, at: int) -> tuple[Pairs, int]:
    """Read the JSON object that begins at a position: its pairs, and where it ends.

    Raises:
        ValueError: what begins there is not JSON.
        RecursionError: its values are nested too deeply for Python's reader.
    """
    return _DECODER.raw_decode(text, at)


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
    people = "\n".join(sorted(people_named(feed, text, pairs))) if feed.decides_consent else ""
    return False, (feed.name, file.name, position, raw, reason, arrived_at, people or None)


def lands(feed: Feed, file: LandingFile, pairs: Pairs) -> bool:
    """Whether a readable record of a file is valid."""
    try:
        typed(pairs, feed, last_time_ms(file.modified_ns))
    except InvalidRecordError:
        return False
    return True


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
    extra_text = json.dumps(extra, ensure_ascii=False) if extra else None
    if any(SURROGATE.search(value) for value in (*values.values(), extra_text) if isinstance(value, str)):
        raise InvalidRecordError("not_utf8")
    for identity, field in feed.identifying.items():
        values[identity] = _identity(field, values[field.name])
        if values[identity] is None and field.required:
            raise InvalidRecordError(f"{field.name}_missing")
    for field in feed.fields:
        if field.required and values[field.name] is None:
            raise InvalidRecordError(f"{field.name}_missing")
    if feed.one_of and all(values[name] is None for name in feed.one_of):
        raise InvalidRecordError(f"{feed.one_of[0]}_missing")
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


# Records spell the same few over and over; resolving each anew doubles the time of a record.
_person = lru_cache(1 << 16)(person_of)
_device = lru_cache(1 << 16)(device_of)


def _identity(field: Field, value: str | int | float | None) -> str | None:
    """Who or what a field's value identifies; None where it identifies nobody."""
    if value is None:
        return None
    assert isinstance(value, str)
    try:
        return (_person(value) if field.identifies == "person" else _device(value)) or None
    except NotOneAddressError:
        raise InvalidRecordError(f"{field.name}_not_one_address") from None


def people_named(feed: Feed, text: str, pairs: Pairs | None) -> set[str]:
    """Everybody whom a record names that can't be used, as far as that can be read.

    These are the people of the record itself, once for each time its address is given. Of a record that can't be
    parsed, or lacks the field, they are all whose addresses stand anywhere in it: too many rather than too few, for
    what it says of them is not known.
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
    if not values:
        key = rf"(?i:(?<!\w){re.escape(field.name)})[\"']?\s{{0,100}}:\s{{0,100}}"
        quoted = re.findall(rf"{key}(\"(?:[^\"\\\n]|\\.)*\")", text)
        people = {person for value in quoted for person in _people_of(_unescaped(value))} or people_in(text)
    return people


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
    for _ in range(DEEPEST):
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
