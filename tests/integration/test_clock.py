"""`stedi privacy`: when withdrawals and holds were received, where they are in effect, and what is overdue."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stedi.catalog import Catalog
from stedi.catalog.run_log import read_runs
from stedi.errors import WarehouseError
from stedi.ingest.applied_erasures import mark_applied
from stedi.ingest.suppression import ErasedPerson, open_suppression
from stedi.maintenance.maintain import maintain
from stedi.privacy import clock as clock_module
from stedi.privacy.clock import read_clock
from stedi.privacy.clock_report import ClockEntry, ClockErasure, ClockReport
from stedi.steps.registry.published_models import MODEL_FILES, draft_folder, publish
from stedi.tables.registry import ALL
from tests.support.compare import Kept
from tests.support.lake import KEY, Lake, customer, distance, reading
from tests.support.program import stedi

ANN, BEN, CAT, DAN = "ann.lee@example.com", "ben.fox@example.org", "cat@example.net", "dan@example.net"
NOW = datetime(2026, 6, 30, tzinfo=UTC)
TABLES = [table for table in ALL if table.requires_consent]


def days_ago(days: int) -> int:
    """A time before `NOW`, in ms since the epoch."""
    return round((NOW - timedelta(days=days)).timestamp() * 1000)


def pseudonym(person: str) -> str:
    key = hashlib.sha256(KEY.encode()).digest()
    return hmac.new(key, b"customer:" + person.encode(), hashlib.sha256).hexdigest()


def land(lake: Lake, name: str, records: Sequence[Any], days: int) -> None:
    """Land a file that arrived some days before `NOW`."""
    path = lake.land(name, records)
    os.utime(path, (days_ago(days) / 1000,) * 2)


def run(lake: Lake, days: int) -> None:
    """Run, and record the run as finished some days before `NOW`."""
    lake.run()
    path = max((lake.warehouse / "runs").iterdir())
    document = json.loads(path.read_bytes()) | {"finished_at": (NOW - timedelta(days=days)).isoformat()}
    path.write_text(json.dumps(document))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs go on where a `Lake` stopped."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A lake after three runs: Ann withdraws, Ben goes on hold, Cat consents, Dan withdraws before the first run."""
    lake = Lake(tmp_path_factory.mktemp("clock"))
    consents = [customer(person, 10, shares=10, serial=f"serial-{person[:3]}") for person in (ANN, BEN, CAT, DAN)]
    land(lake, "customer/1.json", [*consents, customer(DAN, 11)], 50)
    land(lake, "accelerometer/1.json", [reading(p, t) for p in (ANN, BEN, CAT, DAN) for t in range(100, 103)], 50)
    land(lake, "step_trainer/1.json", [distance(f"serial-{p}", 100) for p in ("ann", "cat")], 50)
    run(lake, 49)
    land(lake, "customer/2.json", [customer(f"<{ANN.upper()}>", 20)], 40)
    run(lake, 35)
    land(lake, "customer/3.json", [{"email": BEN, "lastUpdateDate": "?"}], 20)
    run(lake, 15)
    return Kept(lake)


@pytest.fixture
def lake(kept: Kept) -> Iterator[Lake]:
    yield kept.lake
    kept.put_back()


def clock(lake: Lake, **options: Any) -> ClockReport:
    return read_clock(lake.settings, NOW, **options)


def entries(lake: Lake) -> dict[str, ClockEntry]:
    """The entries, by the person's address."""
    names = {pseudonym(person)[:12]: person for person in (ANN, BEN, CAT, DAN)}
    return {names[entry.customer]: entry for entry in clock(lake).entries}


def test_when_each_was_received_and_took_effect_in_each_table(lake: Lake) -> None:
    found = entries(lake)
    assert {person: (entry.kind, entry.received_ms, entry.due_ms, entry.is_overdue) for person, entry in found.items()} == {
        ANN: ("withdrawal", days_ago(40), days_ago(10), True),
        BEN: ("hold", days_ago(20), days_ago(-10), False),
        DAN: ("withdrawal", days_ago(50), days_ago(20), False),
    }
    assert set(found[ANN].tables.values()) == {days_ago(35)}
    assert set(found[BEN].tables.values()) == {days_ago(15)}
    assert set(found[DAN].tables.values()) == {days_ago(49)}
    assert [entry.is_in_effect for entry in found.values()] == [False, False, True]
    report = clock(lake)
    assert (report.withdrawals, report.holds, report.in_effect, report.overdue) == (2, 1, 1, 1)
    assert clock(lake, limit=1).entries == report.entries[:1]


def test_snapshots_with_rows_equal_those_of_queries(lake: Lake) -> None:
    expected = {}
    with Catalog(lake.open_warehouse()) as catalog:
        runs = read_runs(catalog.warehouse)
        for table in TABLES:
            for number, finished in enumerate(runs):
                if table.name not in finished.snapshots:
                    continue
                values = [pseudonym(p) if table.person_is_pseudonym else p for p in (ANN, BEN, DAN)]
                texts = ", ".join(f"'{value}'" for value in values)
                [(people,)] = lake.rows(
                    f"SELECT count(DISTINCT {table.person}) FROM {table.name} WHERE {table.person} IN ({texts})",
                    as_of=finished.run_id,
                )
                if people:
                    more_runs = lake.settings.keep_runs - (len(runs) - 1 - number)
                    expected[table.name, finished.snapshots[table.name]] = (people, more_runs)
    found = {(one.table, one.snapshot_id): (one.customers, one.expires_after_runs) for one in clock(lake).snapshots}
    assert found == expected
    assert len({name for name, _ in found}) == 5


def test_snapshots_expire_after_as_many_runs_as_it_says(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 2})
    last = {one.table: one.expires_after_runs for one in clock(lake).snapshots}
    assert set(last.values()) == {0, 1}
    maintain(lake.settings)
    assert {one.expires_after_runs for one in clock(lake).snapshots} == {1}
    assert not entries(lake)[ANN].snapshots, "only the first run had rows of Ann"
    land(lake, "customer/4.json", [customer(CAT, 30, shares=10)], 10)
    run(lake, 9)
    maintain(lake.settings)
    report = clock(lake)
    assert (report.snapshots, report.in_effect, report.overdue) == ((), 3, 0)


def test_what_an_unfinished_run_has_read_counts(lake: Lake) -> None:
    land(lake, "customer/4.json", [customer(CAT, 30)], 31)
    lake.run(select=["customer_landing"], publish=False)
    cat = entries(lake)[CAT]
    assert (cat.received_ms, cat.in_effect_ms, cat.is_overdue) == (days_ago(31), None, True)
    assert {name for name, time in cat.tables.items() if time is None} == set(cat.tables) - {"step_training_set"}
    run(lake, 1)
    assert entries(lake)[CAT].in_effect_ms == days_ago(1)


def test_tables_that_a_run_left_out_are_open(lake: Lake) -> None:
    land(lake, "customer/4.json", [customer(CAT, 30)], 5)
    lake.run(select=["customer_trusted"])
    open_tables = {name for name, time in entries(lake)[CAT].tables.items() if time is None}
    assert open_tables == {table.name for table in TABLES} - {"customer_trusted", "step_training_set"}


def test_consent_given_again_ends_the_withdrawal(lake: Lake) -> None:
    land(lake, "customer/4.json", [customer(ANN, 30, shares=30)], 5)
    assert ANN in entries(lake)
    run(lake, 1)
    assert ANN not in entries(lake)


def test_models_count_until_they_are_stale(lake: Lake) -> None:
    with draft_folder(lake.settings) as folder:
        for name in MODEL_FILES:
            (folder / name).write_text("made")
        (folder / "card.json").write_text(json.dumps({"policy": "customer"}))
        name = publish(lake.settings, folder, [pseudonym(CAT)]).name
    land(lake, "customer/4.json", [customer(CAT, 30)], 5)
    lake.run(select=["customer_landing"], publish=False)
    assert entries(lake)[CAT].models == 1
    assert [(model.model, model.customers) for model in clock(lake).models] == [(name, 1)]
    lake.run()
    assert entries(lake)[CAT].models == 0
    assert clock(lake).models == ()


def test_files_and_erasures_that_wait(lake: Lake) -> None:
    land(lake, "customer/late.json", [customer(CAT, 30)], 31)
    land(lake, f"customer/{CAT}.json", [customer(CAT, 30)], 1)
    land(lake, "accelerometer/late.json", [reading(CAT, 1)], 40)
    folder = Path(lake.settings.privacy_folder)
    folder.mkdir()
    journal = {"erasure_id": "e1", "started_at": (NOW - timedelta(days=32)).isoformat(), "addresses": [CAT]}
    (folder / "erasure.json").write_text(json.dumps(journal))
    report = clock(lake)
    assert [(file.file, file.received_ms, file.is_overdue) for file in report.files] == [
        ("customer/late.json", days_ago(31), True),
        ("customer/(name with @)", days_ago(1), False),
    ]
    assert report.erasures == (ClockErasure("e1", days_ago(32), 1, is_finished=False, is_overdue=True),)
    assert report.overdue == 3
    (folder / "erasure.json").write_text("[")
    with pytest.raises(WarehouseError, match="journal of an erasure can't be parsed"):
        clock(lake)


def test_erasures_are_listed_and_a_backup_from_before_one_is_refused(lake: Lake) -> None:
    erased = [ErasedPerson("eve@example.net"), ErasedPerson("fay@example.net")]
    suppression = open_suppression(lake.settings).add(erased, erased_at_ms=days_ago(60), erasure_id="e1")
    with pytest.raises(WarehouseError, match="from before an erasure"):
        clock(lake)
    mark_applied(lake.open_warehouse(), suppression)
    assert clock(lake).erasures == (ClockErasure("e1", days_ago(60), 2, is_finished=True, is_overdue=False),)
    suppression = suppression.add([ErasedPerson(CAT)], erased_at_ms=days_ago(2), erasure_id="e2")
    journal = {"erasure_id": "e2", "started_at": (NOW - timedelta(days=2)).isoformat(), "addresses": [CAT]}
    (Path(lake.settings.privacy_folder) / "erasure.json").write_text(json.dumps(journal))
    report = clock(lake)
    assert [(erasure.erasure_id, erasure.is_finished) for erasure in report.erasures] == [("e2", False), ("e1", True)]
    assert not any(erasure.is_overdue for erasure in report.erasures)


def test_when_maintenance_deletes_files_meanwhile_the_newer_state_is_read(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 1})
    searched: list[str] = []
    search = clock_module._search

    def interrupted(backend: Any, table: Any, *arguments: Any) -> None:
        searched.append(table.name)
        if len(searched) == 1:
            for _ in range(2):
                maintain(lake.settings)
        search(backend, table, *arguments)

    monkeypatch.setattr(clock_module, "_search", interrupted)
    report = clock(lake)
    assert len(searched) == 1, "the runs that are left have no rows of these people"
    assert (report.snapshots, report.in_effect) == ((), 3)


def test_the_command_says_what_is_overdue_and_names_nobody(lake: Lake) -> None:
    folder = lake.warehouse.parent
    land(lake, f"customer/{CAT}.json", [customer(CAT, 30)], 31)
    done = [stedi(folder, "privacy", *options) for options in ([], ["--json"], ["--all", "--trace"])]
    assert {call.returncode for call in done} == {1}
    assert "overdue after 30 days: start `stedi run`, then lower keep_runs and start `stedi maintain`" in done[0].stderr
    report = json.loads(done[1].stdout)
    assert {entry["customer"] for entry in report["entries"]} == {pseudonym(person)[:12] for person in (ANN, BEN, DAN)}
    assert "2 withdrawals and 1 hold: 1 in effect everywhere." in done[0].stdout
    printed = "".join(call.stdout + call.stderr for call in done).lower()
    for person in (ANN, BEN, CAT, DAN):
        assert person.partition("@")[0] not in printed
        assert pseudonym(person)[:13] not in printed


def test_exit_code_0_if_nothing_is_overdue(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PRIVACY__DEADLINE_DAYS", "100000")
    done = stedi(lake.warehouse.parent, "privacy")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_finished_run_is_needed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(WarehouseError, match="no warehouse"):
        clock(lake)
    land(lake, "customer/1.json", [customer(CAT, 1)], 1)
    lake.run(select=["customer_landing"], publish=False)
    with pytest.raises(WarehouseError, match="no run has finished"):
        clock(lake)
