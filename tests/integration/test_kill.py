"""Runs and maintenance are killed between each pair of their steps, and at random moments; the next run makes good.

Every death is a real SIGKILL of a real process that does the program's work on real files. What a
killed process leaves on disk is what the next one starts from, so a chain of deaths, each one
step further, passes through every state that a crash can leave.
"""

import os
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any

from stedi.maintenance.maintain import maintain
from tests.support.compare import found_wrong
from tests.support.killing import (
    DAY,
    ChosenSteps,
    assert_recovers,
    files,
    land_first,
    land_more,
    referenced_files,
    start,
    visible_rows,
    was_killed,
)
from tests.support.lake import Lake, customer, reading


def views(lake: Lake, died: Iterator[str]) -> tuple[int, list[Any]]:
    """How many deaths there were, and what readers saw after some of them."""
    deaths, views = 0, []
    for deaths, _ in enumerate(died, start=1):
        if deaths % 4 == 1:
            views.append(visible_rows(lake))
    return deaths, views


def test_a_first_run_killed_between_each_pair_of_steps_is_made_good_by_the_next(
    lake: Lake, twin: Lake, steps: ChosenSteps
) -> None:
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    land_first(lake)
    died, read = views(lake, steps.deaths(lake, "run"))
    assert died >= (75 if steps.are_all else 1)
    assert all(isinstance(view, str) and view.startswith("no ") for view in read[:-1])
    assert_recovers(lake, twin)


def test_a_run_of_changes_killed_between_each_pair_of_steps_is_made_good_by_the_next(
    lake: Lake, twin: Lake, steps: ChosenSteps
) -> None:
    land_first(lake)
    lake.run()
    land_more(lake)
    before = visible_rows(lake)
    died, read = views(lake, steps.deaths(lake, "run"))
    assert died >= (55 if steps.are_all else 1)
    assert read[:-1] == [before] * (len(read) - 1)
    assert visible_rows(lake) != before
    assert_recovers(lake, twin)


def test_a_run_with_upkeep_killed_between_each_pair_of_steps_is_made_good_by_the_next(
    lake: Lake, twin: Lake, steps: ChosenSteps
) -> None:
    land_first(lake)
    lake.run()
    lake.settings = lake.settings.model_copy(update={"maintain_every": 1, "keep_runs": 1})
    land_more(lake)
    died, _ = views(lake, steps.deaths(lake, "run", ("accelerometer_landing", "accelerometer_trusted")))
    assert died >= (30 if steps.are_all else 1)
    assert_recovers(lake, twin)


def test_upkeep_killed_between_each_pair_of_steps_changes_nothing_that_is_read(
    lake: Lake, twin: Lake, steps: ChosenSteps
) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 1})
    land_first(lake)
    lake.run()
    land_more(lake)
    lake.run()
    before = visible_rows(lake)
    died, read = views(lake, steps.deaths(lake, "maintain"))
    assert died >= (75 if steps.are_all else 1)
    assert read == [before] * len(read)
    assert_recovers(lake, twin)


def test_work_killed_at_random_moments_is_made_good_by_the_next_run(lake: Lake, twin: Lake, steps: ChosenSteps) -> None:
    chance, times, kills = random.Random(5), *((9, 4) if steps.are_all else (2, 2))
    lake.settings = lake.settings.model_copy(update={"maintain_every": 2, "keep_runs": 2})
    land_first(lake)
    begun = time.monotonic()
    assert not was_killed(start(lake, "run"))
    usual_seconds = time.monotonic() - begun
    for number in range(times):
        person = chance.choice(["a@x", "b@x", "c@x"])
        readings = [reading(person, chance.randrange(2 * DAY), x=chance.random()) for _ in range(5)]
        lake.land(f"accelerometer/{chance.randrange(6)}.json", [*readings, {"user": person}])
        shares = chance.choice([None, 20 + number])
        lake.land(f"customer/c{number}.json", [customer(person, 20 + number, shares=shares, serial="s1")])
        died = 0
        while died < kills:
            process = start(lake, chance.choice(["run", "run", "run", "maintain", "verify"]))
            process.join(chance.uniform(0, usual_seconds / 2))
            process.kill()
            died += was_killed(process)
        lake.run()
        assert found_wrong(lake) == []
    assert_recovers(lake, twin)


def test_a_file_that_another_writer_may_be_about_to_commit_stays_for_a_day(lake: Lake) -> None:
    land_first(lake)
    lake.run()
    folder = lake.warehouse / "stedi" / "customer_landing" / "metadata"
    newest = max(folder.glob("*.metadata.json"))
    written, torn = (folder / f"0009{number}-{uuid.uuid4()}.metadata.json" for number in range(2))
    written.write_bytes(newest.read_bytes())
    torn.write_bytes(newest.read_bytes()[:500])
    maintain(lake.settings)
    assert written.exists()
    assert torn.exists()
    two_days_ago = time.time() - 2 * 86_400
    for path in (written, torn):
        os.utime(path, (two_days_ago, two_days_ago))
    maintain(lake.settings)
    assert files(lake.warehouse) == referenced_files(lake.warehouse)
