"""Type the fields of single records, which `scanner` finds in landing files."""

import json
import math
import re
from typing import Any

from stedi.landing.feed import LAST_MILLISECOND, Feed, Field
from stedi.landing.files import LandingFile

Pairs = list[tuple[str, Any]]
Values = dict[str, str | int | float | None]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
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
    arrived_at = file.modified_ns // 1000
    if reason is None:
        try:
            values, extra = interpret(text, feed) if pairs is None else typed(pairs, feed)
        except InvalidRecordError as error:
            reason = str(error)
        else:
            return True, (*values.values(), extra, file.name, position, arrived_at)
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return False, (feed.name, file.name, position, raw, reason, arrived_at)


def interpret(text: str, feed: Feed) -> tuple[Values, str | None]:
    """Type the fields of one record given as JSON text; see `typed`."""
    try:
        pairs = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(_why_unreadable(error)) from None
    return typed(pairs, feed)


def _why_unreadable(error: ValueError | RecursionError) -> str:
    return "nested_too_deep" if isinstance(error, RecursionError) else "not_json"


def typed(pairs: Pairs, feed: Feed) -> tuple[Values, str | None]:
    """Type the fields of one record and gather what the schema does not know, as JSON text.

    Keys match in any case; numbers may be written as strings; null and empty mean absent.

    Raises:
        InvalidRecordError: named after the first rule that the record breaks.
    """
    if _is_too_deep(pairs):
        raise InvalidRecordError("nested_too_deep")
    fields = {field.name.lower(): field for field in feed.fields}
    values: Values = {field.name: None for field in feed.fields}
    extra: dict[str, Any] = {}
    for key, value in pairs:
        field = fields.get(key.strip().lower())
        if field is None:
            extra[key] = _plain(value)
            continue
        try:
            value = _value(field, value)
        except InvalidRecordError:
            if not field.lenient:
                raise
            extra[key] = _plain(value)
            continue
        if value is not None and values[field.name] not in (None, value):
            raise InvalidRecordError(f"{field.name}_given_twice")
        if value is not None:
            values[field.name] = value
    for field in feed.fields:
        if field.required and values[field.name] is None:
            raise InvalidRecordError(f"{field.name}_missing")
    if feed.one_of and all(values[name] is None for name in feed.one_of):
        raise InvalidRecordError(f"{feed.one_of[0]}_missing")
    extra_text = json.dumps(extra, ensure_ascii=False) if extra else None
    try:
        "".join(v for v in (*values.values(), extra_text) if isinstance(v, str)).encode()
    except UnicodeEncodeError:
        raise InvalidRecordError("not_utf8") from None
    return values, extra_text


def _value(field: Field, value: Any) -> str | int | float | None:
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
    if number != int(number) or not 0 <= number <= LAST_MILLISECOND:
        raise InvalidRecordError(f"{field.name}_not_milliseconds")
    return int(number)


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
