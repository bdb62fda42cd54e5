"""Simulated clocks and hand-overs, compared with values worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from stedi.simulate.clocks import Clocks, make_clocks
from stedi.simulate.draws import draw_share
from stedi.simulate.motion import SESSION_MS
from stedi.simulate.options import SimulationOptions
from stedi.simulate.people import People
from stedi.simulate.sessions import NEVER, HandOvers, Sessions


def clocks(whole_seconds: bool = False, jitter_ms: int = 0) -> Clocks:
    """Device 3: 1,500 ms ahead and 100 ppm fast; reset after 10,000 s to 300 ms behind. Device 7 is right."""
    return Clocks(
        device=np.array([3, 7]),
        first_ms=np.array([0, 0]),
        reset_ms=np.array([10_000_000, NEVER]),
        offset_ms=np.array([1_500, 0]),
        offset_after_reset_ms=np.array([-300, 99]),
        drift_ppm=np.array([100.0, 0.0]),
        whole_seconds=np.array([whole_seconds, False]),
        jitter_ms=jitter_ms,
    )


def stamps(clocks: Clocks, *times: list[int]) -> list[list[int]]:
    """What devices 3 and 7 write for readings at the phone's times."""
    stamped: list[list[int]] = clocks.stamp(np.random.default_rng(1), np.array([3, 7]), np.array(times)).tolist()
    return stamped


def test_offset_drift_and_reset_add_up_to_the_time_on_the_device() -> None:
    times = [0, 5_000_000, 9_999_999, 10_000_000, 12_000_000]
    # Drift: 500 ms after 5,000 s, 1,000 ms just before the reset, none at it, 200 ms another 2,000 s later.
    expected = [1_500, 5_002_000, 10_002_499, 9_999_700, 11_999_900]
    assert stamps(clocks(), times, times) == [expected, times]


def test_whole_seconds_are_truncated_not_rounded() -> None:
    times = [499, 5_000_000, 12_000_000]
    assert stamps(clocks(whole_seconds=True), times, times) == [[1_000, 5_002_000, 11_999_000], times]


def test_jitter_is_drawn_for_each_reading_up_to_its_maximum() -> None:
    times = [1_000_000] * 500
    right = stamps(clocks(jitter_ms=2), times, times)[1]
    assert set(right) == {999_998, 999_999, 1_000_000, 1_000_001, 1_000_002}


def sessions(devices: int) -> Sessions:
    """Each device records two sessions a day apart."""
    nothing = np.array([], dtype=np.int64)
    device = np.tile(np.arange(devices), 2)
    start = np.repeat([1_000_000_000_000, 1_000_086_400_000], devices)
    return Sessions(
        walkers=devices,
        walker=device,
        customer=device,
        device=device,
        start_ms=start,
        is_late=np.zeros(2 * devices, dtype=np.bool_),
        neighbour=np.full(devices, -1),
        reports=np.ones(devices, dtype=np.bool_),
        hand_overs=HandOvers(nothing, nothing, nothing),
    )


def test_offsets_are_drawn_evenly_and_clocks_are_reset_while_a_device_is_used() -> None:
    drawn = make_clocks(np.random.default_rng(1), sessions(3_000), SimulationOptions(clock_offset_ms=1, clock_resets=0.5))
    for offset in (drawn.offset_ms, drawn.offset_after_reset_ms):
        values, counts = np.unique(offset, return_counts=True)
        assert values.tolist() == [-1, 0, 1]
        # Five standard deviations of a share of a third of 3,000.
        assert np.abs(counts - 1_000).max() < 5 * np.sqrt(3_000 * 2 / 9)
    is_reset = drawn.reset_ms < NEVER
    assert is_reset.sum() == 1_500
    assert drawn.reset_ms[is_reset].min() > 1_000_000_000_000 - 10
    assert drawn.reset_ms[is_reset].max() < 1_000_086_400_000 + SESSION_MS


def test_another_offset_leaves_the_other_draws_unchanged() -> None:
    one, other = (
        make_clocks(np.random.default_rng(1), sessions(50), SimulationOptions(clock_offset_ms=offset, clock_drift_ppm=20))
        for offset in (0, 2_000)
    )
    assert one.drift_ppm.tolist() == other.drift_ppm.tolist()
    assert np.abs(one.drift_ppm).max() <= 20
    assert not one.offset_ms.any()
    assert 1_000 < np.abs(other.offset_ms).max() <= 2_000


def test_a_device_has_its_new_owner_from_the_hand_over_on() -> None:
    # Customers 0 and 1 own a device each; customer 5 takes over device 1 at moment 100.
    handed = HandOvers(device=np.array([1]), new_owner=np.array([5]), at_ms=np.array([100]))
    user = handed.user(np.array([0, 1]), np.array([0, 1, 0, 1]), np.array([99, 99, 100, 100]))
    assert user.tolist() == [0, 1, 0, 5]


def test_a_new_owners_records_claim_the_device_from_the_hand_over_on_and_no_other() -> None:
    # Customer 1 takes over device 0, "a", at moment 100; "r" is one of the fulfilment site's serials.
    nothing = np.array([], dtype=np.int64)
    people = People(
        users=pa.array(["ann", "bob", "cy"]),
        serials=pa.array(["a", "b", "c"]),
        owners=np.array([0, 1, 2]),
        extra_devices=np.zeros(3, dtype=np.int64),
        first_extra_device=np.full(3, 3),
        records=pa.table({"serialNumber": ["a", "b", "r", "b", "r", "c"], "lastUpdateDate": [100, 99, 99, 100, 100, 100]}),
        record_of=np.array([0, 1, 1, 1, 1, 2]),
        reused=pa.array(["r"] * 30),
        consent=pa.table({}),
    )
    rng = np.random.default_rng(1)
    handed = people.hand_over(rng, np.array([0]), np.array([1]), np.array([100])).records["serialNumber"]
    assert handed.to_pylist() == ["a", "r", "r", "a", "r", "c"]
    assert people.hand_over(rng, nothing, nothing, nothing).records.equals(people.records)


@pytest.mark.parametrize(("count", "share", "expected"), [(10, 0, 0), (10, 0.24, 2), (10, 0.26, 3), (10, 1, 10), (0, 1, 0)])
def test_a_share_is_exact_to_the_nearest_whole_number(count: int, share: float, expected: int) -> None:
    assert draw_share(np.random.default_rng(1), count, share).sum() == expected
