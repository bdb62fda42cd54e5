"""Erasures that are killed, or that meet a run, another erasure or another writer."""

import gzip
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from stedi.errors import StediError, WarehouseBusyError
from stedi.pipeline.report import Status
from stedi.privacy.erasure.erase import erase
from tests.support.byte_search import files_containing
from tests.support.compare import as_another, contents, found_wrong
from tests.support.erasures import landing_bytes
from tests.support.killing import ERASED, TABLES_OF_EACH_KIND, ChosenSteps, FirstSteps, start, was_killed
from tests.support.lake import Lake, customer, distance, reading

IDENTIFIERS = ("qvist", "ann-dev-1")


def make(lake: Lake) -> None:
    """Two runs on files of ann and bob, some shared, packed, pretty-printed, damaged, or named by ann."""
    readings = [reading(who, at) for who in (ERASED, "bob@x.example") for at in range(100, 104)]
    people = [customer(ERASED, 10, shares=5, serial="ann-dev-1"), customer("bob@x.example", 10, shares=5, serial="bob-2")]
    lake.land("customer/1.json", people)
    lake.land("accelerometer/1.json.gz", gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in readings)))
    lake.land(
        "accelerometer/2.json", json.dumps(readings[3:5], indent=1).encode() + b'{"user": "ann@qvist.example", "timeSt'
    )
    lake.land(f"accelerometer/{ERASED}/3.json", readings[2:6])
    lake.land("accelerometer/4.json", readings[:2])
    lake.land("step_trainer/1.json", [distance(serial, at) for serial in ("ann-dev-1", "bob-2") for at in range(100, 104)])
    lake.run()
    lake.land("customer/2.json", [customer(who, 20, serial="bob-2") for who in (ERASED, "bob@x.example")])
    lake.run()


def assert_erased(lake: Lake, expected: Lake) -> None:
    """Assert that a lake is in the state that an erasure leaves."""
    privacy = Path(lake.settings.privacy_folder)
    assert files_containing(IDENTIFIERS, lake.landing, lake.warehouse, privacy) == []
    assert sorted(path.name for path in privacy.iterdir()) == sorted(
        path.name for path in Path(expected.settings.privacy_folder).iterdir()
    )
    assert landing_bytes(lake.landing) == landing_bytes(expected.landing)
    assert contents(lake) == contents(expected)
    assert found_wrong(lake) == []
    assert {table.status for table in lake.run().tables.values()} == {Status.UP_TO_DATE}


@pytest.fixture
def erased(twin: Lake) -> Lake:
    """A lake after an erasure that nothing disturbed."""
    make(twin)
    erase(twin.settings, [ERASED])
    return twin


def test_an_erasure_that_is_killed_anywhere_goes_on_when_it_is_called_again(
    lake: Lake, erased: Lake, steps: ChosenSteps
) -> None:
    make(lake)
    numbers = count() if steps.are_all else iter(steps.among(range(200), 3))
    died_before, deaths = lake.warehouse.parent / "died-before", []
    for number in numbers:
        if not was_killed(start(lake, "erase", (TABLES_OF_EACH_KIND, FirstSteps(number), died_before))):
            break
        deaths.append(died_before.read_text())
        print(number, deaths[-1][:150])
    died_before.unlink()
    assert len(deaths) >= (100 if steps.are_all else 1)
    erase(lake.settings, [ERASED])
    assert_erased(lake, erased)
