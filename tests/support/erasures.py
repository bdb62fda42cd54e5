"""A lakehouse with history, with or without some of its people, to erase people from it and to compare the two."""

import bz2
import gzip
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from stedi.maintenance.maintain import maintain
from tests.support.byte_search import unpack_zstandard
from tests.support.compare import opened
from tests.support.lake import T0, Lake, customer, distance, reading
from tests.support.other_writers import delete_as_athena_does

HOUR = 3_600_000
# Irregular moments of one sitting.
SITTING = (11, 2_940, 4_407, 7_311, 9_008, 12_750, 13_333, 17_941, 20_202, 24_117, 26_055, 29_846)
ANNIKA, BEATRIX, CARL, DORA = "annika", "beatrix", "carl", "dora"
ADDRESSES = {
    ANNIKA: "annika@qvistberg.example",
    BEATRIX: "beatrix.zwollema@mail.example",
    CARL: "carl@x.example",
    DORA: "dora@x.example",
}
ERASED = (ANNIKA, BEATRIX)
SPELLINGS = {
    ANNIKA: (
        "annika@qvistberg.example",
        "Annika Qvistberg <ANNIKA@Qvistberg.example>",
        "mailto:annik%61@qvistberg.example",
        " annika ＠ qvistberg.example.",
    ),
    BEATRIX: ("beatrix.zwollema@mail.example", '"Beatrix.Zwollema"@MAIL.example'),
    CARL: ("carl@x.example", "Carl <CARL@x.example>"),
    DORA: ("dora@x.example",),
}
# Everything about the erased people that nobody else has. The device of Beatrix is later that of Carl.
IDENTIFIERS = ("annika", "qvistberg", "beatrix", "zwollema", "555-0111", "555-0222", "1971-03-04", "1972-05-06", "qv-dev-1")
_NAMES = {ANNIKA: "Annika Qvistberg", BEATRIX: "Beatrix Zwollema", CARL: "Carl X", DORA: "Dora X"}
_PHONES = {ANNIKA: "555-0111", BEATRIX: "555-0222", CARL: "555-0333", DORA: "555-0444"}
_BIRTHDAYS = {ANNIKA: "1971-03-04", BEATRIX: "1972-05-06", CARL: "1973-01-01", DORA: "1974-01-01"}
_SERIALS = {ANNIKA: "QV-dev-1", BEATRIX: "shared-2", CARL: "shared-2", DORA: "dora-3"}


class Entry(NamedTuple):
    """A record of a landing file, and whose it is."""

    who: str
    text: str


def entry(who: str, record: Mapping[str, Any]) -> Entry:
    """Make an entry from a record."""
    return Entry(who, json.dumps(record))


def person(who: str, updated: int, spelling: int = 0, **more: Any) -> Entry:
    """Make a customer record."""
    named = {"customerName": _NAMES[who], "phone": _PHONES[who], "birthDay": _BIRTHDAYS[who], "serial": _SERIALS[who]}
    return entry(who, customer(SPELLINGS[who][spelling], updated, **({"shares": 5} | named | more)))


def walk(who: str, hours: Iterable[int]) -> list[Entry]:
    """Make the phone's readings of some sittings, in all spellings of the address."""
    times = [hour * HOUR + 60_000 + t for hour in hours for t in SITTING]
    spellings = SPELLINGS[who]
    return [entry(who, reading(spellings[number % len(spellings)], t)) for number, t in enumerate(times)]


def tread(who: str, hours: Iterable[int]) -> list[Entry]:
    """Make the device's readings of some sittings."""
    serials = (_SERIALS[who], f" {_SERIALS[who].upper()} ")
    times = [hour * HOUR + 60_000 + t for hour in hours for t in SITTING]
    return [entry(who, distance(serials[number % 2], t)) for number, t in enumerate(times)]


def lines(entries: Iterable[Entry]) -> bytes:
    """One record a line."""
    return "".join(f"{each.text}\n" for each in entries).encode()


def array(entries: Iterable[Entry]) -> bytes:
    """A JSON array, one record a line."""
    return ("[\n" + ",\n".join(each.text for each in entries) + "\n]\n").encode()


def pretty(entries: Iterable[Entry]) -> bytes:
    """A JSON array over many lines."""
    return json.dumps([json.loads(each.text) for each in entries], indent=2).encode()


class World:
    """Lands the records of some people in a lake."""

    def __init__(self, lake: Lake, people: Collection[str]) -> None:
        self.lake, self._people = lake, people

    def land(self, name: str, entries: Iterable[Entry], layout: Callable[[Iterable[Entry]], bytes] = lines) -> None:
        """Land a file. Without records of the people there is none."""
        theirs = [each for each in entries if each.who in self._people]
        if theirs:
            self.lake.land(name, layout(theirs))

    def make_history(self, number_of_runs: int = 0) -> None:
        """Land files and run, again and again."""
        self._first_files()
        self.lake.run()
        self._files_that_change()
        self.lake.run()
        # A file that was deleted after it was ingested, so that only the tables have its name.
        for path in self.lake.landing.glob("accelerometer/gone-*"):
            path.unlink()
        for number in range(number_of_runs):
            self.land(f"accelerometer/more-{number}.json", [*walk(ANNIKA, (200 + number,)), *walk(CARL, (200 + number,))])
            self.land(f"customer/more-{number}.json", [person(BEATRIX, 300 + number), person(DORA, 300 + number)])
            self.lake.run()
        for name in ("customer_landing", "accelerometer_trusted", "device_owner"):
            with opened(self.lake, name) as table:
                current = table.current_snapshot()
                assert current is not None
                table.manage_snapshots().create_tag(current.snapshot_id, "audit").commit()
        self.land("customer/withdrawn.json", [person(BEATRIX, 900, shares=None), person(CARL, 900)])
        self.lake.run()
        # Another writer deletes two readings of people, and one run reads around them.
        delete_as_athena_does(self.lake, "accelerometer_trusted", f'"timeStamp" = {T0 + HOUR + 60_000 + 11}')
        self.land("accelerometer/late.json", [*walk(DORA, (12,)), *walk(ANNIKA, (12,))])
        self.lake.run()
        maintain(self.lake.settings.model_copy(update={"keep_runs": 4}))
        self.land("customer/not-ingested.json", [person(ANNIKA, 1_000), person(DORA, 1_000)], array)

    def _first_files(self) -> None:
        everybody = (ANNIKA, CARL, BEATRIX, DORA)
        self.land("customer/1.json", [person(who, 10) for who in everybody])
        self.land(
            "customer/2.json.gz", [person(who, 20, 1) for who in everybody[:3]], lambda e: gzip.compress(lines(e), mtime=0)
        )
        readings = [each for who, hour in zip(everybody, (1, 2, 3, 4), strict=True) for each in walk(who, (hour, 30 + hour))]
        self.land("accelerometer/1.json.bz2", readings, lambda e: bz2.compress(lines(e)))
        self.land("accelerometer/2.json", [*walk(CARL, (72, 96)), *walk(BEATRIX, (5,))], pretty)
        self.land(self._folder_of_annika(), [*walk(CARL, (7,)), *walk(ANNIKA, (6,))])
        self.land(f"accelerometer/export of {SPELLINGS[BEATRIX][0].upper()}.json", walk(BEATRIX, (8,)))
        self.land(f"accelerometer/gone-{ADDRESSES[BEATRIX]}.json", [*walk(CARL, (10,)), *walk(BEATRIX, (10,))])
        # The device of Beatrix is later that of Carl.
        treads = [*tread(ANNIKA, (1, 31)), *tread(BEATRIX, (3, 33)), *tread(CARL, (72, 96)), *tread(DORA, (4, 34))]
        self.land("step_trainer/1.jsonl.zst", treads, lambda e: zstandard.ZstdCompressor().compress(lines(e)))
        self.land("step_trainer/2.json", [*tread(ANNIKA, (6,)), *tread(DORA, (35,))], array)
        # Quarantine of all feeds.
        self.land(
            "customer/broken.json",
            [
                Entry(CARL, '{"email": "carl@x.example", "lastUpdateDate": "no time"}'),
                Entry(DORA, "no json at all"),
                Entry(ANNIKA, '{"email": "\\u0061nnika@qvistberg.example", "customerName": "Annika Qvistberg", "phone'),
            ],
        )
        self.land(
            "accelerometer/broken.json",
            [
                Entry(BEATRIX, '{"user": "BEATRIX.Zwollema@mail.example", "timeStamp": "no time"}'),
                Entry(CARL, '{"user": "carl@x.example", "timeStamp": "no time"}'),
            ],
        )
        self.land(
            "step_trainer/broken.json",
            [
                Entry(ANNIKA, '{"serialNumber": "QV-DEV-1", "sensorReadingTime": "no time"}'),
                Entry(DORA, '{"serialNumber": "dora-3", "sensorReadingTime": "no time"}'),
            ],
        )

    def _folder_of_annika(self) -> str:
        """A folder that is named by an address, and what becomes of it."""
        if ANNIKA in self._people:
            return f"accelerometer/{ADDRESSES[ANNIKA]}/own.json"
        return f"accelerometer/erased-{hashlib.sha256(lines(walk(CARL, (7,)))).hexdigest()[:16]}.json"

    def _files_that_change(self) -> None:
        """The second run reads some files again."""
        self.land("customer/1.json", [person(who, 30, -1) for who in (CARL, ANNIKA, DORA, BEATRIX)])
        self.land("accelerometer/2.json", [*walk(BEATRIX, (5,)), *walk(CARL, (72, 96))], pretty)


def is_of_beatrix(row: str) -> bool:
    """Whether a row of a table, as text, is a reading of the device while Beatrix had it."""
    times = (T0 + hour * HOUR + 60_000 + t for hour in (3, 33) for t in SITTING)
    return _SERIALS[BEATRIX] in row.lower() and any(str(time) in row for time in times)


def landing_bytes(landing: Path) -> dict[str, bytes]:
    """Return the unpacked content of all landing files, by name."""
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".zst": unpack_zstandard}
    return {
        str(path.relative_to(landing)): unpack.get(path.suffix, bytes)(path.read_bytes())
        for path in sorted(landing.rglob("*"))
        if path.is_file()
    }
