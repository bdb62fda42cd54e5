"""Erasures that are killed, or that meet a run, another erasure or another writer."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stedi import cli
from stedi.catalog import Catalog
from stedi.catalog.history_rewrite import HistoryRewrite, rewrite_history
from stedi.errors import CommitConflictError, StediError, WarehouseBusyError, WarehouseError
from stedi.model.progress import Progress
from stedi.pipeline.report import Status
from stedi.privacy.erasure.erase import erase, lift
from tests.support.byte_search import files_containing
from tests.support.compare import as_another, contents, found_wrong, tree
from tests.support.erasures import landing_bytes
from tests.support.killing import ERASED, TABLES_OF_EACH_KIND, ChosenSteps, FirstSteps, start, was_killed
from tests.support.lake import KEY, Lake, customer, distance, reading

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
    new_lake: Callable[..., Lake], erased: Lake, steps: ChosenSteps
) -> None:
    known, died = set[str](), 0
    # The first lake meets nearly all steps. A call that goes on after a kill may skip some, which the next lakes meet.
    for number in range(8):
        lake = new_lake(f"lake-{number}")
        make(lake)
        died_before, chosen = lake.warehouse.parent / "died-before", steps.among(range(40), 3)
        while steps.are_all or chosen:
            which = known if steps.are_all else FirstSteps(chosen.pop())
            if was_killed(start(lake, "erase", (TABLES_OF_EACH_KIND, which, died_before))):
                known.add(died_before.read_text())
            elif steps.are_all:
                break
        is_last = len(known) == died
        died = len(known)
        erase(lake.settings, [ERASED])
        assert_erased(lake, erased)
        if is_last or not steps.are_all:
            break
    assert died >= (100 if steps.are_all else 1)


def test_a_run_or_another_erasure_beside_an_erasure_leaves_with_a_message(
    lake: Lake, erased: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    make(lake)
    refused: list[str] = []

    def meanwhile(progress: Progress) -> None:
        if not progress.step.startswith("removing records") or refused:
            return
        works: tuple[Callable[[], object], ...] = (
            lake.run,
            lambda: erase(lake.settings, [ERASED]),
            lambda: erase(lake.settings, ["bob@x.example"]),
            lambda: lift(lake.settings, ERASED),
            lambda: lake.rows("SELECT 1"),
        )
        for work in works:
            with pytest.raises(StediError) as error:
                work()
            refused.append(str(error.value))
        options = ("--landing", lake.settings.landing, "--warehouse", lake.settings.warehouse)
        assert cli.main([*options, "erase", "--yes", "--json", "bob@x.example"]) == 1

    erase(lake.settings, [ERASED], progress=meanwhile)
    assert [text for text in refused if "another run is working on" not in text] == [refused[-1]]
    assert "is from before an erasure" in refused[-1]
    [said] = capsys.readouterr().err.splitlines()
    assert "another run is working on" in said
    assert_erased(lake, erased)


def test_an_erasure_beside_a_run_leaves_with_a_message(lake: Lake, erased: Lake) -> None:
    make(lake)
    lake.land("customer/3.json", [customer("bob@x.example", 30, shares=5, serial="bob-2")])
    before = tree(Path(lake.settings.privacy_folder))
    refused: list[str] = []

    def meanwhile(_: Progress) -> None:
        with pytest.raises(WarehouseBusyError, match="another run is working on") as error:
            erase(lake.settings, [ERASED])
        refused.append(str(error.value))

    lake.run(progress=meanwhile)
    assert refused
    assert tree(Path(lake.settings.privacy_folder)) == before
    assert files_containing(IDENTIFIERS, lake.landing)
    erase(lake.settings, [ERASED])
    assert files_containing(IDENTIFIERS, lake.landing, lake.warehouse) == []
    assert found_wrong(lake) == []


def test_another_writer_who_commits_during_an_erasure_brings_nobody_back(
    lake: Lake, erased: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(lake)
    committed: list[str] = []

    def overtaken(catalog: Catalog, name: str, *arguments: Any) -> HistoryRewrite:
        if name in ("accelerometer_trusted", "customer_landing") and name not in committed:
            committed.append(name)
            # A copy of the rows that it read before, as Athena's OPTIMIZE commits.
            as_another(lake, name, lambda rows: rows)
        return rewrite_history(catalog, name, *arguments)

    monkeypatch.setattr("stedi.privacy.erasure.history.rewrite_history", overtaken)
    for _ in ("accelerometer_trusted", "customer_landing"):
        with pytest.raises(CommitConflictError, match="another writer"):
            erase(lake.settings, [ERASED])
        with pytest.raises(WarehouseError, match="restore-check"):
            lake.run()
    erase(lake.settings, [ERASED])
    lake.run()
    assert_erased(lake, erased)
