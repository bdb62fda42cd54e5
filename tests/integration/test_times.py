"""Valid times of records, tested at each bound, on the fast path and on the slow path."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stedi.compute.duckdb import DuckDBBackend
from stedi.ingest import records
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.records import ScannedRecord
from stedi.model.feed import Feed
from tests.support.lake import T0, Lake, customer, distance, reading
from tests.support.landing import LandingFolder

# 2000-01-01 00:00 UTC; when the files were written, 2026-01-05 12:00 UTC; and a day later.
FIRST, ARRIVED, LAST = 946_684_800_000, 1_767_614_400_000, 1_767_700_800_000
YEAR_2099 = 4_070_908_800_000

LANDS = "lands"
TIMES: list[tuple[object, str]] = [
    (FIRST, LANDS),
    (str(FIRST), LANDS),
    (LAST, LANDS),
    (float(LAST), LANDS),
    (FIRST - 1, "before_2000"),
    (LAST + 1, "after_arrival"),
    (0, "before_2000"),
    ("0", "before_2000"),
    (-1, "before_2000"),
    (-T0, "before_2000"),
    (YEAR_2099, "after_arrival"),
    # The end of the year 9999.
    (253_402_300_799_999, "after_arrival"),
    (1e300, "after_arrival"),
    (T0 + 0.5, "not_milliseconds"),
    (1.5, "not_milliseconds"),
    (FIRST // 1000, "perhaps_in_seconds"),
    (FIRST // 1000 - 1, "before_2000"),
    (LAST // 1000, "perhaps_in_seconds"),
    (LAST // 1000 + 1, "before_2000"),
    # As Python's time.time() has it.
    (T0 / 1000 + 0.25, "perhaps_in_seconds"),
    (FIRST * 1000, "perhaps_in_microseconds"),
    (FIRST * 1000 - 1, "after_arrival"),
    (LAST * 1000, "perhaps_in_microseconds"),
    (LAST * 1000 + 1, "after_arrival"),
    (FIRST * 1_000_000, "perhaps_in_nanoseconds"),
    (LAST * 1_000_000, "perhaps_in_nanoseconds"),
    # 64-bit floats of this size lie 256 apart.
    (FIRST * 1_000_000 - 256, "after_arrival"),
    (LAST * 1_000_000 + 256, "after_arrival"),
]


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[LandingFolder]:
    with DuckDBBackend(scratch=tmp_path, threads=1) as engine:
        yield LandingFolder(tmp_path, engine)


@pytest.mark.parametrize("layout", ["lines", "array"])
def test_a_time_lies_between_2000_and_a_day_after_the_files_arrival(landing: LandingFolder, layout: str) -> None:
    times = [time for time, _ in TIMES]
    for feed, field, rows in (
        ("accelerometer", "timeStamp", [reading("a@x", 0) | {"timeStamp": time} for time in times]),
        ("step_trainer", "sensorReadingTime", [distance("s", 0) | {"sensorReadingTime": time} for time in times]),
        ("customer", "lastUpdateDate", [customer("a@x", 0) | {"lastUpdateDate": time} for time in times]),
        ("customers", "registrationDate", [customer("a@x", 0) | {"registrationDate": time} for time in times]),
    ):
        content = json.dumps(rows).encode() if layout == "array" else "\n".join(map(json.dumps, rows)).encode()
        landing.land(f"{feed}/a.json", content, arrived_ms=ARRIVED)
        landing.run()
        table = f"{feed.removesuffix('s')}_landing"
        found = landing.rows(
            f"SELECT source_position, '{LANDS}', {field} FROM {table} WHERE starts_with(source_file, '{feed}/') "
            f"UNION ALL SELECT source_position, reason, NULL FROM quarantine WHERE starts_with(source_file, '{feed}/')"
            " ORDER BY 1"
        )
        assert found == [
            (place, LANDS, int(float(str(time)))) if expected == LANDS else (place, f"{field}_{expected}", None)
            for place, (time, expected) in enumerate(TIMES, start=1)
        ]


@pytest.mark.parametrize("field", ["shareWithResearchAsOfDate", "shareWithPublicAsOfDate", "shareWithFriendsAsOfDate"])
def test_what_is_no_time_is_no_date_of_consent_and_is_kept(landing: LandingFolder, field: str) -> None:
    wrong = [time for time, expected in TIMES if expected != LANDS]
    right = [FIRST, LAST]
    rows = [customer("a@x", 0) | {field: time} for time in (*wrong, *right)]
    landing.land("customer/a.json", rows, arrived_ms=ARRIVED)
    assert landing.run().quarantined["customer"] == 0
    found = landing.rows(f"SELECT {field}, extra_fields FROM customer_landing ORDER BY source_position")
    assert found == [(None, json.dumps({field: time})) for time in wrong] + [(time, None) for time in right]


@pytest.mark.parametrize("shares", [0, -1, "0", YEAR_2099, T0 // 1000])
def test_nobody_consents_as_of_no_time(lake: Lake, shares: object) -> None:
    lake.land(
        "customer/1.json", [customer("a@x", 10) | {"shareWithResearchAsOfDate": shares}, customer("b@x", 10, shares=5)]
    )
    lake.land("accelerometer/1.json", [reading(who, 20) for who in ("a@x", "b@x")])
    lake.run()
    assert (
        lake.rows("SELECT person FROM customer_trusted")
        == lake.rows("SELECT person FROM accelerometer_trusted")
        == [("b@x",)]
    )


def test_a_withdrawal_in_seconds_is_quarantined_with_what_to_do(landing: LandingFolder) -> None:
    withdrawal: dict[str, Any] = customer("a@x", 0) | {"lastUpdateDate": T0 // 1000 + 60, "registrationDate": T0 // 1000}
    landing.land("customer/2.json", [customer("a@x", 10, shares=10), withdrawal])
    landing.run()
    assert landing.rows("SELECT source_position, reason FROM quarantine") == [(2, "registrationDate_perhaps_in_seconds")]


def test_files_that_arrived_years_apart_are_each_read_by_their_own_arrival(
    landing: LandingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = 365 * 86_400_000
    arrivals = {f"accelerometer/{number}.json": T0 + number * year for number in (3, 1, 2)}
    # The last second of each year, and one that is ahead of all but the last file.
    for name, arrived in arrivals.items():
        times = [*range(arrived - 1000, arrived, 10), T0 + 2 * year + 86_400_001, arrived]
        landing.land(name, [reading("a@x", time - T0) for time in times], arrived_ms=arrived)
    slow_records: list[tuple[str, int]] = []
    to_row = records.to_row

    def recorded(feed: Feed, file: LandingFile, position: int, record: ScannedRecord) -> tuple[bool, tuple[object, ...]]:
        slow_records.append((file.name, position))
        return to_row(feed, file, position, record)

    monkeypatch.setattr("stedi.compute.duckdb.landing_reader.to_row", recorded)
    landing.run()
    # What is too late for its file is the only record that the fast path leaves to the other.
    late = [(name, 101, "timeStamp_after_arrival") for name in sorted(arrivals)[:2]]
    assert sorted(slow_records) == [(name, position) for name, position, _ in late]
    assert landing.rows("SELECT source_file, source_position, reason FROM quarantine ORDER BY ALL") == late
    order = "SELECT source_position FROM accelerometer_landing WHERE source_file = '{}' ORDER BY timeStamp, source_position"
    for name in sorted(arrivals)[:2]:
        assert [place for (place,) in landing.rows(order.format(name))] == [*range(1, 101), 102]
    assert len(landing.rows(order.format("accelerometer/3.json"))) == 102


def test_a_file_from_before_2000_has_no_time_at_all(landing: LandingFolder) -> None:
    landing.land("accelerometer/a.json", [reading("a@x", 0), reading("a@x", FIRST - T0)], arrived_ms=0)
    landing.land("accelerometer/b.json", [reading("a@x", 0), reading("a@x", FIRST - 1 - T0)])
    landing.run()
    assert landing.rows("SELECT source_file, reason FROM quarantine ORDER BY ALL") == [
        ("accelerometer/a.json", "timeStamp_after_arrival"),
        ("accelerometer/a.json", "timeStamp_after_arrival"),
        ("accelerometer/b.json", "timeStamp_before_2000"),
    ]
