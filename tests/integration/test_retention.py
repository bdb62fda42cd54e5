"""Old raw records of people without consent are removed; everybody else keeps everything."""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stedi.privacy.retention.enforce import enforce_retention, plan_retention
from stedi.privacy.retention.report import Retention
from tests.support.byte_search import files_containing
from tests.support.compare import found_wrong
from tests.support.lake import T0, Lake, Record, customer, distance, reading

DAY = 86_400_000
OLD, RECENT, NOW = 1, 95, 100
SITTING = (11, 2_940, 4_407, 7_311, 9_008, 12_750, 13_333, 17_941, 20_202, 24_117, 26_055, 29_846)


def land(lake: Lake, name: str, records: Iterable[Record] | bytes, day: int) -> None:
    """Land a file that arrives at noon of a day, counted from `T0`."""
    path = lake.land(name, records)
    os.utime(path, ns=((T0 + day * DAY + DAY // 2) * 1_000_000,) * 2)


def walk(who: str, day: int) -> list[dict[str, Any]]:
    return [reading(f"{who}@x.example", day * DAY + t) for t in SITTING]


def tread(serial: str, day: int) -> list[dict[str, Any]]:
    return [distance(serial, day * DAY + t) for t in SITTING]


def person(who: str, day: int, shares: int | None = None, **more: Any) -> dict[str, Any]:
    consent = None if shares is None else shares * DAY
    return customer(
        f"{who}@x.example", day * DAY, shares=consent, serial=f"{who}-serial", customerName=f"{who}-name", **more
    )


def enforce(lake: Lake, day: int = NOW) -> Retention:
    return enforce_retention(lake.settings, now=datetime.fromtimestamp(T0 / 1000 + day * 86_400, UTC))


@pytest.fixture
def lake(lake: Lake) -> Lake:
    """Carl consents, Wilma withdrew, Nora never consented, Rita withdrew and consents again, Late withdrew recently."""
    lake.settings = lake.settings.model_copy(
        update={"privacy": lake.settings.privacy.model_copy(update={"retention_days": 30}), "maintain_every": 0}
    )
    everybody = ("carl", "wilma", "nora", "rita", "tardy")
    land(lake, "customer/1.json", [person(who, 1, None if who == "nora" else 1) for who in everybody], OLD)
    land(lake, "accelerometer/1.json", [each for who in everybody for each in walk(who, 1)], OLD)
    land(lake, "step_trainer/1.json", [each for who in everybody for each in tread(f"{who}-serial", 1)], OLD)
    land(lake, "accelerometer/wilma.json", walk("wilma", 2), 2)
    lake.run()
    land(lake, "customer/2.json", [person("wilma", 3), person("rita", 3)], 3)
    broken = b'{"email": "nora@x.example", "lastUpdateDate": "no time"}\n{"email": "carl@x.example", "x": \n'
    land(lake, "accelerometer/broken.json", broken, 3)
    lake.run()
    land(lake, "customer/3.json", [person("rita", 50, 50)], 50)
    land(lake, "customer/4.json", [person("tardy", RECENT)], RECENT)
    land(lake, "accelerometer/2.json", [*walk("wilma", RECENT), *walk("carl", RECENT), *walk("unknown", 4)], RECENT)
    lake.run()
    return lake


def people(lake: Lake, table: str) -> dict[str, int]:
    return dict(lake.rows(f"SELECT person, count(*) FROM {table} GROUP BY person ORDER BY person"))


def test_retention(lake: Lake) -> None:
    trusted = lake.rows("SELECT * FROM accelerometer_trusted ORDER BY ALL")
    now = datetime.fromtimestamp(T0 / 1000 + NOW * 86_400, UTC)
    planned, done = plan_retention(lake.settings, now=now), enforce(lake)
    print(json.dumps(planned.__dict__, indent=1))
    print(json.dumps(done.__dict__, indent=1))
    assert (done.people, done.devices) == (2, 2)
    assert done.records == {"customer": 3, "accelerometer": 37, "step_trainer": 24}
    assert people(lake, "customer_landing").keys() == {"carl@x.example", "rita@x.example", "tardy@x.example"}
    readings = people(lake, "accelerometer_landing")
    assert readings == {
        f"{who}@x.example": n for who, n in (("carl", 24), ("rita", 12), ("tardy", 12), ("unknown", 12), ("wilma", 12))
    }
    assert lake.rows("SELECT * FROM accelerometer_trusted ORDER BY ALL") == trusted
    assert found_wrong(lake) == []
    assert all(table.status == "up to date" for table in lake.run().tables.values())
