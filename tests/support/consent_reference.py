"""A slow and simple reference implementation of consent in force, from the facts of each customer file.

It shares no code with the program. Records are given as facts, not as text that has to be parsed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# What may be given where a time belongs: milliseconds since the epoch as a number or as its digits, or anything else.
Value = int | str | bool | None

FIRST_MS = 946_684_800_000  # 2000-01-01T00:00Z
GRACE_MS = 86_400_000


@dataclass(frozen=True)
class Record:
    """A customer record, as its writer knows it.

    Each field has every value that the record gives at top level, usually one. `None` is null or blank. Persons and
    devices are whatever tells them apart, the same for every spelling.

    Args:
        emails: the persons whose address is a value of `email`.
        serials: the devices whose serial number is a value of `serialNumber`.
        updated: values of `lastUpdateDate`.
        registered: values of `registrationDate`.
        shares: values of `shareWithResearchAsOfDate`.
        parses: whether the text is one JSON object.
        is_sound: whether its text is valid Unicode and its nesting is below the limit.
        inner: the persons whose address is a value of `email` in objects within the record.
        mentioned: the persons whose address is any other text of the record.
    """

    emails: Sequence[str | None] = ()
    serials: Sequence[str | None] = ()
    updated: Sequence[Value] = ()
    registered: Sequence[Value] = ()
    shares: Sequence[Value] = ()
    parses: bool = True
    is_sound: bool = True
    inner: frozenset[str] = frozenset()
    mentioned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class File:
    """A landing file: when it arrived (ms since the epoch, UTC), and its records in order."""

    arrival: int
    records: Sequence[Record]


def lands(record: Record, arrival: int) -> bool:
    """Whether a record lands. If not, it is quarantined."""
    if not record.parses or not record.is_sound:
        return False
    for values in (record.emails, record.serials, record.updated, record.registered, record.shares):
        if len(set(values)) > 1:
            return False
    moments = [value for value in (*record.updated, *record.registered) if value is not None]
    return bool(moments) and all(_time(value, arrival) is not None for value in moments)


def consenting(files: Iterable[File]) -> set[str]:
    """Return the persons whose consent is in force, from the newest version of every file."""
    files = list(files)
    persons = {person for file in files for record in file.records for person in record.emails if person is not None}
    return {person for person in persons if _newest_word_is_consent(person, files) and not _is_on_hold(person, files)}


def on_hold(files: Iterable[File]) -> set[str]:
    """Return the persons on hold: an unusable record of theirs arrived, and no usable one in a later file."""
    files = list(files)
    persons = {person for file in files for record in file.records for person in _legible(record)}
    return {person for person in persons if _is_on_hold(person, files)}


def record_counts(files: Mapping[str, File]) -> dict[str, int]:
    """Return the number of records of each file, landed or quarantined."""
    return {name: len(file.records) for name, file in files.items() if file.records}


def _newest_word_is_consent(person: str, files: Sequence[File]) -> bool:
    words = []
    for file in files:
        for record in file.records:
            if lands(record, file.arrival) and person in record.emails:
                shares = any(_time(value, file.arrival) is not None for value in record.shares)
                words.append((_moment(record, file.arrival), shares))
    if not words:
        return False
    newest = max(moment for moment, _ in words)
    return all(shares for moment, shares in words if moment == newest)


def _moment(record: Record, arrival: int) -> int:
    for values in (record.updated, record.registered):
        for value in values:
            moment = _time(value, arrival)
            if moment is not None:
                return moment
    raise AssertionError("a record without a time does not land")


def _is_on_hold(person: str, files: Sequence[File]) -> bool:
    unusable, usable = [], []
    for file in files:
        for record in file.records:
            if lands(record, file.arrival):
                if person in record.emails:
                    usable.append(file.arrival)
            elif person in _legible(record):
                unusable.append(file.arrival)
    return bool(unusable) and not any(arrival > max(unusable) for arrival in usable)


def _legible(record: Record) -> set[str]:
    """Return the persons in an unusable record."""
    named = {person for person in record.emails if person is not None}
    if record.parses and record.emails:
        return named
    return named | record.inner or set(record.mentioned)


def _time(value: Value, arrival: int) -> int | None:
    """Return a value in ms since the epoch, or None if it is not a valid time."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if FIRST_MS <= value <= arrival + GRACE_MS else None
