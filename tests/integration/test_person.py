"""`stedi person`: everything about one person and nothing about another; every question is logged first."""

import hashlib
import hmac
import json
import os
import pwd
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from stedi.catalog import Catalog
from stedi.catalog.run_log import read_runs
from stedi.errors import StediError
from stedi.maintenance.maintain import maintain
from stedi.model.sql import literal
from stedi.model.table import Table
from stedi.privacy import person as person_module
from stedi.privacy.person import describe_person
from stedi.privacy.report import PersonReport
from stedi.privacy.whose_rows import FileRows, RowMatch, count_by_file
from stedi.steps.registry.published_models import MODEL_FILES, draft_folder, publish
from stedi.tables.registry import BY_NAME
from tests.support.compare import Kept
from tests.support.lake import KEY, T0, Lake, customer, distance, reading
from tests.support.program import stedi
from tests.support.s3 import LakeInS3, aws, server, store
from tests.support.s3_lakes import empty

__all__ = ["aws", "empty", "server", "store"]

ANN, BEN = "ann.lee@example.com", "ben.fox@example.org"
ANNS, BENS = "serial-of-ann", "serial-of-ben"
DAY = 86_400_000
MONTH = 31 * DAY


def pseudonym(person: str) -> str:
    key = hashlib.sha256(KEY.encode()).digest()
    return hmac.new(key, b"customer:" + person.encode(), hashlib.sha256).hexdigest()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs go on where a `Lake` stopped."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture(scope="module")
def kept_two(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A lake after three runs: Ann consents, withdraws from research and goes on hold; Ben consents."""
    lake = Lake(tmp_path_factory.mktemp("two"))
    shares = {"shareWithPublicAsOfDate": T0 + 10}
    lake.land(
        "customer/1.json",
        [
            customer(" Ann.Lee@Example.COM", 10, shares=10, serial=ANNS, **shares),
            customer(BEN, 10, shares=10, serial=BENS),
        ],
    )
    for name, person, serial, start in (("a", ANN, ANNS, 100), ("b", BEN, BENS, 5_000)):
        lake.land(f"accelerometer/{name}.json", [reading(person, start + t) for t in range(10)])
        lake.land(f"step_trainer/{name}.json", [distance(serial, start + t) for t in range(10)])
    lake.run()
    lake.land("customer/2.json", [customer(f"<{ANN}>", 2 * MONTH, serial=ANNS), customer(ANN, 10, shares=10, serial=ANNS)])
    lake.run()
    lake.land("customer/3.json", [{"email": ANN, "lastUpdateDate": "?"}])
    lake.land("accelerometer/c.json", [*(reading(ANN, 2 * MONTH + t) for t in range(5)), {"user": BEN}])
    lake.run()
    return Kept(lake)


@pytest.fixture
def two(kept_two: Kept) -> Iterator[Lake]:
    """The lake of the two people, as every test finds it."""
    yield kept_two.lake
    kept_two.put_back()


def train(lake: Lake, people: Sequence[str]) -> str:
    """Publish a model that learned from some people. Return its name."""
    with draft_folder(lake.settings) as folder:
        for name in MODEL_FILES:
            (folder / name).write_text("made")
        (folder / "card.json").write_text(json.dumps({"policy": "customer", "trained_at": "2026-01-01T00:00:00+00:00"}))
        return publish(lake.settings, folder, map(pseudonym, people)).name


def report_of(lake: Lake, person: str = ANN) -> PersonReport:
    return describe_person(lake.settings, person, "person")


def rows_as_of(lake: Lake, table: str, run: str) -> int:
    """A person's rows in a table by a query of this test's own."""
    condition = f"person = {literal(ANN)}"
    if table == "step_trainer_landing":
        condition = f"serialNumber = {literal(ANNS)}"
    elif table == "quarantine":
        condition = f"raw_record LIKE '%{ANN}%'"
    elif table == "rule_result":
        condition = f"examples LIKE '%{pseudonym(ANN)[:12]}%'"
    elif BY_NAME[table].person_is_pseudonym:
        condition = f"customer_pseudonym = {literal(pseudonym(ANN))}"
    [(count,)] = lake.rows(f"SELECT count(*) FROM {table} WHERE {condition}", as_of=run)
    assert isinstance(count, int)
    return count


def test_consent_holds_devices_and_readings(two: Lake) -> None:
    report = report_of(two)
    assert report.consent.records == 3
    research, public, friends = report.consent.purposes
    assert [(i.from_ms - T0, i.to_ms and i.to_ms - T0) for i in research.intervals] == [(10, 2 * MONTH)]
    assert not research.is_given
    # The repeated record of the first time lacks the public date, so that those two disagree.
    assert (public.intervals, public.contradictions) == ((), 1)
    assert friends.intervals == ()
    [hold] = report.holds
    assert (hold.source_file, hold.source_position, hold.records) == ("customer/3.json", 1, 1)
    assert hold.meaning
    assert [(device.serial, device.status) for device in report.devices] == [(ANNS, "confirmed")]
    assert report.devices[0].why.startswith("only their records contain its serial number, and")
    assert [(claim.serial, claim.records, claim.is_theirs) for claim in report.claims] == [(ANNS, 3, True)]
    assert [(month.phone, month.device) for month in report.readings] == [(10, 10), (5, 0)]
    assert report.pseudonym == pseudonym(ANN)[:12]


def test_why_a_device_is_the_persons_whatever_their_records_say(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("wrong-claims")
    # Ann's records have a wrong serial number. Ben's device is claimed by both.
    lake.land("customer/1.json", [customer(ANN, 10, serial=BENS), customer(BEN, 10, serial=BENS)])
    for person, serial, start in ((ANN, ANNS, 0), (BEN, BENS, DAY)):
        times = [start + 1_017 * n for n in range(200)]
        lake.land(f"accelerometer/{serial}.json", [reading(person, t) for t in times])
        lake.land(f"step_trainer/{serial}.json", [distance(serial, t) for t in times])
    lake.run()
    [anns], [bens] = report_of(lake).devices, report_of(lake, BEN).devices
    assert (anns.serial, anns.status, anns.is_claimed) == (ANNS, "inferred", False)
    assert anns.why.endswith("although their records do not contain its serial number")
    assert (bens.serial, bens.status, bens.is_claimed) == (BENS, "inferred", True)
    assert bens.why.endswith("not only their records contain its serial number")
    [claim] = report_of(lake).claims
    assert (claim.serial, claim.is_theirs) == (BENS, False)


def test_rows_equal_those_of_queries_in_every_run_of_the_run_log(two: Lake) -> None:
    report = report_of(two)
    runs = read_runs(two.open_warehouse())
    expected = {
        run.run_id: {name: count for name in run.snapshots if (count := rows_as_of(two, name, run.run_id))} for run in runs
    }
    assert {run.run_id: run.tables for run in report.runs} == expected
    newest = {table.table: table.rows for table in report.tables if table.rows}
    assert newest == expected[runs[-1].run_id]
    assert newest["quarantine"] == 1
    assert "customer_trusted" not in newest
    with Catalog(two.open_warehouse()) as catalog:
        for table in report.tables:
            history = [snapshot.id for snapshot in catalog.history(table.table)]
            assert table.snapshot_count == len(history)
            assert {snapshot.snapshot_id for snapshot in table.snapshots} <= set(history)
    gone = next(table for table in report.tables if table.table == "customer_trusted")
    assert [snapshot.rows for snapshot in gone.snapshots] == [1]


def test_each_data_file_is_read_once_and_some_are_skipped_by_their_bounds(
    two: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(backend: Any, table: Table, match: RowMatch, paths: Sequence[str]) -> list[FileRows]:
        read.extend(paths)
        return count_by_file(backend, table, match, paths)

    monkeypatch.setattr(person_module, "count_by_file", counted)
    report_of(two)
    assert len(read) == len(set(read))
    with Catalog(two.open_warehouse()) as catalog:
        newest = catalog.files("customers_curated").paths
    assert newest
    assert not set(newest) & set(read), "only Ben is in there"


def test_snapshots_that_maintenance_expired_are_not_listed(two: Lake) -> None:
    before = report_of(two)
    two.settings = two.settings.model_copy(update={"keep_runs": 1})
    # The first one compacts files, and keeps the snapshots from before.
    for _ in range(2):
        maintain(two.settings)
    after = report_of(two)
    [newest] = after.runs
    assert newest == before.runs[-1]
    assert {table.table: [snapshot.rows for snapshot in table.snapshots] for table in after.tables if table.snapshots} == {
        name: [rows] for name, rows in newest.tables.items()
    }


def test_when_maintenance_deletes_files_meanwhile_the_newer_state_is_read(
    two: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = report_of(two)
    two.settings = two.settings.model_copy(update={"keep_runs": 1})
    searched: list[str] = []

    def interrupted(backend: Any, table: Table, match: RowMatch, paths: Sequence[str]) -> list[FileRows]:
        searched.append(table.name)
        if len(searched) == 1:
            for _ in range(2):
                maintain(two.settings)
        return count_by_file(backend, table, match, paths)

    monkeypatch.setattr(person_module, "count_by_file", interrupted)
    report = report_of(two)
    assert searched.count(searched[0]) == 2
    assert report.runs == expected.runs[-1:]


def test_models_that_learned_from_the_person(two: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for extra in ("lightgbm", "matplotlib", "mlflow", "onnx", "onnxruntime", "scipy", "sklearn", "skops"):
        # As where the extra `ml` is not installed.
        monkeypatch.setitem(sys.modules, extra, None)
    train(two, [BEN])
    assert report_of(two).models == ()
    assert [model.model for model in report_of(two, BEN).models] != []
    two.land("customer/4.json", [customer(ANN, 3 * MONTH, shares=3 * MONTH, serial=ANNS)])
    two.run()
    name = train(two, [ANN])
    two.land("customer/5.json", [customer(ANN, 4 * MONTH, serial=ANNS)])
    two.run()
    [model] = report_of(two).models
    assert (model.model, model.stale) == (name, True)


def everything_printed(folder: Path, address: str) -> str:
    """All that the command prints and writes for an address, with its picture and the log."""
    calls = (
        ["person", address, "--svg", "a.svg"],
        ["--json", "person", address],
        ["--trace", "person", "nobody@example.net"],
    )
    done = [stedi(folder, *call) for call in calls]
    assert [call.returncode for call in done] == [0, 0, 1]
    assert json.loads(done[1].stdout)["consent"]["records"]
    ElementTree.parse(folder / "a.svg")
    log = "".join(path.read_text("utf-8") for path in sorted((folder / "lakehouse/privacy_log").iterdir()))
    picture = (folder / "a.svg").read_text("utf-8")
    return "\n".join((*(call.stdout + call.stderr for call in done), picture, log))


@pytest.mark.parametrize(
    ("asked", "own", "other", "others"), [(ANN, ANNS, BEN, BENS), (BEN, BENS, ANN, ANNS)], ids=["ann", "ben"]
)
def test_nothing_about_the_other_person_is_shown_nor_the_address(
    two: Lake, asked: str, own: str, other: str, others: str
) -> None:
    printed = everything_printed(two.warehouse.parent, f"Somebody <{asked.upper()}>").lower()
    assert own in printed
    assert pseudonym(asked)[:12] in printed
    for hidden in (other, others, pseudonym(other)[:8], asked, asked.partition("@")[0]):
        assert hidden not in printed


def test_questions_are_logged_each_in_a_file_of_its_own(two: Lake) -> None:
    folder = two.warehouse.parent
    for address in (ANN, "nobody@example.net", ANN):
        stedi(folder, "person", address)
    log = two.warehouse / "privacy_log"
    entries = [json.loads(path.read_text("utf-8")) for path in sorted(log.iterdir())]
    assert [entry["pseudonym"] for entry in entries] == [pseudonym(person) for person in (ANN, "nobody@example.net", ANN)]
    assert {(entry["user"], entry["command"]) for entry in entries} == {(pwd.getpwuid(os.getuid()).pw_name, "person")}
    assert all(entry["asked_at"].endswith("+00:00") for entry in entries)
    assert {stat.S_IMODE(path.stat().st_mode) for path in log.iterdir()} == {0o600}
    assert stat.S_IMODE(log.stat().st_mode) == 0o700
    two.settings = two.settings.model_copy(update={"keep_runs": 1})
    maintain(two.settings)
    assert len(list(log.iterdir())) == 3


def test_without_a_log_nothing_is_shown(two: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (two.warehouse / "privacy_log").write_text("not a folder")
    monkeypatch.setattr(person_module, "_read_report", lambda *_: pytest.fail("the person was read before the log"))
    done = stedi(two.warehouse.parent, "person", ANN, "--svg", "a.svg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is shown, because the privacy log" in done.stderr
    assert ANN not in done.stderr
    assert not (two.warehouse.parent / "a.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nobody@example.net"], 1, "the lakehouse contains nothing about this address; check it, or start `stedi run`"),
        ([ANN, BEN], 2, "give exactly one e-mail address"),
        ([f"{ANN}, {BEN}"], 2, "give exactly one e-mail address"),
        ([" \u200b"], 2, "give exactly one e-mail address"),
    ],
)
def test_errors_do_not_repeat_an_address(two: Lake, arguments: list[str], code: int, message: str) -> None:
    done = stedi(two.warehouse.parent, "person", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
    assert not any(address in done.stderr for address in (ANN, BEN, "nobody"))


def test_where_no_run_finished_nothing_is_logged(lake: Lake) -> None:
    done = stedi(lake.warehouse.parent, "person", ANN)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no warehouse at lakehouse" in done.stderr
    assert not lake.warehouse.exists()


def test_a_person_in_s3(empty: LakeInS3) -> None:
    empty.land("customer/1.json", [customer(ANN, 10, shares=10, serial=ANNS)])
    empty.land("accelerometer/1.json", [reading(ANN, 100 + t) for t in range(3)])
    (empty.landing / "step_trainer").mkdir(exist_ok=True)
    empty.run()
    report = report_of(empty)
    assert {table.table: table.rows for table in report.tables}["accelerometer_trusted"] == 3
    with pytest.raises(StediError, match="contains nothing about this address"):
        report_of(empty, BEN)
    warehouse = empty.open_warehouse()
    entries = [json.loads(warehouse.read(file.name)) for file in warehouse.list("privacy_log")]
    assert [entry["pseudonym"] for entry in entries] == [pseudonym(ANN), pseudonym(BEN)]
