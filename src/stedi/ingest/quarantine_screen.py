"""Find quarantined records about erased people, and about people whose records retention removed.

Such a record can't be parsed, or a value in it is invalid. So everything in its text that may be an identity is looked up.
"""

import json
import re
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache

from stedi.ingest.suppression import Refusal, SuppressionList
from stedi.model.feed import FIRST_TIME_MS
from stedi.model.identity import SURROGATE, device_of, identity_of, people_in

# An unreadable record may break anywhere, also inside quotes or in JSON inside a string.
_SEPARATOR = re.compile(r"[\s\"',:;=\\{}\[\]()<>]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
# Milliseconds since the epoch have 12 or 13 digits from `FIRST_TIME_MS` to the year 2286.
_TIME = re.compile(r"(?<![\d.])\d{12,13}(?!\d)")
# Serial numbers and addresses are shorter (see `identity.people_in`).
_MAX_IDENTITY = 2_000
# Keys and common values repeat from record to record. 100,000 digests take 20 MB.
_CACHED = 100_000
_NEVER = -1


@dataclass(frozen=True)
class Screening:
    """What to do with a quarantined record.

    Attributes:
        is_stopped: whether it is about such a person, so that its text must not be stored.
        others: other people named in it, whose consent it may put on hold.
        refused: the addresses and serial numbers in it that stop it.
    """

    is_stopped: bool
    others: tuple[str, ...] = ()
    refused: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class MarkedIdentities:
    """Which identities in some quarantined records have retention marks, and until when their records are refused.

    Attributes:
        people: time by normalised address. Records in files up to this time are refused (ms since the epoch, UTC).
        devices: the same by normalised serial number.
    """

    people: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)


class QuarantineScreen:
    """Screens the quarantined records of one run."""

    def __init__(self, suppression: SuppressionList) -> None:
        """Prepare the screen.

        Args:
            suppression: the suppression list, with a key. Its retention marks are given record by record.
        """
        self._people = suppression.refusals
        self._devices: dict[str, list[Refusal]] = {}
        for stone in suppression.tombstones:
            for device in stone.devices:
                self._devices.setdefault(device.device, []).append(self._people[stone.subject])
        self._person_digest = lru_cache(_CACHED)(suppression.person_digest)
        self._device_digest = lru_cache(_CACHED)(suppression.device_digest)

    def screen(
        self,
        text: str,
        people: tuple[str, ...],
        arrived_at_ms: int,
        *,
        identities: Collection[str] | None = None,
        marked: MarkedIdentities = MarkedIdentities(),
    ) -> Screening:
        """Decide about one record.

        Args:
            text: its text.
            people: the people whose consent it puts on hold, as normalised addresses.
            arrived_at_ms: modification time of its file (ms since the epoch, UTC).
            identities: `possible_identities` of the text, if they are known.
            marked: retention marks. The record's times are not trusted, so its arrival decides.
        """
        first_ms = min((time for time in map(int, _TIME.findall(text)) if time >= FIRST_TIME_MS), default=None)

        def refuses(refusal: Refusal | None) -> bool:
            if refusal is None:
                return False
            if refusal.until_ms is None or refusal.lifted_at_ms is None or arrived_at_ms <= refusal.lifted_at_ms:
                return True
            return first_ms is not None and first_ms <= refusal.until_ms

        def is_refused(person: str) -> bool:
            if arrived_at_ms <= marked.people.get(person, _NEVER):
                return True
            return bool(self._people) and refuses(self._people.get(self._person_digest(person)))

        def is_refused_device(serial: str) -> bool:
            if arrived_at_ms <= marked.devices.get(serial, _NEVER):
                return True
            return bool(self._devices) and any(map(refuses, self._devices.get(self._device_digest(serial), ())))

        others = tuple(person for person in people if not is_refused(person))
        if identities is None:
            identities = possible_identities(text)
        refused = tuple(filter(is_refused, {*people, *identities}))
        # Records of other people may contain a serial number of theirs: the fulfilment system reuses some.
        if not refused and not others:
            refused = tuple(filter(is_refused_device, identities))
        return Screening(True, others, refused) if refused else Screening(False)


def names_one_of(identities: Set[str], text: str) -> bool:
    """Whether the text of a record contains one of some normalised addresses and serial numbers.

    Most records are JSON objects with the identity as a value. That takes a twelfth of the time of the search.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    values = record.values() if isinstance(record, dict) else ()
    found = (_identities_of(value) for value in values if isinstance(value, str) and _is_searchable(value))
    return any(not identities.isdisjoint(one) for one in found) or not identities.isdisjoint(possible_identities(text))


def _is_searchable(value: str) -> bool:
    return len(value) <= _MAX_IDENTITY and not SURROGATE.search(value)


def possible_identities(text: str) -> set[str]:
    """Find everything in a text that may be an address or a serial number; normalised."""
    unescaped = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    quoted = set(map(_unquoted, _QUOTED.findall(text)))
    identities = people_in(text).union(*map(people_in, {unescaped, *quoted}))
    for value in {*quoted, *_SEPARATOR.split(unescaped)}:
        if _is_searchable(value):
            identities |= _identities_of(value)
    return identities - {""}


@lru_cache(_CACHED)
def _identities_of(value: str) -> frozenset[str]:
    """A value as an address and as a serial number."""
    return frozenset({device_of(value), identity_of("person", value) or ""})


def _unquoted(text: str) -> str:
    """The value of a JSON string, given the text between its quotes; the text itself if it is not valid."""
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
