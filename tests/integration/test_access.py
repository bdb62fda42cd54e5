"""`stedi access`: everything about one person, nothing that identifies anybody else, as a whole or not at all."""

import hashlib
import hmac
import io
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from stedi.errors import OutputError, UsageError
from stedi.maintenance.maintain import maintain
from stedi.model.sql import literal
from stedi.model.table import Table
from stedi.privacy import access as access_module
from stedi.privacy import package_rows
from stedi.privacy.access import Package, export_person
from stedi.privacy.package_rows import LEFT_OUT, ExportedTable, RowExport
from stedi.steps.registry.published_models import MODEL_FILES, draft_folder, publish
from stedi.storage.disk import exclusive_lock
from tests.support.compare import Died, Kept
from tests.support.disk import free_bytes, small_disk
from tests.support.lake import KEY, T0, Lake, customer, distance, reading
from tests.support.program import stedi

__all__ = ["small_disk"]

ANN, BEN, CID = "ann.lee@example.com", "ben.fox@example.org", "cid.poe@example.net"
SERIALS = {ANN: "serial-of-ann", BEN: "serial-of-ben", CID: "serial-of-cid"}
# Ann's at first, later Ben's.
HANDED_OVER = "serial-handed-over"
# In the records of all three. The device is nobody's.
SHARED = "serial-of-several"
DAY = 86_400_000


def pseudonym(kind: str, value: str) -> str:
    return hmac.new(hashlib.sha256(KEY.encode()).digest(), f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()


def named(person: str) -> str:
    return person.partition("@")[0].replace(".", " ").title()


def phone(person: str) -> str:
    return f"+1 555 {sum(person.encode()):07}"


def identifiers(person: str) -> set[str]:
    """What identifies a person and nobody else, in lower case."""
    serial = SERIALS[person]
    codes = {pseudonym("customer", person), pseudonym("device", serial)}
    return {person, person.partition("@")[0], named(person).lower(), phone(person), serial} | {code[:12] for code in codes}


def record(person: str, at: int, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"customerName": named(person), "phone": phone(person)}
    return customer(person, at, shares=at, serial=SERIALS[person], **given) | more


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs go on where a `Lake` stopped."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture(scope="module")
def kept_three(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A lake in which three people share files, serial numbers, times of readings and quarantined records."""
    lake = Lake(tmp_path_factory.mktemp("three"))
    people = (ANN, BEN, CID)
    lake.land("customer/1.json", [record(person, 10) for person in people])
    lake.land("customer/2.json", [record(person, 20, serialNumber=SHARED) for person in people])
    lake.land(
        "customer/3.json",
        [
            record(ANN, 30, email=" Ann.Lee@Example.COM", shareWithPublicAsOfDate=T0 + 30),
            record(ANN, 40, email=f"{ANN} (was {BEN})", friend=f"{named(BEN)} <{BEN}>"),
            record(BEN, 30, friend=ANN.replace("@", "\\u0040")),
        ],
    )
    readings, distances = [], []
    for start, person, serial in (
        (0, ANN, SERIALS[ANN]),
        (DAY, BEN, SERIALS[BEN]),
        (2 * DAY, CID, SERIALS[CID]),
        (3 * DAY, ANN, HANDED_OVER),
        (40 * DAY, BEN, HANDED_OVER),
    ):
        times = [start + 1_017 * n for n in range(100)]
        readings += [reading(person, t, x=start / DAY) for t in times]
        distances += [distance(serial, t) for t in times]
    # Ann's phone coincides with some readings of Ben's device.
    readings += [reading(ANN, DAY + 1_017 * n) for n in range(0, 100, 7)]
    lake.land(f"accelerometer/{BEN}.json", readings)
    lake.land("step_trainer/1.json", distances)
    lake.run()
    train(lake, [ANN, BEN])
    # Consent of Ann and Ben is on hold afterwards.
    lake.land(
        f"customer/4-{BEN}.json",
        [
            {"email": ANN, "lastUpdateDate": "?"},
            {"email": [ANN, BEN], "lastUpdateDate": "?"},
            {"email": ANN, "lastUpdateDate": "?", "note": BEN.replace("@", "\\u0040")},
            {"email": BEN, "lastUpdateDate": "?"},
            # Whose record this is, nobody knows.
            {"serialNumber": SERIALS[ANN], "customerName": named(BEN), "lastUpdateDate": "?"},
        ],
    )
    lake.land("accelerometer/2.json", [{"user": ANN}, {"user": BEN}, {"user": CID, "friend": ANN}])
    lake.land(
        "step_trainer/2.json",
        [
            *({"serialNumber": serial.upper()} for serial in (*SERIALS.values(), HANDED_OVER)),
            {"serialNumber": SERIALS[ANN], "other": SERIALS[CID]},
        ],
    )
    lake.run()
    return Kept(lake)


def train(lake: Lake, people: list[str]) -> None:
    """Publish a model that learned from some people."""
    with draft_folder(lake.settings) as folder:
        for name in MODEL_FILES:
            (folder / name).write_text("weights")
        (folder / "card.json").write_text(json.dumps({"policy": "customer", "trained_at": "2026-01-01T00:00:00+00:00"}))
        publish(lake.settings, folder, [pseudonym("customer", person) for person in people])


@pytest.fixture
def three(kept_three: Kept) -> Iterator[Lake]:
    """The lake of the three people, as every test finds it."""
    yield kept_three.lake
    kept_three.put_back()


def export(lake: Lake, person: str, folder: Path) -> Package:
    return export_person(lake.settings, person, folder)


def everything_in(folder: Path) -> str:
    """All files of a folder as text in lower case, with the values of Parquet files."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            texts += [str(path), path.read_bytes().decode("utf-8", "replace").replace("\\u0040", "@")]
            if path.suffix == ".parquet":
                texts.append(str(pq.read_table(path).to_pylist()))
    return "\n".join(texts).lower()


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table of a package, which are the same in both formats."""
    parquet = pq.read_table(folder / f"{name}.parquet")
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
    assert [list(line) for line in lines] == [parquet.column_names] * len(parquet)
    assert len(lines) == len(parquet)
    return lines


@pytest.mark.parametrize("person", [ANN, BEN, CID])
def test_nothing_that_identifies_anybody_else_is_in_the_package(three: Lake, tmp_path: Path, person: str) -> None:
    package = export(three, person, tmp_path / "package")
    text = everything_in(tmp_path / "package")
    for other in {ANN, BEN, CID} - {person}:
        assert {identifier for identifier in identifiers(other) if identifier in text} == set()
    assert {person, phone(person), SERIALS[person], SHARED} <= {one for one in (*identifiers(person), SHARED) if one in text}
    assert (pseudonym("customer", person) in text) == (person == CID)
    assert package.left_out.quarantined_records == {ANN: 5, BEN: 2, CID: 2}[person]


def test_all_rows_about_the_person_are_in_the_package(three: Lake, tmp_path: Path) -> None:
    package = export(three, ANN, tmp_path / "ann")
    is_ann = f"person = {literal(ANN)}"
    for name, table in (("customer_records", "customer_landing"), ("readings_phone", "accelerometer_landing")):
        [(count,)] = three.rows(f"SELECT count(*) FROM {table} WHERE {is_ann}")
        assert len(rows_of(tmp_path / "ann", name)) == count > 0
    assert [row["email"] for row in rows_of(tmp_path / "ann", "customer_records")] == [
        *(ANN, ANN, " Ann.Lee@Example.COM"),
        LEFT_OUT,
    ]
    assert package.left_out.cells == {"customer_landing": 2}
    devices = rows_of(tmp_path / "ann", "readings_device")
    # Of the device that was handed over, only the readings until then.
    assert {(row["serialNumber"], row["owner_status"], row["sensorReadingTime"] // DAY * DAY - T0) for row in devices} == {
        (SERIALS[ANN], "confirmed", 0),
        (HANDED_OVER, "inferred", 3 * DAY),
    }
    assert len(devices) == 200
    assert {row["source_file"] for row in rows_of(tmp_path / "ann", "readings_phone")} == {"accelerometer/(name with @)"}
    [(evidence,)] = three.rows(f"SELECT count(*) FROM device_evidence WHERE {is_ann}")
    assert len(rows_of(tmp_path / "ann", "derived/device_evidence")) == evidence - package.left_out.evidence_rows
    assert package.left_out.evidence_rows > 0
    quarantined = rows_of(tmp_path / "ann", "quarantined_records")
    assert [(row["feed"], row["source_position"]) for row in quarantined] == [
        ("accelerometer", 1),
        ("customer", 1),
        ("step_trainer", 1),
    ]


def test_derived_rows_of_a_person_whose_consent_is_in_force(three: Lake, tmp_path: Path) -> None:
    export(three, CID, tmp_path / "cid")
    for name in ("customer_trusted", "accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"):
        column = f"customer_pseudonym = {literal(pseudonym('customer', CID))}"
        where = column if name == "machine_learning_curated" else f"person = {literal(CID)}"
        [(count,)] = three.rows(f"SELECT count(*) FROM {name} WHERE {where}")
        assert len(rows_of(tmp_path / "cid", f"derived/{name}")) == count > 0


def test_the_pages_and_documents(three: Lake, tmp_path: Path) -> None:
    export(three, ANN, tmp_path / "ann")
    folder = tmp_path / "ann"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert {file["name"] for file in manifest["files"]} == files
    for file in manifest["files"]:
        content = (folder / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        if file["rows"] is not None and file["name"].endswith(".jsonl"):
            assert content.count(b"\n") == file["rows"]
    dictionary = json.loads((folder / "data_dictionary.json").read_text("utf-8"))
    for name, entry in dictionary.items():
        assert [column["name"] for column in entry["columns"]] == pq.read_schema(folder / f"{name}.parquet").names
        assert all(column["meaning"] for column in entry["columns"])
    [model] = json.loads((folder / "models.json").read_text("utf-8"))
    digest = hashlib.sha256(b"weights").hexdigest()
    assert (model["stale"], model["sha256"]) == (True, {"detector.onnx": digest, "model.skops": digest})
    consent = json.loads((folder / "consent.json").read_text("utf-8"))
    [hold] = consent["holds"]
    assert hold["held_since"].endswith("Z")
    receipts = json.loads((folder / "consent_receipts.jsonld").read_text("utf-8"))["@graph"]
    intervals = [interval for purpose in consent["purposes"] for interval in purpose["intervals"]]
    assert len(receipts) == 1 + len(intervals) > 1
    devices = json.loads((folder / "devices.json").read_text("utf-8"))
    assert {device["serial"] for device in devices["devices"]} == {SERIALS[ANN], HANDED_OVER}
    assert {claim["serial"] for claim in devices["claims"]} == {SERIALS[ANN], SHARED}
    page = (folder / "README.md").read_text("utf-8")
    assert all(f"`{name}" in page for name in ("readings_phone.parquet", "consent.json", "manifest.json"))


def test_only_the_owner_can_read_it(three: Lake, tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir(mode=0o755)
    export(three, ANN, tmp_path / "ann")
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ann", *(tmp_path / "ann").rglob("*"))}
    assert modes == {True: 0o700, False: 0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["ann"]


def test_large_tables_are_split_by_month(three: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(three, BEN, tmp_path / "whole")
    monkeypatch.setattr(package_rows, "MAX_ROWS", 150)
    package = export(three, BEN, tmp_path / "split")
    names = [file.name for file in package.files if file.name.startswith("readings_phone")]
    assert names == [f"readings_phone/2022-0{month}.{ending}" for month in (1, 2) for ending in ("jsonl", "parquet")]
    parts = [rows_of(tmp_path / "split/readings_phone", month) for month in ("2022-01", "2022-02")]
    assert [row for part in parts for row in part] == rows_of(tmp_path / "whole", "readings_phone")
    assert "`readings_phone/`" in (tmp_path / "split/README.md").read_text("utf-8")


def test_an_export_that_ends_early_leaves_nothing_and_the_next_one_removes_leftovers(
    three: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(access_module, "publish_package", die)
        with pytest.raises(Died):
            export(three, ANN, tmp_path / "ann")
    assert list(tmp_path.iterdir()) == []
    # As a killed process leaves it.
    leftover = tmp_path / ".ann.draft" / "package" / "derived"
    leftover.mkdir(parents=True)
    (leftover / "secret.parquet").touch()
    with exclusive_lock(tmp_path / ".ann.draft/.lock"), pytest.raises(UsageError, match="another export writes to --out"):
        export(three, ANN, tmp_path / "ann")
    assert not (tmp_path / "ann").exists()
    export(three, ANN, tmp_path / "ann")
    assert [path.name for path in tmp_path.iterdir()] == ["ann"]
    assert not (tmp_path / "ann/derived/secret.parquet").exists()


def test_a_draft_that_is_a_link_or_of_somebody_else_is_not_used(three: Lake, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".ann.draft").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="name another folder"):
        export(three, ANN, tmp_path / "ann")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(three: Lake, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * (free_bytes(small_disk) - 20_000))
    with pytest.raises(OutputError, match="make room") as error:
        export(three, ANN, small_disk / "secret-name")
    assert "\n" not in str(error.value)
    assert "secret-name" not in str(error.value)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_when_maintenance_deletes_files_meanwhile_the_newer_state_is_read(
    three: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = export(three, ANN, tmp_path / "before")
    three.settings = three.settings.model_copy(update={"keep_runs": 1})
    real, written = RowExport.write, []

    def interrupted(self: RowExport, table: Table) -> ExportedTable | None:
        written.append(table.name)
        if len(written) == 5:
            three.run(full_refresh=True)
            for _ in range(2):
                maintain(three.settings)
        return real(self, table)

    monkeypatch.setattr(RowExport, "write", interrupted)
    package = export(three, ANN, tmp_path / "after")
    assert written.count(written[0]) == 2
    assert package.run_id != expected.run_id
    rows = [{file.name: file.rows for file in each.files if "rule_result" not in file.name} for each in (expected, package)]
    assert rows[0] == rows[1]


def test_the_command_logs_first_and_prints_what_it_wrote(three: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = three.warehouse.parent
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(f"Ann Lee <{ANN}>\n".encode())))
    done = stedi(folder, "access", "-", "--out", "out", "--json")
    document = json.loads(done.stdout)
    assert {file["name"] for file in document["files"]} >= {"README.md", "readings_phone.parquet"}
    assert not any(identifier in done.stdout + done.stderr for identifier in identifiers(ANN))
    [entry] = [json.loads(path.read_text("utf-8")) for path in (three.warehouse / "privacy_log").iterdir()]
    assert (entry["command"], entry["pseudonym"]) == ("access", pseudonym("customer", ANN))
    again = stedi(folder, "access", ANN, "--out", "out")
    assert (again.returncode, again.stdout) == (2, "")
    assert "--out is not an empty folder; name a new one" in again.stderr
    table = stedi(folder, "access", ANN, "--out", "other")
    assert "left out, because it also names other people" in table.stdout
    assert table.returncode == 0


@pytest.mark.parametrize(
    ("out", "message"),
    [
        *((name, "name a folder outside of the lakehouse") for name in ("landing/x", "lakehouse", "lakehouse-privacy/x")),
        ("lakehouse/models/x", "name a folder outside of the lakehouse"),
        ("s3://bucket/x", "name a folder on this machine"),
        ("landing/customer/1.json/x", "name a folder outside of the lakehouse"),
    ],
)
def test_other_places_are_refused(three: Lake, out: str, message: str) -> None:
    done = stedi(three.warehouse.parent, "access", ANN, "--out", out)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert not (three.warehouse / "privacy_log").exists()


def test_an_unknown_person_is_logged_and_nothing_is_written(three: Lake) -> None:
    folder = three.warehouse.parent
    done = stedi(folder, "access", "nobody@example.net", "--out", "out")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "the newest finished run contains nothing about this address" in done.stderr
    assert "nobody" not in done.stderr
    assert not list(folder.glob("*out*"))
    assert len(list((three.warehouse / "privacy_log").iterdir())) == 1


def test_without_a_log_or_a_run_nothing_is_read(
    three: Lake, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "_read", lambda *_: pytest.fail("the person was read before the log"))
    (three.warehouse / "privacy_log").write_text("not a folder")
    done = stedi(three.warehouse.parent, "access", ANN, "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is shown, because the privacy log" in done.stderr
    done = stedi(lake.warehouse.parent, "access", ANN, "--out", "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no warehouse at lakehouse" in done.stderr
    assert not (tmp_path / "out").exists()
