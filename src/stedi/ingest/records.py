"""Type records one by one: from JSON text to a row of the landing table or of quarantine."""

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stedi.ingest.landing_file import LandingFile
from stedi.model.feed import FIRST_TIME_MS, Feed, Field, last_time_ms
from stedi.model.identity import SURROGATE, NotOneAddressError, device_of, people_in, person_of

Pairs = list[tuple[str, Any]]
Values = dict[str, str | int | float | None]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Stands for the value of a lenient field that can't be converted.
_UNUSABLE = object()
# No record of these feeds is nested deeper. Python's JSON decoder is recursive.
MAX_DEPTH = 100


class InvalidRecordError(Exception):
    """The record is not valid for its feed. The message is the reason for quarantine."""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parse_float(text: str) -> float | str:
    """Parse a number; one that is too large for a float stays text."""
    number = float(text)
    return number if math.isfinite(number) else text


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, in order, with repeated keys."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_float=_parse_float, parse_constant=_refuse_constant)


def decode(text: str, at: int) -> tuple[Pairs, int]:
    """Decode the JSON object that begins at a position; returns its pairs and its end.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: values are nested too deeply for Python's decoder.
    """
    return _DECODER.raw_decode(text, at)


@dataclass(frozen=True)
class ScannedRecord:
    """Text of one record, with its pairs if it was decoded, or the reason why it can't be decoded.

    With neither, the text has not been decoded yet.

    `span` is the first byte of the record in the unpacked file, and the first byte after it. It is None if the record is a
    damaged place, or was read by the engine.
    """

    text: str
    pairs: Pairs | None = None
    reason: str | None = None
    span: tuple[int, int] | None = None


def to_row(feed: Feed, file: LandingFile, position: int, record: ScannedRecord) -> tuple[bool, tuple[object, ...]]:
    """Type a record.

    Args:
        feed: the record's feed.
        file: the record's file.
        position: number of the record in its file, from 1.
        record: the record.

    Returns:
        Whether the record lands, and its row of the landing table or of quarantine. `arrived_at` is in microseconds since
        the epoch, UTC.
    """
    arrived_at, last_ms, reason = file.modified_ns // 1000, last_time_ms(file.modified_ns), record.reason
    if reason is None:
        try:
            pairs = _decode_all(record.text) if record.pairs is None else record.pairs
            values, extra = type_fields(pairs, feed, last_ms)
        except InvalidRecordError as error:
            reason = str(error)
        else:
            return True, (*values.values(), extra, file.name, position, arrived_at)
    raw = record.text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    people = "\n".join(sorted(find_people(feed, record))) if feed.decides_consent else ""
    return False, (feed.name, file.name, position, raw, reason, arrived_at, people or None)


def is_valid_record(feed: Feed, file: LandingFile, pairs: Pairs) -> bool:
    """Whether a decoded record of a file is valid for its feed."""
    try:
        type_fields(pairs, feed, last_time_ms(file.modified_ns))
    except InvalidRecordError:
        return False
    return True


def _decode_all(text: str) -> Pairs:
    try:
        pairs: Pairs = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(_why_unreadable(error)) from None
    return pairs


def _why_unreadable(error: ValueError | RecursionError) -> str:
    return "nested_too_deep" if isinstance(error, RecursionError) else "not_json"


def type_fields(pairs: Pairs, feed: Feed, last_ms: int) -> tuple[Values, str | None]:
    """Type the fields of one record.

    Keys match in any case. Numbers may be written as strings. Null and empty values mean absent.

    Args:
        pairs: the record's keys and values.
        feed: the record's feed.
        last_ms: the latest valid time (ms since the epoch, UTC).

    Returns:
        The values by column: fields, then identities. And the unknown keys with their values, as JSON text.

    Raises:
        InvalidRecordError: the record is not valid. The message is the first reason.
    """
    if _is_too_deep(pairs):
        raise InvalidRecordError("nested_too_deep")
    fields = {field.name.lower(): field for field in feed.fields}
    values: Values = {field.name: None for field in feed.fields}
    first_values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in pairs:
        field = fields.get(key.strip().lower())
        if field is None:
            extra[key] = _to_plain_json(value)
            continue
        try:
            converted: Any = _convert(field, value, last_ms)
            values[field.name] = converted
        except InvalidRecordError:
            if not field.lenient:
                raise
            extra[key] = _to_plain_json(value)
            converted = _UNUSABLE
        if first_values.setdefault(field.name, converted) != converted:
            # Null and a value contradict each other, too.
            raise InvalidRecordError(f"{field.name}_given_twice")
    extra_text = json.dumps(extra, ensure_ascii=False) if extra else None
    if any(SURROGATE.search(value) for value in (*values.values(), extra_text) if isinstance(value, str)):
        raise InvalidRecordError("not_utf8")
    for identity, field in feed.identifying.items():
        values[identity] = _identify(field, values[field.name])
        if values[identity] is None and field.required:
            raise InvalidRecordError(f"{field.name}_missing")
    for field in feed.fields:
        if field.required and values[field.name] is None:
            raise InvalidRecordError(f"{field.name}_missing")
    if feed.one_of and all(values[name] is None for name in feed.one_of):
        raise InvalidRecordError(f"{feed.one_of[0]}_missing")
    return values, extra_text


def _convert(field: Field, value: Any, last_ms: int) -> str | int | float | None:
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
    if error := _why_no_time(number, last_ms):
        raise InvalidRecordError(f"{field.name}_{error}")
    return int(number)


def _why_no_time(number: float, last_ms: int) -> str | None:
    """Return what is wrong with a time (ms); None for a whole number from `FIRST_TIME_MS` to `last_ms`."""

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


# Few spellings repeat in many records. Without the caches, a record takes 1.6 times as long (`bench/bad_files.py`).
_person_of = lru_cache(1 << 16)(person_of)
_device_of = lru_cache(1 << 16)(device_of)


def _identify(field: Field, value: str | int | float | None) -> str | None:
    """Normalise the address or serial number in a field; None if it is blank."""
    if value is None:
        return None
    assert isinstance(value, str)
    try:
        return (_person_of(value) if field.identifies == "person" else _device_of(value)) or None
    except NotOneAddressError:
        raise InvalidRecordError(f"{field.name}_not_one_address") from None


def find_people(feed: Feed, record: ScannedRecord) -> set[str]:
    """Find the people whom a quarantined record is about, to put their consent on hold.

    These are the people in the record's own address field. If the record can't be decoded or lacks the field, all addresses
    in its text count: nobody knows whom it is about, so too many are safer than too few.
    """
    field, text, pairs = feed.identifying["person"], record.text, record.pairs
    if pairs is None:
        try:
            pairs = _DECODER.decode(text)
        except (ValueError, RecursionError):
            pairs = []
    if not isinstance(pairs, _Object):
        pairs = []
    values = [value for key, value in pairs if key.strip().lower() == field.name.lower()]
    people = {person for value in values for person in _people_in_value(value)}
    if not values:
        key = rf"(?i:(?<!\w){re.escape(field.name)})[\"']?\s{{0,100}}:\s{{0,100}}"
        quoted = re.findall(rf"{key}(\"(?:[^\"\\\n]|\\.)*\")", text)
        people = {person for value in quoted for person in _people_in_value(_unescape(value))} or people_in(text)
    return people


def _people_in_value(value: Any) -> set[str]:
    if not isinstance(value, str):
        return people_in(json.dumps(_to_plain_json(value), ensure_ascii=False))
    try:
        return {person_of(value)} - {""}
    except NotOneAddressError:
        return people_in(value)


def _unescape(quoted: str) -> str:
    try:
        text = json.loads(quoted, strict=False)
    except ValueError:
        text = quoted[1:-1]
    return str(text)


def _is_too_deep(pairs: Pairs) -> bool:
    """Whether values are nested deeper than `MAX_DEPTH`, without recursion."""
    values: list[Any] = [value for _, value in pairs]
    for _ in range(MAX_DEPTH):
        values = [inner for value in values if isinstance(value, list) for inner in _inner_values(value)]
        if not values:
            return False
    return True


def _inner_values(value: list[Any]) -> list[Any]:
    return [inner for _, inner in value] if isinstance(value, _Object) else value


def _to_plain_json(value: Any) -> Any:
    """Convert pairs to plain JSON values. The last value of a repeated key counts, as in most JSON readers."""
    if isinstance(value, _Object):
        return {key: _to_plain_json(inner) for key, inner in value}
    if isinstance(value, list):
        return [_to_plain_json(inner) for inner in value]
    return value
