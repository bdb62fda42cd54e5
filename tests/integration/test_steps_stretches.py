"""Stretches of the training set: long ones are cut, short ones left out, and of many some drawn at random."""

import pytest

from stedi.config import Settings
from stedi.model.resampling import SAMPLE_MS
from stedi.steps.data.stretches import Stretch, read_stretches
from tests.support.lake import T0, Lake, customer, distance, reading

PEOPLE = tuple("abcd")
LONG_MS = 700_000


@pytest.fixture
def settings(lake: Lake) -> Settings:
    """Three people with twice 6 s of motion, and one with 700 s and 4 s."""
    for who in PEOPLE:
        spans = [(0, LONG_MS), (LONG_MS + 60_000, LONG_MS + 64_000)] if who == "d" else [(0, 6_000), (60_000, 66_000)]
        times = [t for begin, end in spans for t in range(begin, end + 1, SAMPLE_MS)]
        lake.land(f"customer/{who}.json", [customer(f"{who}@x", 10, shares=10, serial=who)])
        lake.land(f"accelerometer/{who}.json", [reading(f"{who}@x", t) for t in times])
        lake.land(
            f"step_trainer/{who}.json", [distance(who, t, 60 if t % 1_000 == 500 else 250) for t in times if t % 100 == 0]
        )
    lake.run(select=["step_training_set"])
    return lake.settings


def drawn(settings: Settings, seed: int, most: int) -> list[Stretch]:
    return list(read_stretches(settings, seed, most))


def lengths(stretches: list[Stretch]) -> list[int]:
    return sorted(len(stretch.acceleration) for stretch in stretches)


def test_long_stretches_are_cut_and_short_ones_left_out(settings: Settings) -> None:
    stretches = drawn(settings, 1, 1_000_000)
    assert lengths(stretches) == [300] * 6 + [5_000, 30_000]
    assert [(stretch.person, stretch.start_ms) for stretch in stretches] == sorted(
        (stretch.person, stretch.start_ms) for stretch in stretches
    )
    [first, second] = [stretch for stretch in stretches if len(stretch.acceleration) > 300]
    assert (first.person, first.start_ms, second.start_ms) == (second.person, T0, T0 + 600_000)
    assert first.end_ms == T0 + 600_000 - SAMPLE_MS
    assert first.steps_ms.tolist() == list(range(T0 + 500, T0 + 600_000, 1_000))
    assert second.steps_ms.tolist() == list(range(T0 + 600_500, T0 + LONG_MS, 1_000))


def test_the_draw_depends_on_the_seed_and_reaches_the_number_of_samples(settings: Settings) -> None:
    def names(seed: int) -> list[tuple[str, int]]:
        return [(stretch.person, stretch.start_ms) for stretch in drawn(settings, seed, 1)]

    assert all(len(names(seed)) == 1 for seed in range(20))
    assert names(3) == names(3)
    # Twenty seeds draw the same of eight stretches with a probability of 8 to the power of -19.
    assert len({name for seed in range(20) for name in names(seed)}) > 1
    for seed in range(5):
        some = lengths(drawn(settings, seed, 700))
        assert sum(some) >= 700
        assert sum(some) - max(some) < 700
