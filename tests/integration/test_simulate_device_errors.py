"""Simulated clock errors, losses, shared homes and hand-overs: the files agree with the ground truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from stedi.compute.duckdb import DuckDBBackend
from stedi.errors import UsageError
from stedi.simulate import IDEAL, SimulationOptions
from stedi.simulate.landing_files import simulate
from tests.support.compare import tree
from tests.support.landing import LandingFolder
from tests.support.program import stedi

SIZE: dict[str, Any] = {"customers": 60, "days": 3, "seed": 8, "readings": 27_000}  # 18 sessions of 6 people


@dataclass(frozen=True)
class World:
    """What a simulation wrote: readings in the order of the files, and the truth about devices."""

    customer: pandas.DataFrame
    phone: pandas.DataFrame
    device: pandas.DataFrame
    owners: pandas.DataFrame
    periods: pandas.DataFrame

    def true_periods(self, phone_ms: pandas.Series) -> pandas.DataFrame:
        """The period of each device reading, in order, from the readings' times on the phone's clock."""
        rows = self.device.assign(phone_ms=phone_ms, row=np.arange(len(self.device))).sort_values("phone_ms")
        periods = self.periods.sort_values("from_ms")
        found = pandas.merge_asof(rows, periods, left_on="phone_ms", right_on="from_ms", by="serialNumber")
        return found.sort_values("row", ignore_index=True)


def make(folder: Path, **values: Any) -> World:
    simulate(folder, replace(IDEAL, **SIZE, clean=True, **values))

    def feed(name: str) -> pandas.DataFrame:
        files = sorted((folder / name).glob("*.json"))
        read = [pandas.read_json(file, lines=True, dtype=False) for file in files]
        return pandas.concat(read, ignore_index=True)

    truth = (pandas.read_parquet(folder / f"ground_truth/{name}.parquet") for name in ("device_owner", "device_periods"))
    return World(feed("customer"), feed("accelerometer"), feed("step_trainer"), *truth)


@pytest.fixture(scope="module")
def ideal(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make(tmp_path_factory.mktemp("ideal") / "landing")


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    return lambda **values: make(tmp_path / "landing", **values)


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[LandingFolder]:
    with DuckDBBackend(scratch=tmp_path, threads=1) as engine:
        yield LandingFolder(tmp_path, engine)


def times_of(world: World) -> set[tuple[str, int]]:
    return set(zip(world.phone["user"], world.phone["timeStamp"], strict=True))


def test_ideal_devices_have_one_period_each_without_errors(ideal: World) -> None:
    periods = ideal.periods
    assert periods["serialNumber"].is_unique
    assert not periods[["offset_ms", "drift_ppm", "jitter_ms", "whole_seconds"]].any(axis=None)
    assert periods["phone_reports"].all()
    assert periods[["to_ms", "lives_with"]].isna().all(axis=None)
    assert len(periods.merge(ideal.owners)) == len(periods) == ideal.device["serialNumber"].nunique()


def test_device_times_are_phone_times_of_the_user_with_the_true_offset_drift_and_reset(
    world: Callable[..., World], ideal: World
) -> None:
    made = world(clock_offset_ms=2_000, clock_drift_ppm=50, clock_resets=0.5)
    # Clocks change nothing but what the devices say.
    pandas.testing.assert_frame_equal(made.phone, ideal.phone)
    phone_ms = ideal.device["sensorReadingTime"]
    true = made.true_periods(phone_ms)
    error = (true["offset_ms"] + true["drift_ppm"] * (phone_ms - true["from_ms"]) / 1e6).round().astype(int)
    assert (made.device["sensorReadingTime"] - error == phone_ms).all()
    assert set(zip(true["user"], made.device["sensorReadingTime"] - error, strict=True)) <= times_of(made)
    assert made.periods["offset_ms"].abs().max() <= 2_000
    assert made.periods["offset_ms"].nunique() == len(made.periods)
    assert 0 < made.periods["drift_ppm"].abs().max() <= 50
    devices = made.periods.groupby("serialNumber")
    assert (devices.size() == 2).sum() == round(0.5 * devices.ngroups)
    assert (devices["drift_ppm"].nunique() == 1).all()
    assert (devices["user"].nunique() == 1).all()
    first = made.periods["to_ms"].notna()
    assert (made.periods["to_ms"][first].to_numpy() == made.periods["from_ms"].shift(-1)[first].to_numpy()).all()


def test_a_clock_keeps_its_offset_and_drift_when_its_device_changes_hands(tmp_path: Path) -> None:
    exact = make(tmp_path / "exact", hand_overs=1)
    made = make(tmp_path / "made", hand_overs=1, clock_offset_ms=2_000, clock_drift_ppm=500)
    phone_ms = exact.device["sensorReadingTime"]
    true = made.true_periods(phone_ms)
    error = (true["offset_ms"] + true["drift_ppm"] * (phone_ms - true["from_ms"]) / 1e6).round().astype(int)
    assert (made.device["sensorReadingTime"] - error == phone_ms).all()
    assert (made.periods.groupby("serialNumber")["user"].nunique() == 2).all()
    # 500 ppm are 43 s a day.
    assert made.periods["offset_ms"].abs().max() > 4_000


def test_only_devices_have_jitter_and_whole_seconds(world: Callable[..., World], ideal: World) -> None:
    made = world(clock_jitter_ms=5, whole_seconds=0.5)
    pandas.testing.assert_frame_equal(made.phone, ideal.phone)
    phone_ms = ideal.device["sensorReadingTime"]
    whole = made.true_periods(phone_ms)["whole_seconds"]
    off = made.device["sensorReadingTime"] - phone_ms
    assert set(off[~whole]) == set(range(-5, 6))
    assert not (made.device["sensorReadingTime"][whole] % 1_000).any()
    assert off[whole].between(-1_004, 5).all()
    assert made.periods["whole_seconds"].sum() == round(0.5 * len(made.periods))
    assert (made.periods["jitter_ms"] == 5).all()


def test_readings_of_phones_and_devices_are_lost_independently(world: Callable[..., World], ideal: World) -> None:
    made = world(lost=0.3)
    for arrived, sent in ((made.phone, ideal.phone), (made.device, ideal.device)):
        both = sent.drop_duplicates().merge(arrived.drop_duplicates(), how="left", indicator=True)
        # Five standard deviations around 30% of 27,000 and of 9,000 readings.
        assert (both["_merge"] == "left_only").mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / len(both)))
        assert len(arrived.drop_duplicates()) == (both["_merge"] == "both").sum()
    here = made.device.drop_duplicates()["sensorReadingTime"]
    lost = ~here.isin(made.phone["timeStamp"])
    assert lost.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / len(here)))


def test_pairs_at_home_record_at_the_same_times(world: Callable[..., World], ideal: World) -> None:
    made = world(shared_homes=0.7)
    at_home = made.periods.dropna(subset="lives_with")
    # 0.7 of 6 people are 2 pairs, to the nearest whole number of pairs.
    pairs = set(zip(at_home["user"], at_home["lives_with"], strict=True))
    assert len(pairs) == 4
    assert pairs == {(b, a) for a, b in pairs}
    owners = dict(zip(made.periods["serialNumber"], made.periods["user"], strict=True))
    for user, neighbour in pairs:
        own = made.device[made.device["serialNumber"].map(owners) == user]["sensorReadingTime"].to_numpy()
        assert len(own) >= 1_500
        near = np.sort(made.phone[made.phone["user"] == neighbour]["timeStamp"].to_numpy())
        after = np.searchsorted(near, own).clip(1, len(near) - 1)
        # Sessions of half a minute begin within 10 s of each other.
        apart = np.minimum(np.abs(own - near[after]), np.abs(own - near[after - 1]))
        assert apart.max() <= 10_000
        assert np.mean(apart <= 19 + 6 + 20) > 0.6
        assert not set(own) <= set(near)
    assert set(owners.values()) > {user for user, _ in pairs}


def test_a_device_that_changes_hands_records_with_its_new_users_phone(world: Callable[..., World]) -> None:
    made = world(hand_overs=1)
    before, after = made.periods[made.periods["to_ms"].notna()], made.periods[made.periods["to_ms"].isna()]
    assert before["serialNumber"].tolist() == after["serialNumber"].tolist()
    assert before["to_ms"].tolist() == after["from_ms"].tolist()
    assert set(made.owners.merge(before)["user"]) == set(before["user"])
    assert after["user"].is_unique
    # New owners have a phone and no device of their own.
    assert not set(after["user"]) & (set(before["user"]) | set(made.owners["user"]))
    true = made.true_periods(made.device["sensorReadingTime"])
    assert set(true.groupby(["serialNumber", "user"]).groups) == set(
        made.periods[["serialNumber", "user"]].itertuples(index=False, name=None)
    )
    assert set(zip(true["user"], made.device["sensorReadingTime"], strict=True)) <= times_of(made)
    # Nobody's records claim a device that is not theirs at the time, and most carry one of 30 serials.
    records = made.customer.assign(user=made.customer["email"].str.strip().str.lower()).merge(after, on="user")
    own = records["serialNumber_x"] == records["serialNumber_y"]
    assert (records["lastUpdateDate"] >= records["from_ms"])[own].all()
    assert not records["serialNumber_x"][~own].isin(made.owners["serialNumber"]).any()


def test_owners_without_a_phone_have_readings_of_their_devices_only(world: Callable[..., World], ideal: World) -> None:
    made = world(without_phone=0.5)
    silent = set(made.periods[~made.periods["phone_reports"]]["user"])
    assert len(silent) == 3
    assert set(made.phone["user"]) == set(ideal.phone["user"]) - silent
    pandas.testing.assert_frame_equal(
        made.device.drop_duplicates(ignore_index=True), ideal.device.drop_duplicates(ignore_index=True)
    )


ALL: dict[str, Any] = {
    "clock_offset_ms": 3_600_000,
    "clock_jitter_ms": 5,
    "clock_drift_ppm": 100.0,
    "whole_seconds": 0.3,
    "clock_resets": 0.3,
    "lost": 0.2,
    "shared_homes": 0.5,
    "hand_overs": 0.3,
    "without_phone": 0.2,
}


def test_all_errors_together_land_and_the_command_writes_the_same_files(landing: LandingFolder, tmp_path: Path) -> None:
    simulate(landing.landing, SimulationOptions(**SIZE, clean=True, **ALL))
    assert landing.run().quarantined == {"customer": 0, "accelerometer": 0, "step_trainer": 0}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (SIZE | ALL).items()]
    assert stedi(tmp_path, "simulate", "again", "--clean", *options).returncode == 0
    assert tree(tmp_path / "again") == tree(landing.landing)


@pytest.mark.parametrize("values", [{"lost": 1}, {"without_phone": 1}])
def test_feeds_without_a_reading_are_written(tmp_path: Path, values: dict[str, Any]) -> None:
    simulate(tmp_path / "out", replace(IDEAL, **SIZE, **values))
    assert not any(file.stat().st_size for file in (tmp_path / "out/accelerometer").iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clock_offset_ms": -1}, "clock_offset_ms must be 0 to 86,400,000, not -1"),
        ({"clock_drift_ppm": float("nan")}, "clock_drift_ppm must be 0 to 1,000,000, not nan"),
        ({"lost": 1.1}, "lost must be 0 to 1, not 1.1"),
        ({"clock_offset_ms": 43_200_000, "clock_jitter_ms": 43_200_001}, "off by 1.0 days"),
        ({"clock_drift_ppm": 1e6}, "off by 3.0 days"),
        ({"clock_resets": 0.1}, "has no effect without"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        simulate(tmp_path / "out", replace(IDEAL, **SIZE, **values))
    assert not (tmp_path / "out").exists()
