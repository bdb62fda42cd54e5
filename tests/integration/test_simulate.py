"""The simulator: one seed gives the same bytes, the lakehouse computes its ground truth, and its motion is realistic."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.typing import NDArray

from stedi.errors import LandingError, UsageError
from stedi.simulate import IDEAL
from stedi.simulate.gait import POSITIONS, RATE_HZ, make_habits
from stedi.simulate.landing_files import FEEDS, simulate
from stedi.simulate.motion import ACTIVITIES, EVERY_NTH_SAMPLE, Motion, make_motion
from tests.support.lake import Lake


def digest(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def truth(lake: Lake, name: str) -> pandas.DataFrame:
    return pandas.read_parquet(lake.landing / "ground_truth" / f"{name}.parquet")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that has run once over a simulation with every defect."""
    lake = Lake(tmp_path_factory.mktemp("simulated"))
    simulate(lake.landing, replace(IDEAL, customers=400, days=2, seed=7, readings=300_000))
    lake.run()
    return lake


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that has run once over a simulation without defects of format."""
    lake = Lake(tmp_path_factory.mktemp("clean"))
    simulate(lake.landing, replace(IDEAL, customers=60, days=3, seed=8, readings=15_000, clean=True))
    lake.run()
    return lake


@pytest.fixture(scope="module")
def motion() -> Motion:
    rng = np.random.default_rng(1)
    return make_motion(rng, make_habits(rng, 600), 1_767_571_200_000 + 86_400_000 * np.arange(600))


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, replace(IDEAL, customers=20, days=1, seed=seed, readings=5_000))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_the_lakehouse_computes_the_true_owners(simulated: Lake) -> None:
    owners = dict(truth(simulated, "device_owner").itertuples(index=False))
    found = simulated.rows("SELECT serialNumber, person FROM device_owner WHERE reading_times > 0 AND person IS NOT NULL")
    assert len(found) > 15
    assert all(person == owners[serial] for serial, person in found)
    assert truth(simulated, "device_owner")["user"].duplicated().any()
    statuses = {status for (status,) in simulated.rows("SELECT DISTINCT status FROM device_owner")}
    assert {"inferred", "ambiguous"} <= statuses


def test_the_lakehouse_computes_the_true_consent_of_customers_with_an_address(simulated: Lake) -> None:
    # The phone number tells whose the records without an address are.
    nameless = """
        SELECT lower(trim(email)) FROM customer_landing
        WHERE phone IN (SELECT phone FROM customer_landing WHERE email IS NULL)
    """
    unsure = {person for (person,) in simulated.rows(nameless)}
    expected = {
        (user, from_ms, None if np.isnan(to_ms) else int(to_ms))
        for user, from_ms, to_ms in truth(simulated, "consent").itertuples(index=False)
        if user not in unsure
    }
    found = simulated.rows("SELECT person, consented_from_ms, consented_to_ms FROM consent_history")
    assert {row for row in found if row[0] not in unsure} == expected
    assert len(expected) > 150


def test_consent_repeated_with_an_old_date_is_not_in_force_before_the_withdrawal(simulated: Lake) -> None:
    reaches_back = """
        SELECT count(*) FROM consent_history AS h JOIN customer_landing AS l
          ON lower(trim(l.email)) = h.person AND l.shareWithResearchAsOfDate < h.consented_from_ms
         AND l.lastUpdateDate >= h.consented_from_ms
    """
    assert simulated.rows(reaches_back) > [(0,)]


def test_newest_records_that_disagree_exist_and_are_no_consent(simulated: Lake) -> None:
    disagree = """
        SELECT lower(trim(email)) FROM customer_landing GROUP BY lower(trim(email)), lastUpdateDate
        HAVING count(shareWithResearchAsOfDate) BETWEEN 1 AND count(*) - 1
    """
    people = {person for (person,) in simulated.rows(disagree)} - {None}
    assert people
    assert not people & {person for (person,) in simulated.rows("SELECT person FROM customer_trusted")}


def test_addresses_spelled_otherwise_match_their_readings(simulated: Lake) -> None:
    spelled = "SELECT count(*) FROM customers_curated WHERE email <> person AND device_count > 0"
    assert simulated.rows(spelled) > [(0,)]


def test_device_and_phone_share_their_timestamps(simulated: Lake) -> None:
    apart = """
        SELECT count(*) FROM step_trainer_landing AS s JOIN device_owner AS o ON o.serialNumber = s.serialNumber
        WHERE o.person IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM accelerometer_landing AS a WHERE a."user" = o.person AND a.timeStamp = s.sensorReadingTime)
    """
    assert simulated.rows(apart) == [(0,)]


def test_some_customers_never_record_anything(simulated: Lake) -> None:
    ((recording,),) = simulated.rows('SELECT count(DISTINCT "user") FROM accelerometer_landing')
    assert 15 < recording < 400


def test_broken_records_are_quarantined_and_clean_files_have_none(simulated: Lake, clean: Lake) -> None:
    broken = simulated.rows("SELECT DISTINCT feed, reason FROM quarantine")
    assert {feed for feed, _ in broken} == set(FEEDS)
    assert {reason for _, reason in broken} >= {"not_json", "unfinished_record"}
    assert clean.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert not list(clean.landing.rglob("retries"))
    for file in clean.landing.rglob("*.json"):
        assert len(records(file)) == file.read_bytes().count(b"\n")
    assert records(clean.landing / "accelerometer/accelerometer-00000.json")[0].keys() == {
        "user",
        "timeStamp",
        "x",
        "y",
        "z",
    }


def test_defects_lose_no_record(simulated: Lake) -> None:
    sound = {json.dumps(r) for f in (simulated.landing / "step_trainer").glob("*.json") for r in records(f)}
    ((landed,),) = simulated.rows(
        "SELECT count(DISTINCT (sensorReadingTime, serialNumber, distanceFromObject)) FROM step_trainer_landing"
    )
    assert landed == len(sound)


def test_every_layout_is_written_for_every_feed(simulated: Lake) -> None:
    layouts = {feed: {f.name.removeprefix(feed) for f in (simulated.landing / feed / "retries").iterdir()} for feed in FEEDS}
    assert len(layouts["customer"]) == 16
    assert layouts["customer"] == layouts["accelerometer"] == layouts["step_trainer"]
    lower = records(simulated.landing / "accelerometer/retries/accelerometer-lower-case-keys.json")[0]
    assert "timestamp" in lower


def test_customer_files_overlap(clean: Lake) -> None:
    files = sorted((clean.landing / "customer").glob("*.json"))
    assert len(files) > 5
    for before, after in pairwise(files):
        assert set(before.read_text().splitlines()) & set(after.read_text().splitlines())


def test_late_sessions_arrive_in_a_file_of_a_later_day(clean: Lake) -> None:
    for feed, time in (("accelerometer", "timeStamp"), ("step_trainer", "sensorReadingTime")):
        (late,) = (clean.landing / feed).glob("*-uploaded-2026-*.json")
        in_time = [r[time] for r in records(clean.landing / feed / f"{feed}-00000.json")]
        assert min(r[time] for r in records(late)) < max(in_time)


def test_true_steps_are_within_true_walks(simulated: Lake) -> None:
    walks = truth(simulated, "activities").query("activity == 'walk'")
    assert set(walks["position"]) <= set(POSITIONS)
    walk_of_step = truth(simulated, "steps").merge(walks, on="user").query("from_ms <= step_ms < to_ms")
    assert len(walk_of_step) == len(truth(simulated, "steps")) > 1_000


def magnitudes(motion: Motion, activity: str, position: str) -> NDArray[np.float64]:
    """Length of the acceleration (m/s²) over sessions of one kind throughout, sessions × samples."""
    chosen = (motion.activity == ACTIVITIES.index(activity)).all(axis=1)
    chosen &= motion.position == POSITIONS.index(position)
    return np.asarray(np.linalg.norm(motion.acceleration[:, chosen], axis=0))


@pytest.mark.parametrize("position", POSITIONS)
def test_walking_looks_like_walking_wherever_the_phone_is(motion: Motion, position: str) -> None:
    walks = magnitudes(motion, "walk", position)
    chosen = (motion.activity == ACTIVITIES.index("walk")).all(axis=1) & (motion.position == POSITIONS.index(position))
    steps_a_second = np.bincount(motion.step_session, minlength=len(chosen))[chosen] / 30
    assert len(walks) >= 5
    assert 1.35 < steps_a_second.min() < steps_a_second.max() < 2.35
    assert walks.mean() == pytest.approx(10.3, abs=0.8)
    # The strongest frequency is that of the steps, or of half as many strides or twice as many heel strikes.
    spectrum = np.abs(np.fft.rfft(walks - walks.mean(axis=1, keepdims=True)))
    strongest = spectrum.argmax(axis=1) / 30
    ratio = strongest / steps_a_second
    nearest = np.array([0.5, 1, 1.5, 2, 3])[np.abs(ratio[:, None] - [0.5, 1, 1.5, 2, 3]).argmin(axis=1)]
    assert (np.abs(ratio - nearest) < 0.1).mean() > 0.85
    assert (nearest == 1).mean() > 0.5


def test_a_pocket_moves_more_than_a_hand_and_a_rider_more_than_a_sitter(motion: Motion) -> None:
    spread = {position: magnitudes(motion, "walk", position).std(axis=1).mean() for position in POSITIONS}
    assert 1.2 < spread["hand"] < spread["neck pouch"] < spread["pocket"] < 6
    at_rest = (motion.activity > 0).all(axis=1)
    lengths = np.linalg.norm(motion.acceleration, axis=0)
    rides = (motion.activity == ACTIVITIES.index("ride")).any(axis=1) & at_rest
    assert lengths[at_rest & ~rides].std(axis=1).mean() < lengths[rides].std(axis=1).mean() < spread["hand"]


def test_people_fall_into_stride_and_out_of_it(motion: Motion) -> None:
    starts = (motion.activity[:, 0] > 0) & (motion.activity[:, 1] == ACTIVITIES.index("walk"))
    first_sample = (motion.bounds_ms[starts, 1] - motion.bounds_ms[starts, 0]) // (1000 // RATE_HZ)
    lengths = np.linalg.norm(motion.acceleration[:, starts], axis=0)

    def spread(after_samples: int) -> float:
        window = first_sample[:, None] + after_samples + np.arange(20)
        return float(np.take_along_axis(lengths, window, axis=1).std(axis=1).mean())

    assert spread(0) < spread(20) < spread(60)


def test_feet_pass_the_step_trainer_at_true_steps(motion: Motion) -> None:
    times = motion.times_ms[:, ::EVERY_NTH_SAMPLE]
    start, end = motion.times_ms[motion.step_session, 0], motion.times_ms[motion.step_session, -1]
    inside = (start + 500 < motion.step_ms) & (motion.step_ms < end - 500)
    session, step_ms = motion.step_session[inside], motion.step_ms[inside]
    reading = np.array([np.searchsorted(times[s], ms) for s, ms in zip(session, step_ms, strict=True)])
    nearest = np.minimum(motion.distance[session, reading - 1], motion.distance[session, reading])
    assert np.median(nearest) < 100
    assert 0.01 < (nearest > 200).mean() < 0.06  # missed now and then
    walks = (motion.activity == ACTIVITIES.index("walk")).any(axis=1)
    assert np.median(motion.distance[~walks]) == pytest.approx(250, abs=3)
    assert 0 < (motion.distance[~walks] < 200).mean() < 0.05  # false objects


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"customers": 0}, "customers must be 1 or more, not 0"),
        ({"days": 0}, "days must be 1 to 9,000, not 0"),
        ({"days": 10**9}, "days must be 1 to 9,000, not 1,000,000,000"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"readings": -1}, "readings must be 0 or more, not -1"),
        ({"readings": 10_000_000}, "can't record .* ask for fewer readings"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, int], message: str
) -> None:
    values: dict[str, Any] = {"customers": 1, "days": 1, "seed": 1} | options
    with pytest.raises(UsageError, match=message):
        simulate(tmp_path / "out", replace(IDEAL, **values))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        simulate(tmp_path, replace(IDEAL, customers=1, days=1, seed=1))
    with pytest.raises(UsageError, match="is a file"):
        simulate(tmp_path / "mine.txt", replace(IDEAL, customers=1, days=1, seed=1))
    with pytest.raises(UsageError, match="can't be written"):
        simulate(tmp_path / "mine.txt/below", replace(IDEAL, customers=1, days=1, seed=1))
    assert digest(tmp_path).keys() == {"mine.txt"}


def test_a_full_disk_is_reported_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stedi.simulate.landing_files.JsonLinesWriter.write", fill_up)
    with pytest.raises(LandingError, match=r"No space left on device.*delete folder"):
        simulate(tmp_path / "out", replace(IDEAL, customers=1, days=1, seed=1, readings=0))


def test_the_maximum_number_of_days_is_between_2000_and_today(lake: Lake) -> None:
    simulate(lake.landing, replace(IDEAL, customers=30, days=9_000, seed=1, readings=10_000, clean=True))
    assert lake.run().quarantined == {"customer": 0, "accelerometer": 0, "step_trainer": 0}
    dates = "SELECT count(*), count(*) FILTER (contains(extra_fields, 'AsOfDate')) FROM customer_landing"
    [(customers, without_time)] = lake.rows(dates)
    assert (customers > 30, without_time) == (True, 0)


@pytest.mark.parametrize(("customers", "readings"), [(1, 0), (1, 1), (2, 3_000)])
def test_tiny_simulations_are_complete(tmp_path: Path, customers: int, readings: int) -> None:
    made = simulate(tmp_path / "out", replace(IDEAL, customers=customers, days=1, seed=1, readings=readings))
    assert made.customers >= customers
    assert made.accelerometer >= readings
    assert (tmp_path / "out/ground_truth/steps.parquet").exists()
