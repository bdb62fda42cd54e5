"""Periods of device owners: hand-overs, and hours without evidence."""

from collections.abc import Iterable
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lake import T0, Record, customer, distance, reading
from tests.support.tables import Tables

HOUR = 3_600_000
# Irregular moments of one sitting.
SITTING = (11, 2_940, 4_407, 7_311, 9_008, 12_750, 13_333, 17_941, 20_202, 24_117, 26_055, 29_846)
PERIODS = "SELECT period, from_ms, to_ms, person, status, reading_times, coincidences FROM device_owner ORDER BY period"


def sittings(hours: Iterable[int]) -> list[int]:
    return [hour * HOUR + 60_000 + t for hour in hours for t in SITTING]


def phone(person: str, hours: Iterable[int]) -> list[Record]:
    return [reading(f"{person}@x", t) for t in sittings(hours)]


def device(hours: Iterable[int], offset: int = 0) -> list[Record]:
    return [distance("s", t + offset) for t in sittings(hours)]


def at(hour: int) -> int:
    return T0 + hour * HOUR


def test_a_device_that_changes_hands_has_a_period_for_each_owner(tables: Tables) -> None:
    """The sitting between the two is nobody's: it may be the first of the one or the last of the other."""
    tables.land("accelerometer/a.json", phone("a", (1, 24)))
    tables.land("accelerometer/b.json", phone("b", (72, 96)))
    tables.land("step_trainer/s.json", device((1, 24, 50, 72, 96), offset=-1_700))
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [
        (1, None, at(50), "a@x", "inferred", 24, 24),
        (2, at(50), at(72), None, "unknown", 12, 0),
        (3, at(72), None, "b@x", "inferred", 24, 24),
    ]


def test_a_returned_device_has_three_periods(tables: Tables) -> None:
    tables.land("accelerometer/a.json", phone("a", (1, 96)))
    tables.land("accelerometer/b.json", phone("b", (50,)))
    tables.land("step_trainer/s.json", device((1, 50, 96)))
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [
        (1, None, at(50), "a@x", "inferred", 12, 12),
        (2, at(50), at(96), "b@x", "inferred", 12, 12),
        (3, at(96), None, "a@x", "inferred", 12, 12),
    ]


def test_two_people_in_one_hour_give_no_owner(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in sittings((1,))])
    tables.land("accelerometer/b.json", [reading("b@x", t + 40_000) for t in sittings((1,))[:7]])
    tables.land("step_trainer/s.json", [distance("s", t) for t in (*sittings((1,)), *(t + 40_000 for t in sittings((1,))))])
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [(1, None, None, None, "ambiguous", 24, 12)]


def test_readings_outside_the_coincidences_have_no_owner(tables: Tables) -> None:
    tables.land("accelerometer/a.json", phone("a", (20, 30)))
    tables.land("step_trainer/s.json", device((1, 20, 25, 30, 31)))
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [
        (1, None, at(20), None, "unknown", 12, 0),
        (2, at(20), at(31), "a@x", "inferred", 36, 24),
        (3, at(31), None, None, "unknown", 12, 0),
    ]


def test_a_confirmed_claim_covers_all_readings(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, serial="s")])
    tables.land("accelerometer/a.json", phone("a", (20, 30)))
    tables.land("step_trainer/s.json", device((1, 20, 30, 40)))
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [(1, None, None, "a@x", "confirmed", 48, 24)]


def test_a_sitting_may_continue_in_an_hour_without_phone_readings(tables: Tables) -> None:
    """At an offset, the last readings before the full hour are in another hour than the phone's."""
    times = [2 * HOUR - 2_500 + t for t in SITTING] + [2 * HOUR + 35_000 + t for t in SITTING]
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in times])
    tables.land("step_trainer/s.json", [distance("s", t - 2_000) for t in times])
    tables.run(select=["device_owner"])
    assert tables.rows("SELECT hour_ms, reading_times, coincidences FROM device_evidence ORDER BY 1") == [
        (at(1), 3, 0),
        (at(2), 21, 19),
    ]
    assert tables.rows(PERIODS) == [(1, None, None, "a@x", "inferred", 24, 19)]


def test_a_clock_reset_between_sittings_keeps_the_evidence(tables: Tables) -> None:
    tables.land("accelerometer/a.json", phone("a", (1, 20, 30, 40)))
    tables.land("step_trainer/s.json", device((1, 20), offset=1_500))
    tables.land("step_trainer/t.json", device((30, 40), offset=-900))
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [(1, None, None, "a@x", "inferred", 48, 48)]
    assert tables.rows("SELECT offset_ms, offset_uncertainty_ms FROM device_owner") == [(300.0, 1_200.0)]
    assert tables.rows("SELECT offset_ms FROM device_evidence ORDER BY hour_ms") == [
        (1_500.0,),
        (1_500.0,),
        (-900.0,),
        (-900.0,),
    ]


def test_a_device_of_many_sittings_has_an_owner(tables: Tables) -> None:
    """Probabilities that are powers of the number of sittings don't become zero."""
    moments = [hour * HOUR + 60_000 + t for hour in range(1, 1_200, 3) for t in SITTING[:3]]
    crowd = [reading(f"p{n}@x", hour * HOUR + 900_000 + 7_000 * n) for hour in range(1, 1_200, 3) for n in range(5)]
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in moments] + crowd)
    tables.land("step_trainer/s.json", [distance("s", t - 1_700) for t in moments])
    tables.run(select=["device_owner"])
    assert tables.rows(PERIODS) == [(1, None, None, "a@x", "inferred", 1_200, 1_200)]
    assert tables.rows("SELECT confidence FROM device_owner") == [(1.0,)]


def test_a_late_phone_file_moves_the_periods(tables: Tables) -> None:
    tables.land("accelerometer/a.json", phone("a", (1, 24)))
    tables.land("accelerometer/b.json", phone("b", (96,)))
    tables.land("step_trainer/s.json", device((1, 24, 50, 72, 96)))
    tables.run()
    tables.land("accelerometer/late.json", phone("b", (50,)))
    tables.run()
    assert [row[1:5] for row in tables.rows(PERIODS)] == [
        (None, at(50), "a@x", "inferred"),
        (at(50), None, "b@x", "inferred"),
    ]
    assert tables.found_wrong() == []


def test_whoever_used_a_device_when_nobody_else_is_named(tables: Tables) -> None:
    """Hand-overs, phones that are not in the data, losses and offsets: no reading is another person's."""
    named = 0

    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from((0, 2_000)), st.sampled_from((0.0, 0.3)))
    def hold(seed: int, devices: int, offset: int, lost: float) -> None:
        nonlocal named
        chance = Random(seed)
        phones, distances, truth = [], [], {}
        for n in range(devices):
            error, handed = chance.randint(-offset, offset), chance.randrange(7)
            hours = sorted(chance.sample(range(1, 200), 6))
            for sitting, hour in enumerate(hours):
                user = f"user{n}-{int(sitting >= handed)}@x"
                times = [hour * HOUR + 60_000 + chance.randrange(600_000) for _ in range(15)]
                truth.update({(f"s{n}", T0 + t + error): user for t in times})
                distances += [distance(f"s{n}", t + error) for t in times]
                phones += [reading(user, t) for t in times if chance.random() >= lost and n % 2 == sitting % 2]
        tables.land("accelerometer/a.json", phones or [reading("nobody@x", 1)])
        tables.land("step_trainer/s.json", distances)
        tables.run(select=["device_owner"])
        owners = tables.rows(
            "SELECT s.serialNumber, s.sensorReadingTime, o.person FROM step_trainer_landing AS s "
            "JOIN device_owner AS o ON o.serialNumber = s.serialNumber "
            "AND s.sensorReadingTime >= coalesce(o.from_ms, 0) AND s.sensorReadingTime < coalesce(o.to_ms, 9e18) "
            "WHERE o.person IS NOT NULL"
        )
        assert {(serial, at_ms): person for serial, at_ms, person in owners}.items() <= truth.items()
        named += len(owners) > 0

    hold()
    assert named >= 10
