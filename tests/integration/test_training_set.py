"""Samples at a steady rate and steps read off the distance, by hand and by law, in a table that is made when asked for."""

import hashlib
import hmac
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi.maintenance.maintain import maintain
from stedi.model.resampling import resample_sql
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.tables.curated.step_training_set import MIN_READINGS, TABLE
from stedi.verify.verify import verify
from tests.support.compare import REBUILT, as_another, contents, found_wrong, rule_counts
from tests.support.lake import KEY, T0, Lake, customer
from tests.support.program import stedi
from tests.support.training_set import SET, land, land_two_walks, walk

NO_CONSENT = "rows of people who do not consent"
HASHED_KEY = hashlib.sha256(KEY.encode()).digest()
Reading = tuple[int, float]
READINGS = st.lists(
    st.tuples(st.integers(-5_000, 5_000), st.floats(-200, 200)),
    min_size=2,
    max_size=60,
    unique_by=lambda reading: reading[0],
)


def samples(readings: Iterable[Reading], who: str = "a") -> dict[int, float]:
    """Samples (time, x) of readings (time, x)."""
    return {at: x for _, at, x in samples_of([(who, t, x) for t, x in readings])}


def samples_of(readings: Sequence[tuple[str, int, float | None]]) -> list[tuple[str, int, float]]:
    """Samples (who, time, x) of readings (who, time, x)."""
    with duckdb.connect() as connection:
        connection.execute(
            """
            CREATE TABLE readings AS
            SELECT unnest($1::VARCHAR[]) AS who, unnest($2::BIGINT[]) AS t, unnest($3::DOUBLE[]) AS x,
                0.0::DOUBLE AS y, 9.81::DOUBLE AS z""",
            [[reading[place] for reading in readings] for place in range(3)],
        )
        query = resample_sql("readings", "who")
        assert connection.execute(f"SELECT count(*) FROM ({query}) AS s WHERE (y, z) <> (0, 9.81)").fetchone() == (0,)
        return connection.execute(f"SELECT who, at_ms, x FROM ({query}) AS s ORDER BY ALL").fetchall()


def test_readings_on_the_grid_are_its_samples() -> None:
    assert samples([(0, 1.5), (20, 2.5), (40, -3)]) == {0: 1.5, 20: 2.5}


def test_samples_lie_on_the_line_between_readings() -> None:
    assert samples([(7, 1), (67, 4)]) == {20: 1.65, 40: 2.65, 60: 3.65}
    assert samples([(-67, 4), (-7, 1)]) == {-60: 3.65, -40: 2.65, -20: 1.65}
    # A third has no end; six decimals are kept.
    assert samples([(0, 0), (60, 1)]) == {0: 0, 20: 0.333333, 40: 0.666667}


def test_readings_of_one_step_of_the_grid_are_averaged_with_their_times() -> None:
    assert samples([(5, 1), (5, 3), (11, 5), (27, 5)]) == {20: 4.3}
    # The mean of the first two, 2 at -10.5 ms, is no sample of the grid, and none lies between it and the next.
    assert samples([(-1, 1), (-20, 3), (0, 5), (20, 5)]) == {0: 5}


@pytest.mark.parametrize(("gap", "count"), [(400, 20), (401, 0)])
def test_no_sample_lies_where_the_phone_paused(gap: int, count: int) -> None:
    assert len(samples([(0, 1), (gap, 1)])) == count


def test_people_are_kept_apart_and_what_is_no_reading_left_out() -> None:
    found = samples_of(
        [("a", 0, 1), ("a", 40, 1), ("b", 20, 2), ("b", 60, 2), ("b", 40, 1e300), ("a", 20, float("nan")), ("a", 20, None)]
    )
    assert found == [("a", 0, 1), ("a", 20, 1), ("b", 20, 2), ("b", 40, 2)]
    assert samples_of([]) == []


@settings(max_examples=25, deadline=None)
@given(READINGS, st.randoms(use_true_random=False), st.integers(-1_000, 1_000))
def test_the_order_of_readings_changes_nothing_and_a_later_start_only_the_times(
    readings: list[Reading], chance: Random, later: int
) -> None:
    shuffled = chance.sample(readings, len(readings))
    found = samples_of(
        [("as it is", t, x) for t, x in readings]
        + [("later", t + 20 * later, x) for t, x in readings]
        + [("shuffled", t, x) for t, x in shuffled]
    )
    one, moved, other = ([(t, x) for who, t, x in found if who == each] for each in ("as it is", "later", "shuffled"))
    assert other == one
    assert moved == [(t + 20 * later, x) for t, x in one]
    assert all(t % 20 == 0 and min(readings)[0] <= t < max(readings)[0] for t, _ in one)
    lowest, highest = min(x for _, x in readings), max(x for _, x in readings)
    assert all(lowest - 1e-6 <= x <= highest + 1e-6 for _, x in one)


def training_set(distances: Iterable[Reading], until_ms: int = 10_000, device: str = "s") -> list[tuple[int, int, bool]]:
    """(session, time, is a step) of one person whose phone reports every 20 ms, by the distances (time, distance)."""
    return training_set_of([(device, t, d) for t, d in distances], until_ms)


def training_set_of(
    distances: Sequence[tuple[str, int, float]], until_ms: int = 10_000, uncertainty_ms: float = 0
) -> list[tuple[int, int, bool]]:
    """The same, of distances (device, time, distance), whose times on the phone's clock may be off by so much."""
    with duckdb.connect() as connection:
        connection.execute(
            """
            CREATE TABLE customers_curated AS SELECT 'a@x' AS person, 'pseudonym' AS customer_pseudonym;
            CREATE TABLE accelerometer_trusted AS SELECT 'a@x' AS person, t AS timeStamp, 0.0::DOUBLE AS x, x AS y, x AS z
                FROM (SELECT unnest(generate_series(0, $until, 20)) AS t, 0.0::DOUBLE AS x) AS r;
            CREATE TABLE step_trainer_trusted (serialNumber VARCHAR, phone_time_ms BIGINT, distanceFromObject DOUBLE,
                clock_uncertainty_ms DOUBLE, person VARCHAR DEFAULT 'a@x')
            """.replace("$until", str(until_ms))
        )
        serials, times, values = map(list, zip(*distances, strict=True))
        connection.execute(
            """
            INSERT INTO step_trainer_trusted (serialNumber, phone_time_ms, distanceFromObject, clock_uncertainty_ms)
            SELECT unnest($1::VARCHAR[]), unnest($2::BIGINT[]), unnest($3::DOUBLE[]), $4""",
            [serials, times, values, uncertainty_ms],
        )
        return connection.execute(f"SELECT session, at_ms, is_step FROM ({TABLE.query}) AS q ORDER BY at_ms").fetchall()


def steps(distances: Iterable[Reading]) -> list[int]:
    """Times of the samples that are steps."""
    return [at for _, at, is_step in training_set(distances) if is_step]


AT = list(range(1_000, 9_000, 1_000))
# Feet that make the nearest 2% of 200 readings be near.
FEET = dict.fromkeys(AT, 60.0)


def floor(dips: Mapping[int, float]) -> dict[int, float]:
    """Nothing near, every 50 ms for 10 s, but for the nearer distances at some times."""
    return {**dict.fromkeys(range(0, 10_000, 50), 250.0), **dips}


def test_a_dip_is_a_step_at_its_centre_weighted_by_depth() -> None:
    assert steps(floor(FEET).items()) == AT
    # 0.5 × 100, 1 × 150, 0.75 × 200 parts of the way: (0 + 50 + 75) / 2.25 ms behind the first. Midway is 155.
    found = steps(floor(FEET | {400: 154.9, 450: 60, 500: 107.5}).items())
    assert found == [460, *AT]
    # At midway it is not nearer than midway.
    assert steps(floor(FEET | {500: 155.0}).items()) == AT


def test_a_reading_whose_time_is_off_by_more_than_50_ms_teaches_nothing() -> None:
    readings = [("s", t, d) for t, d in floor(FEET).items()]
    assert [at for _, at, is_step in training_set_of(readings, uncertainty_ms=50) if is_step] == AT
    assert training_set_of(readings, uncertainty_ms=50.5) == []


def test_the_step_is_marked_at_the_nearest_sample() -> None:
    moved = {t + 9: d for t, d in floor(FEET).items()}
    assert steps(moved.items()) == AT
    assert steps([(t + 1, d) for t, d in moved.items()]) == [t + 20 for t in AT]


def test_what_stays_is_an_object_and_a_second_dip_at_once_is_the_same_foot() -> None:
    stays = dict.fromkeys(range(100, 701, 50), 60.0)
    assert steps(floor(FEET | stays).items()) == [400, *AT]
    assert steps(floor(FEET | stays | {750: 60.0}).items()) == AT
    assert steps(floor(FEET | {400: 60.0, 550: 60.0}).items()) == [400, *AT]
    assert steps(floor(FEET | {400: 60.0, 600: 60.0}).items()) == [400, 600, *AT]


def test_a_pause_of_the_sensor_ends_a_pass_and_the_samples() -> None:
    readings = floor(FEET)
    paused = {t: d for t, d in readings.items() if not 3_000 < t < 3_550}
    found = training_set(paused.items())
    assert {session for session, _, _ in found} == {0, 3_560}
    assert [at for _, at, _ in found] == [*range(0, 3_001, 20), *range(3_560, 9_941, 20)]
    awake = {t: d for t, d in readings.items() if not 3_000 < t < 3_500}
    assert [at for _, at, _ in training_set(awake.items())] == list(range(0, 9_941, 20))


def test_another_device_of_the_same_person_watches_too() -> None:
    one = [("s1", t, d) for t, d in floor(FEET).items() if t <= 5_000]
    other = [("s2", t, 80.0) for t in range(4_000, 8_001, 50)]
    found = training_set_of([*one, *other])
    assert [at for _, at, _ in found] == list(range(0, 8_001, 20))
    assert [at for _, at, is_step in found if is_step] == [1_000, 2_000, 3_000, 4_000, 5_000]


@pytest.mark.parametrize(
    ("watched", "sessions"),
    [
        # From (ms) to (ms), a device each.
        ([(0, 5_000), (5_020, 8_000)], [(0, 8_000)]),
        ([(0, 5_000), (5_040, 8_000)], [(0, 5_000), (5_040, 8_000)]),
        ([(0, 8_000), (2_000, 3_000), (7_980, 9_000)], [(0, 9_000)]),
        ([(0, 8_000), (2_000, 3_000), (8_500, 9_000)], [(0, 8_000), (8_500, 9_000)]),
        ([(2_000, 4_000), (2_000, 3_000)], [(2_000, 4_000)]),
    ],
)
def test_what_several_devices_watch_is_in_the_set_once(
    watched: list[tuple[int, int]], sessions: list[tuple[int, int]]
) -> None:
    readings = [(f"s{n}", t, 250.0) for n, (begin, end) in enumerate(watched) for t in range(begin, end + 1, 20)]
    found = [(session, at) for session, at, _ in training_set_of(readings)]
    assert found == [(begin, at) for begin, end in sessions for at in range(begin, end + 1, 20)]


def test_of_different_distances_at_one_moment_the_nearest_counts() -> None:
    both = [("s", t, d) for t, d in floor(FEET).items()] + [("s", 500, 60.0), ("s", 1_000, 250.0)]
    assert [at for _, at, is_step in training_set_of(both) if is_step] == [500, *AT]


def test_noise_holds_no_steps_and_few_readings_tell_nothing() -> None:
    # Even chance, as in the public landing set: 7919 is prime, so its multiples fall anywhere.
    assert steps((50 * i, 201 + i * 7_919 % 100) for i in range(200)) == []
    assert steps((50 * i, 250.0) for i in range(200)) == []
    few = [(50 * i, 60.0 if i % 20 == 10 else 250.0) for i in range(MIN_READINGS)]
    assert len(steps(few)) == 5
    assert steps(few[:-1]) == []


@settings(max_examples=12, deadline=None)
@given(
    st.sets(st.integers(0, 199), min_size=5, max_size=40),
    st.sampled_from([0.25, 0.5, 2, 8, 1024]),
    st.integers(-300, 300),
    st.lists(st.integers(0, 4), min_size=200, max_size=200),
)
def test_neither_the_unit_nor_the_place_of_the_sensor_changes_the_steps(
    near: set[int], unit: float, offset: int, noise: list[int]
) -> None:
    distances = [(50 * i, (60.0 if i in near else 250.0) + noise[i]) for i in range(200)]
    found = steps(distances)
    assert found
    assert steps((t, unit * (d + offset)) for t, d in distances) == found


# In a lakehouse


PEOPLE = f"SELECT DISTINCT person FROM {SET} JOIN customers_curated USING (customer_pseudonym) ORDER BY ALL"
COUNTS = f"SELECT count(*), count(*) FILTER (WHERE is_step), count(DISTINCT session) FROM {SET}"


def test_nothing_is_made_or_broken_before_it_is_asked_for(lake: Lake, tmp_path: Path) -> None:
    land_two_walks(lake)
    assert SET not in lake.run().tables
    assert lake.rows(f"SELECT * FROM {SET}") == []
    assert found_wrong(lake) == []
    assert maintain(lake.settings).tables[SET].files_before == 0
    planned = lake.run(dry_run=True, select=[SET]).tables[SET]
    assert (planned.status, planned.rows) == ("would refresh", 2 * 298 - 1)
    assert SET not in lake.run(dry_run=True).tables
    assert "step_training_set" in stedi(tmp_path, "tables").stdout
    assert stedi(tmp_path, "show", SET).returncode == 0


def test_from_the_first_time_on_every_run_keeps_it_and_a_withdrawn_person_leaves_it(
    lake: Lake, new_lake: Callable[..., Lake]
) -> None:
    land_two_walks(lake)
    lake.run()
    before = [run for (run,) in lake.rows("SELECT DISTINCT run_id FROM rule_result")]
    made = lake.run(select=[SET])
    assert made.tables[SET].reason == "first run"
    # The sensor watches from the first moment to 5,940 ms, Bob's from 10 ms later, and the grid is whole 20 ms.
    assert lake.rows(COUNTS) == [(2 * 298 - 1, 2 * 10, 2)]
    assert lake.rows(PEOPLE) == [("ann@x",), ("bob@x",)]
    assert lake.rows(f"SELECT count(*) FROM {SET}", as_of=before[0]) == [(0,)]
    assert lake.run().tables[SET].status == "up to date"
    land(lake, walk("bob", "s-bob", 200_000, step_every=300))
    more = lake.run().tables[SET]
    assert (more.added, more.removed, more.people) == (298, 0, 1)
    assert found_wrong(lake) == []
    fresh = new_lake("fresh")
    shutil.copytree(lake.landing, fresh.landing, dirs_exist_ok=True)
    fresh.run(select=[SET])
    assert contents(lake, [SET]) == contents(fresh, [SET])
    assert rule_counts(lake, [SET]) == rule_counts(fresh, [SET])

    lake.land("customer/2.json", [customer("ann@x", 20, serial="s-ann")])
    lake.run()
    assert lake.rows(PEOPLE) == [("bob@x",)]
    assert found_wrong(lake) == []


def test_only_readings_under_consent_are_learned_from_where_the_policy_says_so(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("reading", policy="reading")
    records = [customer("ann@x", 90_000, shares=103_000, serial="s-ann")]
    lake.land("customer/1.json", records)
    land(lake, walk("ann", "s-ann", 100_000), walk("ann", "s-ann", 200_000))
    lake.run()
    lake.run(select=[SET])
    # Consent begins amid the first walk; the sensor's first reading behind it is 103 s after T0.
    assert lake.rows(f"SELECT session, min(at_ms), max(at_ms) FROM {SET} GROUP BY ALL ORDER BY ALL") == [
        (T0 + 103_000, T0 + 103_000, T0 + 105_940),
        (T0 + 200_000, T0 + 200_000, T0 + 205_940),
    ]
    assert found_wrong(lake) == []


def test_rules_tell_of_whom_no_step_was_seen_and_a_changed_row_is_found(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("ann@x", 10, shares=10, serial="s-ann")])
    land(lake, walk("ann", "s-ann", 100_000, step_every=10_000))
    lake.run()
    report = lake.run(select=[SET])
    assert {r.rule: r.failed for r in report.rules if r.table == SET} == {
        "required_columns_filled": 0,
        "one_sample_a_moment": 0,
        "known_pseudonym": 0,
        "steps_seen": 298,
    }
    asked = {(finding.table, finding.question) for finding in verify(lake.settings)}
    assert {(SET, REBUILT), (SET, NO_CONSENT)} <= asked
    as_another(lake, SET, lambda rows: rows.slice(1))
    assert [(f.table, f.question, f.wrong) for f in found_wrong(lake)] == [(SET, REBUILT, 1)]
    # Bob agreed to nothing, and what another writer puts in under his pseudonym is found.
    theirs = hmac.new(HASHED_KEY, b"customer:bob@x", "sha256").hexdigest()
    as_another(lake, SET, lambda rows: rows.set_column(0, "customer_pseudonym", pa.array([theirs] * len(rows))))
    assert (SET, NO_CONSENT, 297) in [(f.table, f.question, f.wrong) for f in found_wrong(lake)]


def test_steps_of_the_simulator_are_found_where_they_were_taken(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.landing.rmdir()
    simulate(lake.landing, replace(IDEAL, customers=40, days=3, seed=2, readings=60_000))
    lake.run(select=[SET])
    by_name = f"SELECT person, session, at_ms, is_step FROM {SET} JOIN customers_curated USING (customer_pseudonym)"
    people, sessions, times, marks = map(list, zip(*lake.rows(by_name), strict=True))
    with duckdb.connect() as connection:
        row = connection.execute(
            """
            WITH samples AS (
                SELECT unnest($people) AS person, unnest($sessions) AS session,
                    unnest($times) AS at_ms, unnest($marks) AS is_step
            ),
            found AS (SELECT person, at_ms FROM samples WHERE is_step),
            spans AS (SELECT person, session AS from_ms, max(at_ms) AS to_ms FROM samples GROUP BY ALL),
            truth AS (
                SELECT t.step_ms, s.person FROM read_parquet($steps) AS t
                JOIN spans AS s ON s.person = lower(trim(t."user")) AND t.step_ms BETWEEN s.from_ms AND s.to_ms
            ),
            hits AS (
                SELECT DISTINCT f.person, f.at_ms FROM found AS f JOIN truth AS t
                  ON t.person = f.person AND abs(t.step_ms - f.at_ms) <= 100
            )
            SELECT (SELECT count(*) FROM truth), (SELECT count(*) FROM found), (SELECT count(*) FROM hits)
            """,
            {
                "people": people,
                "sessions": sessions,
                "times": times,
                "marks": marks,
                "steps": str(lake.landing / "ground_truth" / "steps.parquet"),
            },
        ).fetchone()
    assert row is not None
    true, found, hits = row
    assert true > 300
    # One foot in fifty passes unseen, and now and then something else passes.
    assert 2 * hits / (true + found) >= 0.96
