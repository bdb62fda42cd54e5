"""S3 fails or is slow while a run reads landing files: the run reports it, and the next run reads them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stedi.errors import LandingError
from stedi.storage import aws_client, s3_objects
from tests.support.killing import ChosenSteps, assert_recovers, land_first, land_more, visible_rows
from tests.support.lake import Lake, customer, distance, reading
from tests.support.s3 import BUCKET, Store, Trouble, aws, server, store, trouble

__all__ = ["aws", "server", "store", "trouble"]


ANSWERS = ("500 InternalError", "cut", "slow")
# A run asks for three listings and at least as many files.
REQUESTS = 6


class RemoteLake(Lake):
    """A lake whose landing files lie in a bucket, and in a folder for comparison."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(folder)
        self._store = store
        self.settings = self.settings.model_copy(update={"landing": f"s3://{BUCKET}/in"})

    def land(self, name: str, records: Any) -> Path:
        path = super().land(name, records)
        self._store.put(f"in/{name}", path.read_bytes())
        return path


@pytest.fixture
def remote(store: Store, tmp_path: Path) -> RemoteLake:
    lake = RemoteLake(tmp_path, store)
    land_first(lake)
    lake.run()
    return lake


def test_a_store_that_fails_from_any_request_on_is_said_and_the_next_run_makes_good(
    remote: RemoteLake,
    twin: Lake,
    trouble: Callable[[Trouble], None],
    monkeypatch: pytest.MonkeyPatch,
    steps: ChosenSteps,
) -> None:
    monkeypatch.setitem(aws_client._CONFIG, "read_timeout", 0.2)
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 2)
    land_more(remote)
    answer, requests_left = "", 1000

    def fail(path: str) -> str | None:
        nonlocal requests_left
        requests_left -= 1
        if requests_left >= 0:
            return None
        if answer == "slow":
            time.sleep(0.6)
            return None
        return answer

    trouble(fail)
    for number, kind in enumerate(ANSWERS if steps.are_all else [steps.one_of(ANSWERS)]):
        answer = kind
        if number:
            remote.run()
            land_another(remote, number)
        before, said = visible_rows(remote), []
        # What a failed run took, the next does not ask for again: it may go through before the last number.
        for left in steps.among(range(REQUESTS), 1):
            requests_left = left
            try:
                remote.run()
            except LandingError as error:
                said.append(str(error))
                assert visible_rows(remote) == before
            else:
                break
        assert len(said) >= (3 if steps.are_all else 1)
        assert {("can't be read" in line, "\n" in line) for line in said} == {(True, False)}
        requests_left = 1000
    assert_recovers(remote, twin)


def land_another(lake: RemoteLake, number: int) -> None:
    """A new file for each feed."""
    lake.land(f"customer/{10 + number}.json", [customer("d@x", 30 + number, shares=5, serial="s4")])
    lake.land(f"accelerometer/{10 + number}.json", [reading("d@x", 400 + number)])
    lake.land(f"step_trainer/{10 + number}.json", [distance("s4", 400 + number)])


def test_a_store_that_stumbles_at_every_request_costs_time_and_no_record(
    remote: RemoteLake, twin: Lake, trouble: Callable[[Trouble], None]
) -> None:
    land_more(remote)
    stumbled: set[str] = set()

    def stumble(path: str) -> str | None:
        if path in stumbled:
            return None
        stumbled.add(path)
        return "503 SlowDown"

    trouble(stumble)
    remote.run()
    assert len(stumbled) >= 6
    assert_recovers(remote, twin)
