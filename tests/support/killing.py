"""Run the program in processes that are killed at a chosen step, and check that the next run recovers."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import event
from sqlalchemy.engine import Engine

from stedi.catalog.local_files import LocalFile, LocalFileIO
from stedi.compute.duckdb import DuckDBBackend
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.model.data_files import WrittenFile
from stedi.model.table import Table
from stedi.pipeline import run
from stedi.privacy.erasure.erase import erase
from stedi.query.rule_results import latest_results
from stedi.storage import open_warehouse
from stedi.tables.registry import ALL
from stedi.verify.verify import verify
from tests.support.compare import contents, found_wrong
from tests.support.lake import Lake, customer, distance, reading

# Whom `erase` erases.
ERASED = "ann@qvist.example"


def erase_ann(settings: Settings) -> None:
    """Erase one person."""
    erase(settings, [ERASED])


WORK: dict[str, Callable[[Settings], object]] = {"run": run, "maintain": maintain, "verify": verify, "erase": erase_ann}
# Child processes are forked from one that has imported these modules: 20 ms instead of a second.
_MODULES = ["__main__", "tests.support.killing", "pyiceberg.avro.decoder_fast", "sqlalchemy.dialects.sqlite", "rich.console"]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(_MODULES)

# Steps that change the state from which the next process starts.
DURABLE_STEPS = ("commit", "sql CREATE", "os.rename", "os.remove", "os.rmdir", "delete")
# One table for each way to refresh a table, and the rule results.
TABLES_OF_EACH_KIND = ("customer_landing", "accelerometer_trusted", "device_owner", "rule_result")


# In the child


class Steps:
    """Records what its process does to the warehouse's files, and kills it before the first unknown step.

    A step is identified by the operation, the table, the last durable step before it, and the operations since. A process
    that is killed before steps with the same identity leaves the same files.
    """

    def __init__(self, settings: Settings, tables: Sequence[str], known: Container[str], died_before: Path) -> None:
        self._warehouse = Path(open_warehouse(settings.warehouse, settings.database).path(""))
        self._others = (Path(settings.landing), Path(settings.privacy_folder))
        self._tables, self._known, self._died_before = tables, known, died_before
        self._table, self._lasting = "", "start"
        self._since: list[str] = []
        self._lock = threading.RLock()

    def step(self, what: str, place: object = None) -> None:
        """Record a step, or kill the process if it is unknown."""
        with self._lock:
            if self.is_new(what, place):
                die()

    def step_within(self, what: str, place: object, work: Callable[[], Any]) -> Any:
        """Do a step that takes a while. An unknown one is killed 2 ms after it began."""
        with self._lock:
            is_last = self.is_new(what, place)
            if is_last:
                threading.Timer(0.002, die).start()
        done = work()
        if is_last:
            die()
        return done

    def is_new(self, what: str, place: object) -> bool:
        """Whether a step is watched and unknown. Then its identity is written to the file `died_before`."""
        if not self.is_watched(place):
            return False
        done = f"{what} {self._table}"
        # Sorted, because PyIceberg writes a commit's manifests at the same time.
        step = f"{done}, after {self._lasting} and {sorted(self._since)}"
        if step not in self._known:
            self._died_before.write_text(step)
            return True
        if what in DURABLE_STEPS:
            self._lasting, self._since = done, []
        else:
            self._since.append(done)
        return False

    def is_watched(self, place: object) -> bool:
        """Whether a file belongs to a watched table, or is a landing file or in the privacy folder.

        A step without a file belongs to the table of the step before.
        """
        if place is not None:
            path = Path(str(place).removeprefix("file://"))
            if any(map(path.is_relative_to, self._others)):
                self._table = ""
                return True
            if not path.is_relative_to(self._warehouse):
                return False
            parts = path.relative_to(self._warehouse).parts
            # Every process creates these first.
            if parts[:1] in ((".lock",), (".scratch",)):
                return False
            self._table = parts[1] if parts[:1] == ("stedi",) and len(parts) > 1 else ""
        return not self._table or self._table in self._tables

    def watch(self) -> None:
        """Intercept file operations, SQL statements and DuckDB's writes of this process."""
        sys.addaudithook(self._audit)
        fsync, delete, create, write = os.fsync, LocalFileIO.delete, LocalFile.create, DuckDBBackend.write

        def syncing(descriptor: int) -> None:
            self.step("fsync")
            fsync(descriptor)

        def deleting(io: Any, place: Any) -> None:
            self.step("delete", place)
            delete(io, place)

        def creating(file: Any, overwrite: bool = False) -> Any:
            return Torn(create(file, overwrite), lambda: self.step("write half", file.location))

        def writing(engine: Any, table: Table, query: str, folder: str, **more: Any) -> list[WrittenFile]:
            self.step("write", folder)
            done: list[WrittenFile] = self.step_within(
                "writing", folder, lambda: write(engine, table, query, folder, **more)
            )
            return done

        def executing(_: Any, __: Any, statement: str, *___: Any) -> None:
            if (verb := statement.split()[0]) not in ("SELECT", "PRAGMA"):
                self.step(f"sql {verb}")

        for owner, name, replacement in (
            (os, "fsync", syncing),
            (LocalFileIO, "delete", deleting),
            (LocalFile, "create", creating),
            (DuckDBBackend, "write", writing),
        ):
            setattr(owner, name, replacement)
        event.listen(Engine, "before_cursor_execute", executing)
        event.listen(Engine, "commit", lambda _: self.step("commit"))

    def _audit(self, what: str, arguments: tuple[Any, ...]) -> None:
        writes = what == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if what in ("os.rename", "os.remove", "os.rmdir") or writes:
            self.step(what, os.fsdecode(arguments[0]) if isinstance(arguments[0], bytes) else arguments[0])


class AllExcept:
    """A set of steps with all steps but a few, which are added one by one."""

    def __init__(self, unknown: Iterable[str]) -> None:
        self._unknown = set(unknown)

    def __contains__(self, step: object) -> bool:
        return step not in self._unknown

    def add(self, step: str) -> None:
        self._unknown.discard(step)


class FirstSteps:
    """A set with the first steps that are requested, whichever they are. It is for one process."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __contains__(self, step: object) -> bool:
        self._left -= 1
        return self._left >= 0


class RecordedSteps:
    """A set with all steps. It writes each requested step to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, step: object) -> bool:
        with self._path.open("a") as file:
            file.write(f"{step}\n")
        return True


class Torn:
    """A file whose first write is split into two halves, with a step between them."""

    def __init__(self, stream: Any, between: Callable[[], None]) -> None:
        self._stream, self._between, self._is_first = stream, between, True

    def write(self, content: bytes) -> int:
        if self._is_first:
            self._is_first, half = False, len(content) // 2
            self._stream.write(content[:half])
            self._stream.flush()
            self._between()
            return half + int(self._stream.write(content[half:]))
        return int(self._stream.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def _child(settings: Settings, work: str, steps: tuple[Any, ...] | None) -> None:
    if steps is not None:
        Steps(settings, *steps).watch()
    try:
        WORK[work](settings)
    except WarehouseError as error:
        # The message of `verify` after a killed run.
        if "did not finish" not in str(error):
            raise


# In the test


def start(lake: Lake, work: str, steps: tuple[Sequence[str], Container[str], Path] | None = None) -> Any:
    process: ForkServerProcess = PROCESSES.Process(target=_child, args=(lake.settings, work, steps))
    process.start()
    return process


def was_killed(process: Any) -> bool:
    """Whether a child was killed. Otherwise it must have succeeded, whatever earlier killed processes left."""
    process.join()
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL)
    return bool(code)


KnownSteps = set[str] | AllExcept


class ChosenSteps:
    """The steps before which a process is killed: all, or a random sample that depends on the commit under test."""

    def __init__(self, number: int | None, seed: str) -> None:
        self._number, self._seed = number, seed

    @property
    def are_all(self) -> bool:
        return self._number is None

    def one_of(self, options: Sequence[str]) -> str:
        """Choose one of some options at random."""
        return random.Random(self._seed).choice(options)

    def among(self, steps: Sequence[int], number: int) -> list[int]:
        """Return all step numbers, or a sample of the given size."""
        return list(steps) if self.are_all else sorted(random.Random(f"{self._seed} {steps}").sample(steps, number))

    def known(self, lake: Lake, work: str, tables: Sequence[str] = TABLES_OF_EACH_KIND) -> KnownSteps:
        """Return the steps before which no process is killed. To draw the others, the work is done once and undone."""
        if self._number is None:
            return set()
        folder = lake.warehouse.parent
        aside, rehearsed = folder / "aside", folder / "rehearsed"
        if lake.warehouse.exists():
            shutil.copytree(lake.warehouse, aside)
        assert not was_killed(start(lake, work, (tables, RecordedSteps(rehearsed), folder / "died-before")))
        shutil.rmtree(lake.warehouse)
        if aside.exists():
            aside.rename(lake.warehouse)
        steps = sorted(set(rehearsed.read_text().splitlines()))
        rehearsed.unlink()
        return AllExcept(random.Random(f"{self._seed} {work} {len(steps)}").sample(steps, self._number))

    def deaths(self, lake: Lake, work: str, tables: Sequence[str] = TABLES_OF_EACH_KIND) -> Iterator[str]:
        """Start work again and again, and kill each process before a step at which none was killed yet. Yield the steps.

        Some drawn steps may not occur, because a process that continues after a kill may take other steps.
        """
        died_before = lake.warehouse.parent / "died-before"
        known = self.known(lake, work, tables)
        while was_killed(start(lake, work, (tables, known, died_before))):
            step = died_before.read_text()
            assert step not in known
            known.add(step)
            yield step


def visible_rows(lake: Lake) -> list[tuple[Any, ...]] | str:
    """Return row count and checksum of each table as a reader sees them, or the error."""
    tables = [
        (t.name, ", ".join(f'"{c.name}"' for c in t.columns if c.name not in ("arrived_at", "held_since"))) for t in ALL
    ]
    figures = (f"SELECT '{name}', count(*), sum(hash({columns})::HUGEINT) FROM {name}" for name, columns in tables)
    try:
        return lake.rows(" UNION ALL ".join(figures))
    except WarehouseError as error:
        return str(error)


def referenced_files(warehouse: Path) -> set[Path]:
    """Return all files of a warehouse that its catalog, snapshots or run log refer to. Uses PyIceberg alone."""
    named = {warehouse / name for name in ("catalog.db", ".lock")} | set((warehouse / "runs").glob("[0-9]*.json"))
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{warehouse / 'catalog.db'}")
    found: list[str] = []
    for name in catalog.list_tables("stedi"):
        table = catalog.load_table(name)
        found += [table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)]
        for snapshot in table.snapshots():
            found.append(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                found.append(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                found += [entry.data_file.file_path for entry in entries]
            assert snapshot.summary is not None
            mark = json.loads(snapshot.summary.additional_properties["stedi.reflects"])
            found += [str(warehouse / side) for side in (*mark.get("rejects", ()), mark.get("ledger")) if side]
    catalog.close()
    return named | {Path(place.removeprefix("file://")) for place in found}


def files(warehouse: Path) -> set[Path]:
    """Return all files of a warehouse."""
    return {path for path in warehouse.rglob("*") if path.is_file()}


def assert_recovers(lake: Lake, twin: Lake) -> None:
    """Assert that a run recovers all rows, each once, and that maintenance then deletes all orphan files."""
    lake.run()
    assert found_wrong(lake) == []
    expected = rows_of_one_run(lake, twin)
    assert contents(lake) == expected
    assert lake.rows("SELECT count(*) - count(DISTINCT (run_number, table_name, rule)) FROM rule_result") == [(0,)]
    assert violation_counts(lake) == violation_counts(twin)
    maintain(lake.settings)
    warehouse = lake.warehouse
    assert files(warehouse) - {warehouse / "pseudonym.key"} == referenced_files(warehouse)
    assert [path for path in (warehouse / "stedi").glob("*/*/**/*") if path.is_dir() and not any(path.iterdir())] == []
    assert found_wrong(lake) == []
    assert contents(lake) == expected


def violation_counts(lake: Lake) -> list[tuple[Any, ...]]:
    """Return the newest violation count of each table and rule."""
    return sorted((r.table, r.rule, r.failed) for r in latest_results(lake.settings))


def rows_of_one_run(lake: Lake, twin: Lake) -> dict[str, list[str]]:
    """Return the tables of another lake after one run on the same files, which was not killed."""
    shutil.copytree(lake.landing, twin.landing, dirs_exist_ok=True)
    key = lake.warehouse / "pseudonym.key"
    if key.exists():
        twin.settings = twin.settings.model_copy(update={"pseudonym_key": None})
        twin.warehouse.mkdir()
        shutil.copy(key, twin.warehouse)
    twin.run()
    return contents(twin)


DAY = 86_400_000


def land_first(lake: Lake) -> None:
    """Land three customers, two of whom consent, and readings of two days."""
    people = [("a@x", "s1", 10), ("b@x", "s2", 10), ("c@x", "s3", None)]
    lake.land("customer/1.json", [customer(p, 10, shares=shares, serial=serial) for p, serial, shares in people])
    moments = [*range(100, 104), *range(DAY, DAY + 4)]
    lake.land("accelerometer/1.json", [reading(p, t) for p in ("a@x", "b@x", "c@x") for t in moments])
    lake.land("accelerometer/2.json", [reading("a@x", 300), {"user": "a@x"}, reading("b@x", 301)])
    lake.land("step_trainer/1.json", [distance(serial, t) for serial in ("s1", "s2") for t in moments])


def land_more(lake: Lake) -> None:
    """Land a new file, a changed file with unusable records, a withdrawal and a late consent."""
    lake.land("customer/2.json", [customer("b@x", 20, serial="s2"), customer("c@x", 20, shares=20, serial="s3")])
    lake.land("accelerometer/2.json", [reading("a@x", 300), {"user": "b@x"}, {"user": "c@x"}, reading("c@x", 302)])
    lake.land("accelerometer/3.json", [reading("a@x", DAY + t, x=2.0) for t in range(2, 6)])
    lake.land("step_trainer/2.json", [distance("s3", 100), {"serialNumber": "s1"}])
