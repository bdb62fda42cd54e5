"""Faults of the disk, the clock, and of others at work: runs end with one line, and the next makes good."""

import datetime
import errno
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import OperationalError

from stedi import cli
from stedi.catalog.run_log import RunRecord, read_runs
from stedi.config import Settings
from stedi.errors import StediError, UsageError, WarehouseError
from stedi.model.progress import Progress
from stedi.storage import Warehouse
from tests.support.disk import free_bytes, move_to_disk, small_disk
from tests.support.killing import (
    PROCESSES,
    WORK,
    ChosenSteps,
    KnownSteps,
    Steps,
    assert_recovers,
    land_first,
    land_more,
    visible_rows,
)
from tests.support.lake import Lake, customer, reading

__all__ = ["small_disk"]


# Writing is refused from some step on


class Refusals(Steps):
    """Refuses the first step that is not known, and all that follow, as a disk does that turned read-only."""

    has_begun = False

    def step(self, what: str, place: object = None) -> None:
        with self._lock:
            if (self.has_begun and self.is_watched(place)) or self.is_new(what, place):
                self.has_begun = True
                refuse(what)

    def step_within(self, what: str, place: object, work: Callable[[], Any]) -> Any:
        self.step(what, place)
        return work()


def refuse(what: str) -> NoReturn:
    text = os.strerror(errno.EROFS)
    if what.startswith(("sql", "commit")):
        raise OperationalError(what, None, sqlite3.OperationalError("attempt to write a readonly database"))
    if what in ("write", "writing"):
        # What the embedded engine says; real disks refuse it below.
        raise WarehouseError(f"a file can't be read or written: IO Error: {text}")
    raise OSError(errno.EROFS, text)


TABLES = ("customer_landing", "accelerometer_trusted")


def _child(settings: Settings, work: str, known: KnownSteps, step: Path, said: Path) -> None:
    Refusals(settings, TABLES, known, step).watch()
    try:
        WORK[work](settings)
    except StediError as error:
        said.write_text(str(error))


def refusals(lake: Lake, work: str, known: KnownSteps) -> Iterator[str]:
    """Work that is refused from some step on, each time a step further, until it is done; says what it said."""
    step, said = (lake.warehouse.parent / name for name in ("step", "said"))
    while True:
        step.unlink(missing_ok=True)
        said.unlink(missing_ok=True)
        process = PROCESSES.Process(target=_child, args=(lake.settings, work, known, step, said))
        process.start()
        process.join()
        assert process.exitcode == 0
        if not step.exists():
            return
        refused = step.read_text()
        assert refused not in known
        known.add(refused)
        # Old metadata that can't be removed is the next maintenance's work.
        if not refused.startswith("delete"):
            yield said.read_text()


def test_where_writing_is_refused_from_any_step_on_work_says_so_and_the_next_run_makes_good(
    lake: Lake, twin: Lake, steps: ChosenSteps
) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 1})
    said: list[str] = []
    land_first(lake)
    # A step at which one kind of work was refused is none for the next.
    known = steps.known(lake, "run", TABLES)
    said += refusals(lake, "run", known)
    land_more(lake)
    said += refusals(lake, "run", known if steps.are_all else steps.known(lake, "run", TABLES))
    before = visible_rows(lake)
    said += refusals(lake, "maintain", known if steps.are_all else steps.known(lake, "maintain", TABLES))
    assert visible_rows(lake) == before
    assert len(said) >= (60 if steps.are_all else 2)
    assert {("Read-only" in line or "readonly" in line, "\n" in line) for line in said} == {(True, False)}
    assert_recovers(lake, twin)


# Disks


def test_a_disk_that_is_full_at_any_step_is_said_and_room_makes_good(
    lake: Lake, twin: Lake, small_disk: Path, ballast: Callable[[int], None], is_deep: bool
) -> None:
    move_to_disk(small_disk, lake)
    lake.settings = lake.settings.model_copy(update={"threads": 1})
    land_first(lake)
    step = 8 * 2**10 if is_deep else 48 * 2**10
    said = [*too_full(lake, ballast, step)]
    before = visible_rows(lake)
    land_more(lake)
    for line in too_full(lake, ballast, step):
        said.append(line)
        assert visible_rows(lake) in (before, f"no run has finished in {lake.warehouse}")
    assert len(said) >= (20 if is_deep else 4)
    assert [line for line in said if "\n" in line or ("space" not in line and "full" not in line)] == []
    assert_recovers(lake, twin)


def too_full(lake: Lake, ballast: Callable[[int], None], step: int) -> Iterator[str]:
    """Runs that have some more room each time, until one has enough; says what they said."""
    for free in range(0, 2**20, step):
        ballast(free)
        try:
            lake.run()
        except WarehouseError as error:
            yield str(error)
        else:
            break
    ballast(-1)


@pytest.fixture
def ballast(small_disk: Path) -> Callable[[int], None]:
    """Fill the small disk but for some bytes; a negative number empties it."""
    weight = small_disk / "ballast"

    def fill(free: int) -> None:
        weight.unlink(missing_ok=True)
        if free >= 0:
            weight.write_bytes(b"\0" * max(free_bytes(small_disk) - free, 0))

    return fill


def test_a_folder_that_turns_read_only_in_the_midst_of_a_run_is_said_and_the_next_run_makes_good(
    lake: Lake, twin: Lake, read_only: Callable[[Path], AbstractContextManager[None]]
) -> None:
    land_first(lake)
    lake.run()
    land_more(lake)
    before = visible_rows(lake)
    tables = lake.warehouse / "stedi"
    for folder in ("customer_trusted/data", "customers_curated/metadata", "rule_result", "../runs"):
        with ExitStack() as mounts:

            def turn(progress: Progress, folder: Path = tables / folder, mounts: ExitStack = mounts) -> None:
                if progress.step == "refreshing customer_trusted":
                    mounts.enter_context(read_only(folder))

            with pytest.raises(WarehouseError, match=r"^[^\n]*Read-only[^\n]*$"):
                lake.run(progress=turn)
            assert visible_rows(lake) == before
    assert_recovers(lake, twin)


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[Path], AbstractContextManager[None]]:
    """Make a folder read-only for a while, also for who may write everything."""

    @contextmanager
    def turn(folder: Path) -> Iterator[None]:
        folder = folder.resolve()
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=True)

    return turn


# A clock that jumps back


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Shift every clock that a run looks at by some seconds."""
    real_time = time.time

    def shift(seconds: float) -> None:
        class Shifted(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> Any:
                return datetime.datetime.fromtimestamp(time.time(), tz)

        monkeypatch.setattr(time, "time", lambda: real_time() + seconds)
        for module in ("stedi.catalog.run_log", "stedi.pipeline.publish", "pyiceberg.table.update"):
            monkeypatch.setattr(f"{module}.datetime", Shifted)

    return shift


def test_after_the_clock_jumped_back_runs_work_and_keep_their_order(
    lake: Lake, twin: Lake, set_clock: Callable[[float], None]
) -> None:
    hour = 3600
    land_first(lake)
    first = lake.run()
    before = visible_rows(lake)
    set_clock(-2 * hour)
    land_more(lake)
    second = lake.run()
    set_clock(-4 * hour)
    lake.land("accelerometer/4.json", [reading("a@x", 400)])
    third = lake.run()
    runs = read_runs(lake.open_warehouse())
    assert [run.run_id for run in runs] == [first.run_id, second.run_id, third.run_id]
    times = [datetime.datetime.fromisoformat(run.finished_at) for run in runs]
    assert times == sorted(times, reverse=True)

    count = "SELECT count(*) FROM accelerometer_landing"
    [newest] = lake.rows(count)
    assert lake.rows(count, as_of=first.run_id) < lake.rows(count, as_of=second.run_id) < [newest]
    # By any time at which the newest run had finished, it is the newest.
    for moment in (*times, times[0] + datetime.timedelta(hours=1)):
        assert lake.rows(count, as_of=moment.isoformat()) == [newest]
    with pytest.raises(UsageError, match="no run had finished by"):
        lake.rows(count, as_of=(times[2] - datetime.timedelta(hours=1)).isoformat())
    assert visible_rows(lake) != before
    assert_recovers(lake, twin)


def test_after_the_clock_jumped_back_the_tables_times_still_go_forward_as_other_readers_require(
    lake: Lake, set_clock: Callable[[float], None]
) -> None:
    """Iceberg in Java refuses metadata whose log goes back by more than a minute."""
    lake.settings = lake.settings.model_copy(update={"maintain_every": 2, "keep_runs": 1})
    land_first(lake)
    lake.run()
    for hours in (2, 4, 6):
        set_clock(-3600 * hours)
        lake.land("accelerometer/2.json", [reading("a@x", hours)])
        lake.run()
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{lake.warehouse / 'catalog.db'}")
    for name in catalog.list_tables("stedi"):
        metadata = catalog.load_table(name).metadata
        for log in (metadata.snapshots, metadata.snapshot_log, metadata.metadata_log):
            times = [entry.timestamp_ms for entry in log]
            assert times == sorted(times)
            assert metadata.last_updated_ms >= max(times)


# Many at work


def _command(arguments: list[str], said: Path) -> None:
    """The program's command line, as in a process of its own."""
    with said.open("w") as file, redirect_stderr(file), redirect_stdout(file):
        raise SystemExit(cli.main(arguments))


def commands(lake: Lake, *each: str, at_once: int) -> list[tuple[int, str]]:
    """Start a command several times at once; says how each process ended and what it said."""
    folder = lake.warehouse.parent
    common = ["--landing", lake.settings.landing, "--warehouse", str(lake.warehouse)]
    said = [folder / f"said-{number}" for number in range(at_once)]
    processes = [PROCESSES.Process(target=_command, args=([*common, *each], path)) for path in said]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [(int(process.exitcode or 0), path.read_text()) for process, path in zip(processes, said, strict=True)]


def test_of_many_runs_at_once_each_works_or_leaves_with_a_message(lake: Lake, twin: Lake, is_deep: bool) -> None:
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    land_first(lake)
    done = []
    for number in range(3 if is_deep else 2):
        done.append(commands(lake, "run", at_once=8 if is_deep else 4))
        lake.land(f"accelerometer/{10 + number}.json", [reading("a@x", 500 + number)])
    land_more(lake)
    for ended in done:
        assert {code for code, _ in ended} <= {0, 1}
        assert 0 in {code for code, _ in ended}
        assert all("another run is working on" in text for code, text in ended if code == 1)
    assert any(code == 1 for ended in done for code, _ in ended)
    assert_recovers(lake, twin)


def _run_again_and_again(lake: Lake, times: int) -> None:
    for number in range(times):
        shares = 10 if number % 2 else None
        lake.land(f"customer/b{number}.json", [customer("b@x", 20 + number, shares=shares, serial="s2")])
        lake.run()


def test_queries_beside_runs_with_upkeep_never_fail_and_never_see_a_mixture(lake: Lake, is_deep: bool) -> None:
    lake.settings = lake.settings.model_copy(update={"maintain_every": 1, "keep_runs": 3})
    land_first(lake)
    lake.run()
    tables = ("customer_trusted", "accelerometer_trusted", "customers_curated")
    people = ", ".join(f"(SELECT count(DISTINCT person) FROM {name})" for name in tables)
    devices = "(SELECT count(DISTINCT serialNumber) FROM step_trainer_trusted)"
    pairs = "(SELECT count(DISTINCT customer_pseudonym) FROM machine_learning_curated)"
    runs = PROCESSES.Process(target=_run_again_and_again, args=(lake, 6 if is_deep else 3))
    runs.start()
    found = set()
    while runs.is_alive():
        found |= set(lake.rows(f"SELECT {people}, {devices}, {pairs}"))
    assert runs.exitcode == 0
    assert found == {(1,) * 5, (2,) * 5}


def test_a_query_that_newer_runs_and_upkeep_overtake_reads_the_newest_run(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.settings = lake.settings.model_copy(update={"maintain_every": 1, "keep_runs": 1})
    land_first(lake)
    lake.run()
    overtaken: list[list[RunRecord]] = []

    def overtake(warehouse: Warehouse) -> list[RunRecord]:
        runs = read_runs(warehouse)
        if not overtaken:
            overtaken.append(runs)
            land_more(lake)
            lake.run()
        return runs

    monkeypatch.setattr("stedi.query.sandbox.read_runs", overtake)
    assert lake.rows("SELECT count(*) FROM customer_landing") == [(5,)]
    overtaken.clear()
    lake.land("accelerometer/4.json", [reading("a@x", 400)])
    newest = read_runs(lake.open_warehouse())[-1].run_id
    with pytest.raises(WarehouseError, match="expired"):
        lake.rows("SELECT 1", as_of=newest)
