"""Device owners from evidence, with clocks that agree and clocks that differ."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.config import load_settings
from stedi.errors import UsageError
from stedi.tables.reference.device_evidence import MAX_PEOPLE_PER_TIME
from tests.support.lake import T0, customer, distance, reading
from tests.support.tables import Tables

OWNER = "SELECT person, status, coincidences, runner_up_coincidences FROM device_owner WHERE serialNumber = '{}'"


def test_times_shared_by_many_people_are_no_evidence(tables: Tables) -> None:
    people = [f"p{n:03}@x" for n in range(MAX_PEOPLE_PER_TIME + 20)]
    seconds = range(1000, 21_000, 1000)
    tables.land("customer/a.json", [customer(p, 10, shares=10, serial=f"device-{p}") for p in people])
    tables.land("accelerometer/a.json", [reading(p, t) for p in people for t in seconds])
    tables.land("step_trainer/a.json", [distance(f"device-{p}", t) for p in (*people, "nobody") for t in seconds])
    tables.run()
    assert tables.rows(
        "SELECT status, count(*), max(coincidences), max(reading_times) FROM device_owner GROUP BY 1 ORDER BY 1"
    ) == [
        ("claimed", len(people), 0, 20),
        ("unknown", 1, 0, 20),
    ]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(20 * len(people),)]
    assert tables.rows("SELECT count(*) FROM machine_learning_curated") == [(20 * len(people),)]


def test_a_time_is_evidence_up_to_the_largest_number_of_people(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading(f"p{n}@x", t) for t in (1, 2) for n in range(MAX_PEOPLE_PER_TIME + t - 1)])
    tables.land("accelerometer/b.json", [reading("P0@X ", 2)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in (1, 2)])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 1, 1)]


def test_a_later_file_can_make_a_time_crowded(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="other")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(10)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(10)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("a@x", "inferred", 10, 0)]
    tables.land("accelerometer/b.json", [reading(f"p{n}@x", t) for n in range(MAX_PEOPLE_PER_TIME) for t in range(8)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 2, 0)]
    assert tables.rows("SELECT count(*) FROM machine_learning_curated") == [(0,)]
    assert tables.is_like_new()


def test_a_corrected_file_can_make_a_time_evidence_again(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="other")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(10)])
    tables.land("accelerometer/b.json", [reading(f"p{n}@x", t) for n in range(MAX_PEOPLE_PER_TIME) for t in range(10)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(10)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "unknown", 0, 0)]
    tables.land("accelerometer/b.json", [])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("a@x", "inferred", 10, 0)]
    assert tables.is_like_new()


def test_the_readings_of_a_device_follow_it_to_its_new_owner(tables: Tables) -> None:
    tables.land("customer/a.json", [customer(p, 10, shares=10, serial="of-many") for p in ("a@x", "b@x")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(100, 105)] + [reading("b@x", 300)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(100, 130)])
    tables.run()
    steps = "SELECT person, count(*) FROM step_trainer_trusted GROUP BY 1"
    paired = (
        "SELECT c.person, count(*) FROM machine_learning_curated AS m JOIN customers_curated AS c "
        "ON c.customer_pseudonym = m.customer_pseudonym GROUP BY 1"
    )
    devices = "SELECT person, device_serial_number FROM customers_curated ORDER BY 1"
    assert (tables.rows(steps), tables.rows(paired)) == ([("a@x", 30)], [("a@x", 5)])
    assert tables.rows(devices) == [("a@x", "s"), ("b@x", None)]
    tables.land("accelerometer/b.json", [reading("b@x", t) for t in range(100, 130)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("b@x", "inferred", 30, 5)]
    assert (tables.rows(steps), tables.rows(paired)) == ([("b@x", 30)], [("b@x", 30)])
    assert tables.rows(devices) == [("a@x", None), ("b@x", "s")]
    assert tables.is_like_new()


def test_a_device_of_a_new_owner_without_consent_leaves_the_trusted_tables(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="s")])
    tables.land("accelerometer/a.json", [reading("a@x", 500)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(100, 110)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(10,)]
    tables.land("customer/b.json", [customer("b@x", 10, serial="s")])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 0, 0)]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(0,)]
    tables.land("accelerometer/b.json", [reading("b@x", t) for t in range(100, 110)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("b@x", "inferred", 10, 0)]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(0,)]
    assert tables.is_like_new()


# A device and its phone tick irregularly, for a minute in each of three hours.
MOMENTS = [
    hour * 3_600_000 + 9_000 + t
    for hour in (1, 3, 7)
    for t in (0, 3_100, 7_450, 9_020, 16_300, 21_090, 30_400, 41_700, 57_310)
]
EVIDENCE = (
    "SELECT person, status, compared_times, coincidences, offset_ms, offset_uncertainty_ms FROM device_owner "
    "WHERE serialNumber = 's'"
)


def test_an_offset_of_the_device_s_clock_is_found(tables: Tables) -> None:
    jitter = (-5, 4, 0, 3, -2, 5, -4, 1, 2)
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in MOMENTS])
    tables.land("accelerometer/b.json", [reading("b@x", t + 777 * n % 4_000) for n, t in enumerate(MOMENTS)])
    tables.land("step_trainer/a.json", [distance("s", t - 1_234 + jitter[n % 9]) for n, t in enumerate(MOMENTS)])
    tables.run(select=["device_owner"])
    [(person, status, compared, coincidences, offset, uncertainty)] = tables.rows(EVIDENCE)
    assert (person, status, compared, coincidences) == ("a@x", "inferred", 27, 27)
    assert abs(offset - -1_234) <= uncertainty <= 10


# Three sittings of half a minute, at 50 readings a second.
SESSIONS = [hour * 3_600_000 + 9_000 + t for hour in (1, 3, 7) for t in range(0, 30_000, 20)]


def test_a_continuous_recording_is_matched_by_its_start_and_end(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in SESSIONS])
    tables.land("step_trainer/a.json", [distance("s", t + 2_003) for t in SESSIONS[::3]])
    tables.run(select=["device_owner"])
    [(person, status, compared, coincidences, offset, uncertainty)] = tables.rows(EVIDENCE)
    assert (person, status, compared, coincidences) == ("a@x", "inferred", 96, 96)
    # The device's last reading is the phone's second before its last.
    assert (offset, uncertainty) == (1_983.0, 20.0)


def test_a_phone_that_is_always_on_could_be_another_one_of_the_home(tables: Tables) -> None:
    always = [t + around for t in SESSIONS for around in (-30_000, 0, 30_000)]
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in always])
    tables.land("step_trainer/a.json", [distance("s", t + 2_003) for t in SESSIONS[::3]])
    tables.run(select=["device_owner"])
    [(person, status, compared, coincidences, offset, uncertainty)] = tables.rows(EVIDENCE)
    assert (person, status, compared, coincidences) == (None, "ambiguous", 96, 96)
    assert abs(offset - 2_003) <= uncertainty == 5_000
    assert tables.rows("SELECT confidence BETWEEN 0.8 AND 0.999 FROM device_owner") == [(True,)]


def test_of_two_phones_at_home_the_owners_keeps_its_offset(tables: Tables) -> None:
    """The other person starts and ends some seconds later, a different number of seconds each time."""
    later = {1: 1_300, 3: 4_000, 7: 600}
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in SESSIONS])
    tables.land("accelerometer/b.json", [reading("b@x", t + later[t // 3_600_000] + 7) for t in SESSIONS])
    tables.land("step_trainer/a.json", [distance("s", t - 1_503) for t in SESSIONS[::3]])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s"))[0][:3] == ("a@x", "inferred", 96)


def test_an_exact_coincidence_has_no_offset(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in MOMENTS])
    tables.land("step_trainer/a.json", [distance("s", t) for t in MOMENTS])
    tables.run(select=["device_owner"])
    assert tables.rows(EVIDENCE) == [("a@x", "inferred", 27, 27, 0.0, 0.0)]
    assert tables.rows("SELECT first_reading_ms, last_reading_ms, confidence FROM device_owner") == [
        (T0 + MOMENTS[0], T0 + MOMENTS[-1], 1.0)
    ]


def test_a_few_coincidences_among_many_people_give_no_owner(tables: Tables) -> None:
    """Four of thirty against one, among ninety people: a lead of three, and chance."""
    device = range(7, 90_000, 3_001)
    crowd = [reading(f"p{n}@x", t + 29 * n + 1) for n in range(2, 90) for t in device]
    phones = [reading("p0@x", t if t < 12_000 else t + 11) for t in device] + [reading("p1@x", device[1])]
    tables.land("accelerometer/a.json", crowd + phones)
    tables.land("step_trainer/a.json", [distance("s", t) for t in device])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 4, 1)]


def test_a_stranger_in_step_who_starts_later_is_not_the_owner(tables: Tables) -> None:
    """The owner's phone has no readings; a stranger's has 23 of 30, as one of 900 people does by chance."""
    device = range(7, 90_000, 3_001)
    crowd = [reading(f"p{n}@x", t + 29 * n + 1) for n in range(1, 99) for t in device]
    tables.land("accelerometer/a.json", crowd + [reading("p0@x", t) for t in device[7:]])
    tables.land("step_trainer/a.json", [distance("s", t) for t in device])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 23, 0)]
    assert tables.rows("SELECT confidence > 0.9 FROM device_owner") == [(True,)]


def test_two_equally_good_candidates_give_no_owner(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in MOMENTS])
    tables.land("accelerometer/b.json", [reading("b@x", t) for t in MOMENTS[:-1]])
    tables.land("step_trainer/a.json", [distance("s", t) for t in MOMENTS])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 27, 26)]


def test_overruling_a_sole_claim_needs_a_smaller_error_probability(tables: Tables) -> None:
    """The phone of b matches all, that of the claimant the first five of forty: one in 2,000 that b is not the owner."""
    times = range(100, 140)
    tables.land("customer/a.json", [customer("a@x", 10, serial="claimed")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in times[:5]] + [reading("b@x", t) for t in times])
    tables.land("step_trainer/a.json", [distance(serial, t) for serial in ("claimed", "unclaimed") for t in times])
    tables.run(select=["device_owner"])
    assert tables.rows("SELECT serialNumber, person, status FROM device_owner ORDER BY 1") == [
        ("claimed", None, "ambiguous"),
        ("unclaimed", "b@x", "inferred"),
    ]


def test_random_reading_times_give_no_owner(tables: Tables) -> None:
    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.integers(1, 12), st.sampled_from((1, 10, 1_000)))
    def hold(chance: Random, people: int, tick_ms: int) -> None:
        def times() -> list[int]:
            return [chance.randrange(600_000) // tick_ms * tick_ms for _ in range(20)]

        tables.land("accelerometer/a.json", [reading(f"p{n}@x", t) for n in range(people) for t in times()])
        tables.land("step_trainer/a.json", [distance(f"s{n}", t) for n in range(4) for t in times()])
        tables.run(select=["device_owner"])
        assert tables.rows("SELECT * FROM device_owner WHERE person IS NOT NULL") == []

    hold()


def test_every_inferred_owner_is_right_at_any_offset(tables: Tables) -> None:
    named = 0.0

    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from((0.0, 0.3)))
    def hold(seed: int, people: int, lost: float) -> None:
        nonlocal named
        chance = Random(seed)
        phones, devices = [], []
        for n in range(people):
            offset = chance.randint(-2_000, 2_000)
            times = [hour * 3_600_000 + chance.randrange(600_000) for hour in (0, 2, 5) for _ in range(12)]
            phones += [reading(f"p{n}@x", t) for t in times if chance.random() >= lost]
            devices += [distance(f"s{n}", t + offset + chance.randint(-5, 5)) for t in times if chance.random() >= lost]
        tables.land("accelerometer/a.json", phones)
        tables.land("step_trainer/a.json", devices)
        tables.run(select=["device_owner"])
        owners = tables.rows("SELECT serialNumber, person FROM device_owner WHERE person IS NOT NULL")
        assert all(serial[1:] == person[1:-2] for serial, person in owners)
        named += len(owners) / people

    hold()
    assert named >= 13


def test_a_confidence_below_a_half_or_above_one_is_refused() -> None:
    assert load_settings(None, {}).owners.confidence == 0.999
    for wrong in (0.4, 1.0):
        with pytest.raises(UsageError, match=r"owners\.confidence"):
            load_settings(None, {"owners": {"confidence": wrong}})
