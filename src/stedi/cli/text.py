"""Numbers, sizes, times and identifiers as text for people."""

import re
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# Columns that contain times in ms since the epoch, also inside an expression such as max("timeStamp").
_TIME_NAME = re.compile(r"(_ms|timeStamp|sensorReadingTime|[a-z]Date)\b")
# The years 1980 to 2100. Other integers of such columns are offsets and durations.
_TIMES_MS = range(315_532_800_000, 4_102_444_800_000)
_IDENTIFIER = re.compile(r"[0-9a-fA-F]{17,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IDENTIFIER_WIDTH = 16
# Control characters, which move the cursor or change colours.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def value_text(name: str, value: object, *, short: bool = False) -> str:
    """Return a column's value as text: numbers with separators, times in ms followed by the date.

    Args:
        name: the column's name; names such as `timeStamp` and `from_ms` mark times.
        value: the value; None gives an empty text.
        short: cut identifiers longer than 16 characters.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}  {utc_text(value)}" if is_time(name, value) else f"{value:,}"
    if isinstance(value, float):
        return f"{value:,}"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    text = str(value)
    if short and _IDENTIFIER.fullmatch(text):
        return f"{text[: _IDENTIFIER_WIDTH - 1]}…"
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def is_time(name: str, value: object) -> bool:
    """Whether a value is a time in ms since the epoch, by its column's name and its size."""
    return isinstance(value, int) and value in _TIMES_MS and _TIME_NAME.search(name) is not None


def utc_text(at: int | datetime | str | None) -> str:
    """Return a time in UTC, to the minute; an empty text for None.

    Args:
        at: ms since the epoch, a datetime with a zone, or ISO 8601 with a zone. Other texts are returned unchanged.
    """
    if at is None:
        return ""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return str(at)
    if isinstance(at, int):
        at = datetime.fromtimestamp(at / 1000, UTC)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size(number: float) -> str:
    """Return a number of bytes with its decimal unit, such as 3.4 GB."""
    for unit in _UNITS:
        if number < 999.95 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:,.0f} B" if unit == "B" else f"{number:,.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a duration, such as 2.4 s, 3 min 20 s or 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
