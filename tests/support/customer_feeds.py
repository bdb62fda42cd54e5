"""Hypothesis strategies of customer feeds with every defect that affects consent, and the facts of each record."""

import gzip
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from tests.support import consent_reference as reference
from tests.support.lake import T0, put

DAY_MS = 86_400_000
START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z: the first file of customers arrives, and one each second at most

# All spellings of each person's address.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "ann": (
        "ann@x.org",
        "ANN@X.ORG",
        " ann@x.org\t",
        "Ann <ANN@x.org>",
        '"Ann B." <ann@x.org>',
        "mailto:ann@x.org",
        "ａｎｎ＠ｘ．ｏｒｇ",
        "a\u200bn\u200dn@x\u2060.org",
        "\ufeffann@x.org",
    ),
    # Local parts that differ are different people.
    "ann+1": ("ann+1@x.org", "Ann+1@X.org", "mailto:ANN+1@x.org", "Ann <ann+1@x.org>", "\u200cann+1@x.org "),
    "rené": ("ren\u00e9@x.org", "rene\u0301@x.org", "REN\u00c9@X.ORG", "René <RENE\u0301@x.org>"),
    "strauß": ("strauß@x.org", "strauss@x.org", "STRAUSS@X.ORG", "Strauẞ@x.org"),
    "bo": ("bo@bücher.example", "bo@bu\u0308cher.example", "BO@BÜCHER.EXAMPLE", "bo@xn--bcher-kva.example"),
}
PERSON_OF: Mapping[str, str] = {spelling: person for person, spellings in SPELLINGS.items() for spelling in spellings}
PEOPLE = tuple(SPELLINGS)

ABSENT = object()
# Half of a surrogate pair, which JSON can escape and UTF-8 can't encode.
HALF_PAIR = "C\ud83d"
# Byte 0xff, which is no UTF-8, as `surrogateescape` decodes it.
BAD_BYTE = "C\udcff"
# Python's own reader manages this depth, the limit of the landing reader is far below it.
TOO_DEEP = json.loads("[" * 200 + "]" * 200)

# As many entries, of 150 bytes each, are longer than 1 MiB, in which files may be read.
_LONG = 8_000

AuditLayout = Literal["compact", "indented", "one a line"]


@dataclass(frozen=True)
class Audit:
    """A list of older records within a record, all of which consent.

    Args:
        emails: the addresses, as spelled.
        count: how many entries there are, one of each address at least.
        is_torn: whether the text ends within one more entry, after its address.
    """

    emails: tuple[str, ...]
    count: int
    layout: AuditLayout
    is_torn: bool = False

    def text(self, *, is_ascii: bool) -> str:
        indent = 4 if self.layout == "indented" else None
        entries = [json.dumps(self._entry(email), ensure_ascii=is_ascii, indent=indent) for email in self.emails]
        entries = [entries[number % len(entries)] for number in range(max(self.count, len(entries)))]
        if self.is_torn:
            entries.append(entries[0].partition(",")[0] + ', "lastUpd')
        between, begin, end = (", ", "", "") if self.layout == "compact" else (",\n", "\n", "\n")
        return f"[{begin}{between.join(entries)}{'' if self.is_torn else end + ']'}"

    def _entry(self, email: str) -> dict[str, Any]:
        # Newer than any record: taken for one, it would decide.
        times = {"lastUpdateDate": START_MS, "shareWithResearchAsOfDate": T0, "registrationDate": T0}
        return {"email": email, "serialNumber": serial_of(PERSON_OF[email]), **times}


@dataclass(frozen=True)
class CustomerRecord:
    """A customer record as it is written: keys with values in order, repeated keys included.

    Args:
        pairs: keys and values; a value is plain JSON or an `Audit`.
        end: the text behind the last pair, `}` where the record is whole.
        is_ascii: whether other characters are escaped.
    """

    pairs: tuple[tuple[str, Any], ...]
    end: str = "}"
    is_ascii: bool = True

    def text(self, *, is_pretty: bool = False) -> str:
        """Return the record's text. Bytes that are not UTF-8 are decoded with `surrogateescape`."""
        begin, between = ("\n  ", ",\n  ") if is_pretty else ("", ", ")
        pairs = between.join(f"{json.dumps(key)}: {self._value_text(value)}" for key, value in self.pairs)
        return "{" + begin + pairs + self.end

    def _value_text(self, value: Any) -> str:
        if isinstance(value, Audit):
            return value.text(is_ascii=self.is_ascii)
        return json.dumps(value, ensure_ascii=value != BAD_BYTE and (self.is_ascii or value == HALF_PAIR))

    @property
    def is_torn(self) -> bool:
        return not self.end.endswith("}")

    @property
    def facts(self) -> reference.Record:
        """The facts of the record."""
        # A number that is not equal to itself is NaN.
        parses = self.end == "}" and all(value == value for _, value in self.pairs)
        return reference.Record(
            emails=[PERSON_OF.get(value) for value in self._values("email")],
            serials=[value and value.strip().lower() for value in self._values("serialNumber")],
            updated=[value or None for value in self._values("lastUpdateDate")],
            registered=[value or None for value in self._values("registrationDate")],
            shares=self._values("shareWithResearchAsOfDate"),
            parses=parses,
            is_sound=not any(value in (HALF_PAIR, BAD_BYTE, TOO_DEEP) for _, value in self.pairs),
            inner=frozenset(PERSON_OF[email] for _, value in self.pairs for email in _inner_emails(value)),
            mentioned=frozenset(PERSON_OF[value] for value in self._values("contact")),
        )

    def _values(self, key: str) -> list[Any]:
        return [value for spelled, value in self.pairs if spelled.lower() == key.lower()]


def _inner_emails(value: Any) -> Iterable[str]:
    if isinstance(value, Audit):
        return value.emails
    return [value["email"]] if isinstance(value, dict) else []


def serial_of(person: str) -> str:
    """Return the serial number of a person's device."""
    return f"S-{PEOPLE.index(person)}"


def _often(usual: Sequence[Any], odd: Sequence[Any], times: int = 3) -> st.SearchStrategy[Any]:
    """Draw a usual value, `times` as often as an odd one."""
    return st.sampled_from((usual,) * times + (odd,)).flatmap(st.sampled_from)


MOMENTS = tuple(T0 + day * DAY_MS for day in range(4))
# At the two ends of what a file that arrives at START_MS + 2 s or later may give; before, the end is too late.
EDGES = (reference.FIRST_MS, reference.FIRST_MS - 1, START_MS + DAY_MS + 2_000, START_MS + DAY_MS + 2_001)
IN_SECONDS, IN_MICROSECONDS, IN_2099, IN_9999 = T0 // 1_000, T0 * 1_000, 4_070_908_800_000, 253_370_764_800_000
NO_TIMES = ("yesterday", IN_SECONDS, IN_MICROSECONDS, IN_2099, IN_9999)

UPDATED = _often(MOMENTS, (ABSENT, ABSENT, None, "", str(MOMENTS[1]), *NO_TIMES, *EDGES))
REGISTERED = _often((MOMENTS[0], MOMENTS[1], ABSENT), (None, MOMENTS[3], 1, *NO_TIMES, *EDGES), times=7)
NO_SHARES = (ABSENT, None, 0, -1, "0", IN_2099, "2022-01-01", "2022-01-01T00:00:00Z", IN_SECONDS, True, *EDGES[1::2])
SHARES = _often((T0, MOMENTS[2], MOMENTS[3], str(T0), *EDGES[0::2]), NO_SHARES, times=2)
KEY_CASES: Sequence[Callable[[str], str]] = (str, str, str.lower, str.upper)
# Pairs of values of one key that contradict each other.
CONTRADICTING_SHARES = ((None, T0), (T0, MOMENTS[2]), ("soon", T0), (T0, 0))


def _spellings(people: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(people).flatmap(lambda person: st.sampled_from(SPELLINGS[person]))


def _audits(people: Sequence[str]) -> st.SearchStrategy[Audit]:
    emails = st.lists(_spellings(people), min_size=1, max_size=3).map(tuple)
    return st.builds(Audit, emails, st.sampled_from((1,) * 6 + (40, _LONG)), st.sampled_from(get_args(AuditLayout)))


@st.composite
def customer_records(draw: st.DrawFn, people: Sequence[str]) -> tuple[CustomerRecord, CustomerRecord]:
    """Draw a record of one of some people. Return it, and the record that its writer would repair it to."""
    spellings = _spellings(people)
    serials = [spelled for person in people for spelled in (serial_of(person), f" {serial_of(person).lower()} ")]
    email = draw(_often(("spelled",), (ABSENT, None, " "), times=7))
    values = {
        "email": draw(spellings) if email == "spelled" else email,
        "customerName": "C",
        "serialNumber": draw(st.sampled_from(serials)),
        "lastUpdateDate": draw(st.sampled_from(MOMENTS)),
        "registrationDate": draw(st.sampled_from((MOMENTS[0], MOMENTS[1], ABSENT))),
        "shareWithResearchAsOfDate": draw(SHARES),
    }
    # An address in another field names somebody only where no field `email` does.
    extra = draw(_often(("",), ("contact",) if email is ABSENT else ("audit", "audit", "device"), times=2))
    if extra == "audit":
        values["audit"] = draw(_audits(people))
    elif extra == "device":
        values["device"] = {"email": draw(spellings), "lastUpdateDate": START_MS, "shareWithResearchAsOfDate": T0}
    elif extra == "contact":
        values["contact"] = draw(spellings)
    is_ascii, turn = draw(st.booleans()), draw(st.integers(0, len(values)))
    spell = draw(st.sampled_from(KEY_CASES))

    def record(pairs: Sequence[tuple[str, Any]], end: str = "}") -> CustomerRecord:
        return CustomerRecord(tuple((spell(key), value) for key, value in (*pairs[turn:], *pairs[:turn])), end, is_ascii)

    repaired = record(_pairs(values))
    if draw(st.booleans()):
        return repaired, repaired
    values |= {"lastUpdateDate": draw(UPDATED), "registrationDate": draw(REGISTERED)}
    # Whether a reader takes a record with such a byte for JSON decides whether what is within it is read.
    defects = ("NaN", "comma", "half pair", "too deep", *(("bad byte",) if extra == "" else ()))
    defect = draw(_often(("",), defects, times=2))
    if defect == "NaN":
        values["score"] = float("nan")
    elif defect == "half pair":
        values["customerName"] = HALF_PAIR
    elif defect == "bad byte":
        values["customerName"] = BAD_BYTE
    elif defect == "too deep":
        values["tree"] = TOO_DEEP
    return record(_twice(draw, _pairs(values), people), ",}" if defect == "comma" else "}"), repaired


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in values.items() if value is not ABSENT]


def _twice(draw: st.DrawFn, pairs: list[tuple[str, Any]], people: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the pairs. One may be repeated with the same or another value, under a key in any case."""
    given = dict(pairs)
    key = draw(_often(("",), ("any", "email", "serialNumber", "lastUpdateDate", "shareWithResearchAsOfDate"), times=2))
    others: Sequence[str | int | None] = ()
    if key == "any":
        return [*pairs, draw(st.sampled_from(pairs))]
    if key == "shareWithResearchAsOfDate":
        values = draw(st.sampled_from(CONTRADICTING_SHARES).flatmap(st.permutations))
        return [*(pair for pair in pairs if pair[0] != key), *((key, value) for value in values)]
    if key == "serialNumber":
        others = ("S-another",)
    elif key == "lastUpdateDate" and given.get(key):
        others = (None, T0 - 1)
    elif key == "email" and given.get(key) in PERSON_OF:
        others = (None, *(SPELLINGS[each][0] for each in people if each != PERSON_OF[given[key]]))
    return [*pairs, (key.title(), draw(st.sampled_from(others)))] if others else pairs


@st.composite
def torn_records(draw: st.DrawFn, people: Sequence[str]) -> tuple[CustomerRecord, CustomerRecord]:
    """Draw a record that is cut off, as by an interrupted upload. Return it, and the repaired record."""
    whole, repaired = draw(customer_records(people))
    kept = whole.pairs[: draw(st.integers(0, len(whole.pairs)))]
    if draw(st.booleans()):
        torn = replace(draw(_audits(people)), is_torn=True)
        return CustomerRecord((*kept, ("audit", torn)), "", whole.is_ascii), repaired
    end = draw(st.sampled_from(("", ",", ', "serialNu', ', "phone": "01'))) if kept else ""
    return CustomerRecord(kept, end, whole.is_ascii), repaired


# What comes before, between and behind the records of a file.
LAYOUTS: Mapping[str, tuple[str, str, str]] = {
    "one a line": ("", "\n", "\n"),
    "CRLF": ("", "\r\n", "\r\n"),
    "array": ("[", ",", "]"),
    "array of lines": ("[\n", ",\n", "\n]\n"),
    "back to back": ("", "", ""),
    "trailing commas": ("", ",\n", ",\n"),
    "pretty": ("", "\n", "\n"),
    "pretty array": ("[\n", ",\n", "\n]\n"),
}
# What a failure shows of a file's text.
_SHOWN_CHARACTERS = 1_500


@dataclass(frozen=True, repr=False)
class LandingFile:
    """A version of a landing file of customers.

    Args:
        name: relative to the landing folder.
        arrival: its modification time (ms since the epoch, UTC).
        layout: a key of `LAYOUTS`.
        records: the records; only the last may be torn.
        repaired: the same records as their writer would repair them.
    """

    name: str
    arrival: int
    layout: str
    is_packed: bool
    records: tuple[CustomerRecord, ...]
    repaired: tuple[CustomerRecord, ...]

    @property
    def facts(self) -> reference.File:
        """The facts of the file."""
        return reference.File(self.arrival, [record.facts for record in self.records])

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        text = self._text().encode("utf-8", "surrogateescape")
        return gzip.compress(text, mtime=0) if self.is_packed else text

    def _text(self) -> str:
        before, between, behind = LAYOUTS[self.layout]
        records = between.join(record.text(is_pretty=self.layout.startswith("pretty")) for record in self.records)
        return before + records + ("" if self.records[-1].is_torn else behind)

    def land(self, landing: Path) -> None:
        """Write the file to a landing folder."""
        _put(landing, self.name, self.content, self.arrival)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the file as text in hypothesis' output of a failure."""
        printer.text(repr(self))

    def __repr__(self) -> str:
        arrival = datetime.fromtimestamp(self.arrival / 1_000, UTC)
        text = self._text().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if len(text) > _SHOWN_CHARACTERS:
            half = _SHOWN_CHARACTERS // 2
            text = f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"
        return f"\n--- {self.name}, {self.layout}{', gzip' if self.is_packed else ''}, arrived {arrival:%F %T}\n{text}\n"


def _put(landing: Path, name: str, content: bytes, arrival: int) -> None:
    os.utime(put(landing / name, content), ns=(arrival * 1_000_000,) * 2)


# Few, so that files are replaced, and not in the order in which they arrive.
NAMES = tuple(f"customer/{name}.json" for name in "cab")


@st.composite
def feeds(draw: st.DrawFn) -> list[list[LandingFile]]:
    """Draw the customer files that arrive before each of some runs, in order of arrival."""
    people = draw(st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=5, unique=True))
    newest: dict[str, LandingFile] = {}
    runs: list[list[LandingFile]] = []
    arrival = START_MS
    for count in draw(st.sampled_from((1, 2, 3, 3)).flatmap(lambda runs: st.tuples(*[st.integers(1, 3)] * runs))):
        runs.append([])
        for _ in range(count):
            name, layout, is_packed = draw(st.tuples(st.sampled_from(NAMES), st.sampled_from(tuple(LAYOUTS)), st.booleans()))
            before = newest.get(name)
            # A few files of other names arrive in the same second.
            arrival += 1_000 if before else draw(st.sampled_from((1_000, 1_000, 0)))
            if before and draw(st.booleans()):
                records = [(record, record) for record in before.repaired]
            else:
                is_torn, whole = draw(_often((False,), (True,), times=2)), draw(st.integers(1, 4))
                records = [draw(customer_records(people)) for _ in range(whole - is_torn)]
                records += [draw(torn_records(people))] if is_torn else []
            written, repaired = zip(*records, strict=True)
            newest[name] = LandingFile(name, arrival, layout, is_packed, written, repaired)
            runs[-1].append(newest[name])
    return runs


def _readings() -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    phones, devices, person_at = [], [], {}
    for place, (person, spellings) in enumerate(SPELLINGS.items()):
        serial = serial_of(person)
        for number in range(max(12, len(spellings))):
            spelling = spellings[number % len(spellings)]
            at = T0 + place * DAY_MS + number * 1_003 + number * number * 7
            phones.append({"user": spelling, "timeStamp": at, "x": 0.0, "y": 0.0, "z": 1.0})
            spelled = serial if number % 2 else f"{serial.lower()} "
            devices.append({"sensorReadingTime": at, "serialNumber": spelled, "distanceFromObject": 100})
            person_at[str(at)] = person
    return phones, devices, person_at


# Everybody's phone and device take readings at the same uneven moments, at which nobody else's do: so evidence, which is
# stronger than claims, says whose each device is. PERSON_AT has who took the readings of each moment,
# by its milliseconds as text.
_PHONES, _DEVICES, PERSON_AT = _readings()


def land_readings(landing: Path) -> None:
    """Land readings of all people. They arrive before any customer file."""
    for name, records in (("accelerometer/1.json", _PHONES), ("step_trainer/1.json", _DEVICES)):
        _put(landing, name, "\n".join(json.dumps(record) for record in records).encode(), START_MS - 1_000)
