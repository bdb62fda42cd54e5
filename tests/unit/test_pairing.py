"""Readings belong to the owner at their time and pair on the phone's clock: literal evidence, pairs worked out by hand."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.model.identity import customer_pseudonym
from stedi.model.sql import literal
from stedi.tables.curated import customers, machine_learning
from stedi.tables.reference import device_evidence, device_owner
from stedi.tables.trusted import accelerometer, step_trainer
from tests.support.lake import T0, Record, distance, reading
from tests.support.memory import InMemoryBackend, MemoryTables

HOUR = 3_600_000
TABLES = (step_trainer.TABLE, machine_learning.TABLE)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[InMemoryBackend]:
    with InMemoryBackend(scratch=tmp_path, threads=1) as engine:
        yield engine


@pytest.fixture
def tables(engine: InMemoryBackend) -> MemoryTables:
    return tables_of_two(engine)


def tables_of_two(engine: InMemoryBackend) -> MemoryTables:
    """Two customers; whose the devices are, and how far their clocks are off, is given."""
    tables = MemoryTables(engine, derived=TABLES)
    tables.use(replace(tables.settings, match_tolerance_ms=20))
    people = {p: engine.select(f"SELECT {customer_pseudonym(literal(p))} AS name")[0]["name"] for p in ("a@x", "b@x")}
    tables.give(customers.TABLE, [{"person": p, "customer_pseudonym": name} for p, name in people.items()])
    return tables


def owner(serial: str, person: str | None, *, differs: bool, from_ms: int | None = None, to_ms: int | None = None) -> Record:
    """A period of a device; its ends are in ms after `T0`."""
    return {
        "serialNumber": serial,
        "person": person,
        "from_ms": None if from_ms is None else T0 + from_ms,
        "to_ms": None if to_ms is None else T0 + to_ms,
        "clock_differs": differs,
    }


def evidence(
    serial: str,
    person: str,
    hour: int,
    offset: float,
    uncertainty: float,
    *,
    coincidences: int = 10,
    continuous: bool = False,
) -> Record:
    """An hour's evidence of somebody, from ten compared times that the first and the last of them enclose."""
    return {
        "serialNumber": serial,
        "person": person,
        "hour_ms": T0 + hour * HOUR,
        "compared_times": 12,
        "coincidences": coincidences,
        "compared_before": 1,
        "compared_after": 1,
        "offset_ms": offset,
        "offset_uncertainty_ms": uncertainty,
        "is_continuous": continuous,
    }


def motions(*readings: tuple[str, int]) -> list[Record]:
    """Readings of phones: whose, and when (ms after `T0`); x tells them apart."""
    return [{**reading(person, at, x=number), "person": person} for number, (person, at) in enumerate(readings)]


def runs(
    tables: MemoryTables,
    owners: Sequence[Record],
    evidence: Sequence[Record],
    devices: Sequence[tuple[str, int]],
    phones: Sequence[tuple[str, int]],
) -> None:
    """The inputs become these; the run computes what they reach, and finds what a full computation does."""
    tables.give(device_owner.TABLE, owners)
    tables.give(device_evidence.TABLE, evidence)
    tables.give(accelerometer.TABLE, motions(*phones))
    tables.land("step_trainer/1.json", [distance(serial, at) for serial, at in devices])
    assert not tables.run().failed
    assert tables.found_wrong() == []


def on_phones(tables: MemoryTables) -> list[tuple[object, ...]]:
    """The device's time of each reading (ms after `T0`), whose it is, its time on that phone's clock, the uncertainty."""
    return tables.rows(
        f"SELECT sensorReadingTime - {T0}, person, phone_time_ms - {T0}, clock_uncertainty_ms FROM step_trainer_trusted "
        "ORDER BY serialNumber, sensorReadingTime"
    )


def pairs(tables: MemoryTables) -> list[tuple[object, ...]]:
    """Of each pair whose it is, the device's time and the phone's (ms after `T0`)."""
    return tables.rows(
        f"SELECT person, sensorReadingTime - {T0}, timeStamp - {T0} FROM machine_learning_curated "
        "JOIN customers_curated USING (customer_pseudonym) ORDER BY sensorReadingTime, timeStamp, x"
    )


def test_if_clocks_agree_only_equal_times_pair(tables: MemoryTables) -> None:
    same = [("a@x", 100), ("a@x", 100), ("a@x", 102), ("b@x", 101)]
    runs(tables, [owner("s", "a@x", differs=False)], [evidence("s", "a@x", 0, 0, 0)], [("s", 100), ("s", 101)], same)
    assert on_phones(tables) == [(100, "a@x", 100, 0), (101, "a@x", 101, 0)]
    assert pairs(tables) == [("a@x", 100, 100), ("a@x", 100, 100)]


def test_the_offset_is_that_of_the_hour_and_the_owner(tables: MemoryTables) -> None:
    told = [
        evidence("s", "b@x", 0, 9, 1),
        evidence("s", "a@x", 0, 700.5, 5),
        evidence("s", "a@x", 1, 699.4, 0.5),
        evidence("t", "a@x", 0, 8, 1),
    ]
    devices = [("s", 1_000), ("s", HOUR - 1), ("s", HOUR), ("t", 2 * HOUR)]
    runs(tables, [owner("s", "a@x", differs=True), owner("t", "a@x", differs=True)], told, devices, [])
    # 299.5 and HOUR - 700.6 are rounded half up.
    assert on_phones(tables) == [
        (1_000, "a@x", 300, 5),
        (HOUR - 1, "a@x", HOUR - 701, 5),
        (HOUR, "a@x", HOUR - 699, 0.5),
        (2 * HOUR, "a@x", None, None),
    ]


@pytest.mark.parametrize(
    ("differs", "told", "expected"),
    [
        # As many coincide as don't between the first and the last that do.
        (True, evidence("s", "a@x", 0, 700, 5, coincidences=5), (300, 5)),
        (True, evidence("s", "a@x", 0, 700, 5, coincidences=4), (None, None)),
        # An hour in which such a clock agrees, and one in which a few readings do, by chance.
        (True, evidence("s", "a@x", 0, 0, 0), (1_000, 0)),
        (True, evidence("s", "a@x", 0, 0, 0, coincidences=1), (None, None)),
        (True, evidence("s", "b@x", 0, 700, 5), (None, None)),
        (True, evidence("s", "a@x", 0, 700, 480, continuous=True), (300, 480)),
        # Clocks that agree but for an hour.
        (False, evidence("s", "a@x", 0, 700, 5), (300, 5)),
        (False, evidence("s", "a@x", 0, 700, 0), (300, 0)),
        (False, evidence("s", "a@x", 0, 700, 5, coincidences=4), (1_000, 0)),
        (False, evidence("s", "a@x", 0, 700, 480, continuous=True), (1_000, 0)),
        (False, evidence("s", "a@x", 1, 700, 5), (1_000, 0)),
    ],
)
def test_the_offset_of_an_hour_by_its_evidence(
    tables: MemoryTables, differs: bool, told: Record, expected: tuple[object, object]
) -> None:
    runs(tables, [owner("s", "a@x", differs=differs)], [told], [("s", 1_000)], [])
    assert on_phones(tables) == [(1_000, "a@x", *expected)]


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        # Within 20 ms of 300.
        ([("a@x", 280)], [280]),
        ([("a@x", 320)], [320]),
        ([("a@x", 279), ("a@x", 321)], []),
        # The nearest, and of two as near the earlier; all readings of that time.
        ([("a@x", 281), ("a@x", 318), ("a@x", 290), ("a@x", 309)], [309]),
        ([("a@x", 310), ("a@x", 290)], [290]),
        ([("a@x", 290), ("a@x", 290), ("a@x", 310)], [290, 290]),
        ([("a@x", 300), ("a@x", 299)], [300]),
        # Never somebody else's, however near.
        ([("b@x", 300), ("a@x", 318)], [318]),
        ([("b@x", 300)], []),
    ],
)
def test_if_clocks_differ_the_nearest_time_pairs(
    tables: MemoryTables, phones: list[tuple[str, int]], expected: list[int]
) -> None:
    runs(tables, [owner("s", "a@x", differs=True)], [evidence("s", "a@x", 0, 700, 5)], [("s", 1_000)], phones)
    assert pairs(tables) == [("a@x", 1_000, at) for at in expected]


def test_each_reading_of_a_device_pairs_independently(tables: MemoryTables) -> None:
    """Two devices of one person, one with a known offset and one whose offset is too uncertain."""
    told = [evidence("s", "a@x", 0, 700, 5), evidence("t", "a@x", 0, 700, 20.5)]
    devices = [("s", 990), ("s", 1_000), ("s", 1_000), ("s", 1_030), ("t", 1_000)]
    runs(tables, [owner(s, "a@x", differs=True) for s in "st"], told, devices, [("a@x", 300)])
    assert pairs(tables) == [("a@x", 990, 300), ("a@x", 1_000, 300)]


def test_an_offset_less_certain_than_the_tolerance_pairs_nothing(tables: MemoryTables) -> None:
    inputs = ([owner("s", "a@x", differs=True)], [evidence("s", "a@x", 0, 700, 20)], [("s", 1_000)], [("a@x", 300)])
    runs(tables, *inputs)
    assert pairs(tables) == [("a@x", 1_000, 300)]
    tables.use(replace(tables.settings, match_tolerance_ms=19))
    runs(tables, *inputs)
    assert pairs(tables) == []
    tables.use(replace(tables.settings, match_tolerance_ms=1_000))
    runs(tables, *inputs[:3], [("a@x", 1_301), ("a@x", -700)])
    assert pairs(tables) == [("a@x", 1_000, -700)]


def test_tolerance_zero_keeps_the_pairs_of_exact_clocks(tables: MemoryTables) -> None:
    tables.use(replace(tables.settings, match_tolerance_ms=0))
    told = [evidence("s", "a@x", 0, 700, 0), evidence("s", "a@x", 1, 700, 0.5)]
    devices = [("s", 1_000), ("s", 1_050), ("s", HOUR + 1_000), ("t", 300)]
    owners = [owner("s", "a@x", differs=True), owner("t", "a@x", differs=False)]
    runs(tables, owners, told, devices, [("a@x", 300), ("a@x", 351), ("a@x", HOUR + 300)])
    assert pairs(tables) == [("a@x", 300, 300), ("a@x", 1_000, 300)]


def test_readings_of_a_device_that_changes_hands_belong_to_the_owner_at_their_time(tables: MemoryTables) -> None:
    periods = [
        owner("s", "a@x", differs=False, to_ms=HOUR),
        owner("s", None, differs=False, from_ms=HOUR, to_ms=2 * HOUR),
        owner("s", "b@x", differs=True, from_ms=2 * HOUR),
    ]
    devices = [("s", HOUR - 1), ("s", HOUR), ("s", 2 * HOUR - 1), ("s", 2 * HOUR), ("s", 2 * HOUR + 900)]
    phones = [(person, at) for person in ("a@x", "b@x") for _, at in devices]
    told = [evidence("s", person, hour, 900, 1) for hour in (0, 2) for person in ("a@x", "b@x")]
    runs(tables, periods, told[1:], devices, phones)
    assert on_phones(tables) == [
        (HOUR - 1, "a@x", HOUR - 1, 0),
        (2 * HOUR, "b@x", 2 * HOUR - 900, 1),
        (2 * HOUR + 900, "b@x", 2 * HOUR, 1),
    ]
    assert pairs(tables) == [("a@x", HOUR - 1, HOUR - 1), ("b@x", 2 * HOUR + 900, 2 * HOUR)]


def test_an_hour_s_new_offset_moves_the_pairs_of_that_hour_only(tables: MemoryTables) -> None:
    owners, devices = [owner("s", "a@x", differs=True)], [("s", 1_000), ("s", 1_500), ("s", 5 * HOUR)]
    phones = [("a@x", 300), ("a@x", 340), ("a@x", 5 * HOUR - 700)]
    told = [evidence("s", "a@x", 0, 700, 5), evidence("s", "a@x", 5, 700, 5)]
    runs(tables, owners, told, devices, phones)
    assert pairs(tables) == [("a@x", 1_000, 300), ("a@x", 5 * HOUR, 5 * HOUR - 700)]
    runs(tables, owners, [evidence("s", "a@x", 0, 660, 5), told[1]], devices, phones)
    assert pairs(tables) == [("a@x", 1_000, 340), ("a@x", 5 * HOUR, 5 * HOUR - 700)]


def test_a_late_reading_across_the_border_of_an_hour_is_nearer(tables: MemoryTables) -> None:
    """The phone's time of the reading is 5 ms before the hour's end; its nearest reading was 12 ms after it."""
    inputs = ([owner("s", "a@x", differs=True)], [evidence("s", "a@x", 1, 700, 5)], [("s", HOUR + 695)])
    runs(tables, *inputs, [("a@x", HOUR + 7)])
    assert pairs(tables) == [("a@x", HOUR + 695, HOUR + 7)]
    runs(tables, *inputs, [("a@x", HOUR + 7), ("a@x", HOUR - 8)])
    assert pairs(tables) == [("a@x", HOUR + 695, HOUR - 8)]
    runs(tables, *inputs, [("a@x", HOUR - 8), ("a@x", HOUR - 5)])
    assert pairs(tables) == [("a@x", HOUR + 695, HOUR - 5)]


def test_a_late_reading_of_a_device_pairs_across_the_border_of_an_hour(tables: MemoryTables) -> None:
    inputs, phones = ([owner("s", "a@x", differs=True)], [evidence("s", "a@x", 1, 700, 5)]), [("a@x", HOUR + 7)]
    runs(tables, *inputs, [("s", 5 * HOUR)], phones)
    runs(tables, *inputs, [("s", HOUR + 695)], phones)
    assert pairs(tables) == [("a@x", HOUR + 695, HOUR + 7)]


# Near the border of the first two hours.
DEVICE = st.tuples(st.sampled_from("st"), st.sampled_from([HOUR + shift for shift in (-1, 0, 695, 700, 710)]))
PHONE = st.tuples(st.sampled_from(("a@x", "a@x", "b@x")), st.integers(HOUR - 20, HOUR + 20))
EVIDENCE = st.builds(
    evidence,
    st.sampled_from("st"),
    st.sampled_from(("a@x", "a@x", "b@x")),
    st.sampled_from((0, 1)),
    st.sampled_from((0.0, 690.0, 700.25)),
    st.sampled_from((0.0, 5.0, 5.0, 30.0)),
    coincidences=st.sampled_from((10, 10, 10, 3)),
)
INPUTS = st.tuples(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from((None, HOUR))),
    # A device and hour has each candidate once.
    st.lists(EVIDENCE, min_size=2, max_size=6, unique_by=lambda row: (row["serialNumber"], row["person"], row["hour_ms"])),
    st.lists(DEVICE, max_size=6),
    st.lists(PHONE, max_size=6),
)


def test_after_every_change_the_tables_equal_a_full_refresh(engine: InMemoryBackend, is_deep: bool) -> None:
    @settings(
        max_examples=2_000 if is_deep else 40,
        derandomize=not is_deep,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(INPUTS, min_size=2, max_size=3), st.lists(st.integers(0, 3), min_size=1, max_size=2))
    def hold(states: list[tuple[Any, ...]], changed: list[int]) -> None:
        tables = tables_of_two(engine)
        state = states[0]
        for later in states:
            # Few inputs change at once, so that others keep what they had.
            state = tuple((later if number in changed else state)[number] for number in range(4))
            (differs, also_differs, handed_over), told, devices, phones = state
            owners = [owner("s", "a@x", differs=differs, to_ms=handed_over), owner("t", "a@x", differs=also_differs)]
            owners += [owner("s", "b@x", differs=differs, from_ms=HOUR)] if handed_over else []
            runs(tables, owners, told, devices, phones)

    hold()
