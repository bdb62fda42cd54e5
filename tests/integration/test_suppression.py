"""Erased people stay out of the tables: late files, quarantine, replay, restored backups, people who were let in again."""

import gzip
import json
import os
import shutil
from collections.abc import Callable

import pytest

from stedi.cli.run_report import run_alerts, run_json
from stedi.errors import WarehouseError
from stedi.ingest.applied_erasures import mark_applied
from stedi.ingest.suppression import DevicePeriod, ErasedPerson, SuppressionList, open_suppression
from stedi.maintenance.maintain import maintain
from stedi.privacy.person import describe_person
from stedi.verify.verify import verify
from tests.support.lake import T0, Lake, customer, distance, reading, small

ERASED_AT = T0 + 1_000
ANN = ErasedPerson("ann@x.org", (DevicePeriod("S9", T0, None),))


def erase(lake: Lake, *people: ErasedPerson, at_ms: int = ERASED_AT, erasure_id: str = "first") -> SuppressionList:
    """Add tombstones, and record them as applied: the lake contains nobody of these people."""
    suppression = open_suppression(lake.settings).add(people, erased_at_ms=at_ms, erasure_id=erasure_id)
    mark_applied(lake.open_warehouse(), suppression)
    return suppression


def land(lake: Lake, name: str, content: str, arrived_ms: int = T0 + 3_600_000) -> None:
    path = lake.land(name, content.encode())
    os.utime(path, ns=(arrived_ms * 1_000_000,) * 2)


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def violations(lake: Lake) -> list[object]:
    return [finding for finding in verify(lake.settings) if not finding.holds]


def people_in_landing(lake: Lake) -> set[str]:
    query = "SELECT person FROM customer_landing UNION SELECT person FROM accelerometer_landing"
    return {person for (person,) in lake.rows(query)}


def land_late_files(lake: Lake) -> None:
    """Land records of ann and of bob on both paths of the reader."""
    people = [customer("Ann <ANN@x.org>", 20, shares=5, serial="s9"), customer("bob@x.org", 20, shares=5, serial="s9")]
    lake.land("customer/lines.json", people)
    lake.land("customer/array.json", json.dumps(people, indent=1).encode())
    readings = [reading(user, 100 + t) for user in ("Ann@X.org", "bob@x.org") for t in range(3)]
    lake.land("accelerometer/lines.json", readings)
    lake.land("accelerometer/array.json.gz", gzip.compress(json.dumps(readings).encode()))
    # Before, in and after the period in which the device was ann's.
    distances = [distance(serial, at) for serial in ("s9", "s8") for at in (-10, 100, 1_000)]
    lake.land("step_trainer/lines.json", distances)
    lake.land("step_trainer/array.json", json.dumps(distances).encode())


def test_late_files_of_an_erased_person_do_not_land(small_lake: Lake) -> None:
    erase(small_lake, ANN)
    land_late_files(small_lake)
    planned, report = small_lake.run(dry_run=True), small_lake.run()
    assert people_in_landing(small_lake) == {"a@x", "b@x", "bob@x.org"}
    assert small_lake.rows(
        f"SELECT device, sensorReadingTime - {T0}, count(*) FROM step_trainer_landing "
        "WHERE source_file <> 'step_trainer/1.json' GROUP BY ALL ORDER BY ALL"
    ) == [("s8", -10, 2), ("s8", 100, 2), ("s8", 1_000, 2), ("s9", -10, 2), ("s9", 1_000, 2)]
    assert report.suppressed == {"customer": 2, "accelerometer": 6, "step_trainer": 2}
    assert violations(small_lake) == []
    assert planned.suppressed == run_json(report)["suppressed"] == report.suppressed
    assert [table.added for table in planned.tables.values()] == [table.added for table in report.tables.values()]
    alert = (
        "suppressed: 10 records in landing files, of erased people or after retention, not stored; "
        "`stedi erase --restore-check` and `stedi maintain` remove them"
    )
    assert alert in run_alerts(report)
    # The number is that of the landing files, so it stays until they are cleaned.
    assert small_lake.run().suppressed == report.suppressed


def test_unusable_records_of_an_erased_person_are_not_quarantined(small_lake: Lake) -> None:
    erase(small_lake, ANN)
    bad = [
        '{"email": "Ann <ann@X.org>", "lastUpdateDate": "yesterday"}',
        '{"email": "bob@x.org", "lastUpdateDate": "yesterday"}',
        '{"email": "ann@x.org, bob@x.org", "phone": "0123"}',
        '{"email": "\\u0061nn@x.org", "serialNumber": ',
    ]
    land(small_lake, "customer/lines.json", "\n".join(bad))
    # The slow path, because no line is one object.
    land(small_lake, "customer/array.json", "[" + ",\n".join(bad))
    land(small_lake, "accelerometer/bad.json", '{"user": "ann@x.org", "timeStamp": "?"}\n{"user": "bob@x.org"}\n')
    land(small_lake, "step_trainer/bad.json", '{"serialNumber": " s9"}\n{"serialNumber": "s8"}\n')
    report = small_lake.run()
    assert small_lake.rows(
        "SELECT feed, people, raw_record[:9] AS start, count(*) FROM quarantine GROUP BY ALL ORDER BY ALL"
    ) == [
        ("accelerometer", None, '{"user": ', 1),
        ("customer", "bob@x.org", "(removed:", 2),
        ("customer", "bob@x.org", '{"email":', 2),
        ("step_trainer", None, '{"serialN', 1),
    ]
    assert report.suppressed == {"customer": 4, "accelerometer": 1, "step_trainer": 1}
    assert report.quarantined == {"customer": 4, "accelerometer": 1, "step_trainer": 1}
    assert small_lake.rows("SELECT person FROM consent_hold") == [("bob@x.org",)]
    assert violations(small_lake) == []
    content = b"".join(path.read_bytes() for path in small_lake.warehouse.rglob("*") if path.is_file())
    assert b"ann@" not in content.lower()
    assert b"bob@" in content


def test_neither_replay_nor_reingest_brings_them_back(small_lake: Lake) -> None:
    erase(small_lake, ANN)
    land_late_files(small_lake)
    land(small_lake, "customer/bad.json", '{"email": "ann@x.org", "phone": 1}\n{"email": "bob@x.org"}\n')
    first = small_lake.run()
    before = small_lake.rows("SELECT * FROM customer_landing ORDER BY ALL")
    replayed, reingested = small_lake.run(replay=["customer"]), small_lake.run(reingest=True)
    assert first.suppressed == replayed.suppressed == reingested.suppressed
    assert replayed.files["customer"]["changed"] == 1
    assert small_lake.rows("SELECT * FROM customer_landing ORDER BY ALL") == before


def test_a_person_who_was_let_in_has_no_records_from_before_the_erasure(small_lake: Lake) -> None:
    suppression = erase(small_lake, ANN)
    land(small_lake, "customer/old.json", lines(customer("ann@x.org", 999, registered=5)))
    land(small_lake, "customer/new.json", lines(customer("ann@x.org", 1_002, registered=1_001, shares=1_001)))
    land(small_lake, "customer/both.json", lines(customer("ann@x.org", 1_500, registered=1_000)))
    land(small_lake, "accelerometer/ann.json", lines(*(reading("ann@x.org", at) for at in (1_000, 1_001))))
    land(small_lake, "step_trainer/ann.json", lines(*(distance("s9", at) for at in (999, 1_000))))
    assert small_lake.run().suppressed == {"customer": 3, "accelerometer": 2, "step_trainer": 1}
    assert "ann@x.org" not in people_in_landing(small_lake)
    # Her files of after the erasure were stopped, and are read again after she was let in.
    suppression.lift("Ann@x.org", at_ms=T0 + 7_200_000)
    assert violations(small_lake) == []
    assert small_lake.run().suppressed == {"customer": 2, "accelerometer": 1, "step_trainer": 1}
    assert small_lake.rows("SELECT source_file FROM customer_landing WHERE person = 'ann@x.org'") == [("customer/new.json",)]
    assert small_lake.rows(f"SELECT timeStamp - {T0} FROM accelerometer_landing WHERE person = 'ann@x.org'") == [(1_001,)]
    assert small_lake.rows("SELECT person FROM customer_trusted WHERE person = 'ann@x.org'") == [("ann@x.org",)]
    assert small_lake.run().files["customer"] == {"new": 0, "changed": 0}
    # Erased again, she is stopped altogether.
    erase(small_lake, ANN, at_ms=T0 + 8_000_000, erasure_id="second")
    land(small_lake, "accelerometer/late.json", lines(reading("ann@x.org", 8_100_000)), T0 + 9_000_000)
    assert small_lake.run().suppressed["accelerometer"] == 2


def test_a_warehouse_from_before_an_erasure_is_refused(small_lake: Lake) -> None:
    suppression = open_suppression(small_lake.settings).add(
        [ErasedPerson("a@x")], erased_at_ms=ERASED_AT, erasure_id="first"
    )
    commands: list[Callable[[], object]] = [
        small_lake.run,
        lambda: small_lake.run(dry_run=True),
        lambda: small_lake.rows("SELECT 1"),
        lambda: maintain(small_lake.settings),
        lambda: verify(small_lake.settings),
        lambda: describe_person(small_lake.settings, "b@x", "person"),
    ]
    for command in commands:
        with pytest.raises(WarehouseError, match=r"is from before an erasure .*; start `stedi erase --restore-check`"):
            command()
    mark_applied(small_lake.open_warehouse(), suppression)
    small_lake.run()
    # A second erasure, and the warehouse restored from a backup of before it.
    backup = small_lake.warehouse.with_name("backup")
    shutil.copytree(small_lake.warehouse, backup)
    erase(small_lake, ErasedPerson("b@x"), erasure_id="second")
    small_lake.run()
    shutil.rmtree(small_lake.warehouse)
    shutil.copytree(backup, small_lake.warehouse)
    with pytest.raises(WarehouseError, match="is from before an erasure"):
        small_lake.rows("SELECT 1")


def test_a_list_that_is_missing_or_older_is_refused(small_lake: Lake) -> None:
    privacy, older = (small_lake.warehouse.with_name(name) for name in ("lakehouse-privacy", "older"))
    erase(small_lake, ErasedPerson("a@x"))
    shutil.copytree(privacy, older)
    erase(small_lake, ErasedPerson("c@x"), erasure_id="second")
    shutil.rmtree(privacy)
    with pytest.raises(WarehouseError, match=r"there is no suppression list in .*; restore the privacy folder"):
        small_lake.run()
    shutil.copytree(older, privacy)
    with pytest.raises(WarehouseError, match=r"is older than the last erasure .*; restore the privacy folder"):
        small_lake.run()
    # Another erasure makes the older list as long, but not the same.
    other = open_suppression(small_lake.settings).add([ErasedPerson("d@x")], erased_at_ms=ERASED_AT, erasure_id="third")
    with pytest.raises(WarehouseError, match="is older than the last erasure"):
        small_lake.run()
    with pytest.raises(WarehouseError, match="is older than the last erasure"):
        mark_applied(small_lake.open_warehouse(), other)
    shutil.rmtree(privacy)
    open_suppression(small_lake.settings).add([ErasedPerson("a@x")], erased_at_ms=ERASED_AT, erasure_id="first")
    with pytest.raises(WarehouseError, match="another key"):
        small_lake.run()


def test_a_new_warehouse_beside_a_list_stops_everybody_from_its_first_run(lake: Lake) -> None:
    open_suppression(lake.settings).add([ErasedPerson("a@x")], erased_at_ms=ERASED_AT, erasure_id="first")
    small(lake)
    assert lake.run(dry_run=True).suppressed == {"customer": 1, "accelerometer": 10}
    assert not lake.warehouse.exists()
    assert lake.run().suppressed == {"customer": 1, "accelerometer": 10}
    assert people_in_landing(lake) == {"b@x"}
    (lake.warehouse / "erasures.json").write_text("{")
    with pytest.raises(WarehouseError, match=r"erasures\.json is damaged"):
        lake.run()


def test_without_an_erasure_nothing_is_created(small_lake: Lake) -> None:
    assert small_lake.run().suppressed == {}
    assert not small_lake.warehouse.with_name("lakehouse-privacy").exists()
    assert not (small_lake.warehouse / "erasures.json").exists()
