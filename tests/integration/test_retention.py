"""Old raw records of people without consent are removed; everybody else keeps everything."""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stedi.errors import WarehouseError
from stedi.privacy.clock import read_clock
from stedi.privacy.retention import enforce
from stedi.privacy.retention.enforce import enforce_retention
from stedi.privacy.retention.report import Retention
from stedi.tables.landing.feeds import FEEDS
from tests.support.byte_search import files_containing
from tests.support.compare import found_wrong
from tests.support.lake import T0, Lake, Record, customer, distance, reading
from tests.support.program import stedi

DAY = 86_400_000
OLD, RECENT, NOW = 1, 95, 100
SITTING = (11, 2_940, 4_407, 7_311, 9_008, 12_750, 13_333, 17_941, 20_202, 24_117, 26_055, 29_846)
CONSENTING = ("carl", "rita")


def time_of(day: int) -> datetime:
    return datetime.fromtimestamp(T0 / 1000 + day * 86_400, UTC)


def land(lake: Lake, name: str, records: Iterable[Record] | bytes, day: int) -> None:
    """Land a file that arrives at noon of a day, counted from `T0`."""
    path = lake.land(name, records)
    os.utime(path, (time_of(day).timestamp() + 43_200,) * 2)


def walk(who: str, day: int) -> list[dict[str, Any]]:
    return [reading(f"{who}@x.example", day * DAY + t) for t in SITTING]


def tread(who: str, day: int) -> list[dict[str, Any]]:
    return [distance(f"{who}-serial", day * DAY + t) for t in SITTING]


def person(who: str, day: int, shares: int | None = None) -> dict[str, Any]:
    consent = None if shares is None else shares * DAY
    return customer(f"{who}@x.example", day * DAY, shares=consent, serial=f"{who}-serial", customerName=f"{who}-name")


def retain(lake: Lake, day: int = NOW) -> Retention:
    return enforce_retention(lake.settings, now=time_of(day))


@pytest.fixture
def old(lake: Lake) -> Lake:
    """Carl consents, Wilma withdrew, Nora never consented, Rita consented again, Tardy withdrew only lately."""
    privacy = lake.settings.privacy.model_copy(update={"retention_days": 30})
    lake.settings = lake.settings.model_copy(update={"privacy": privacy, "maintain_every": 0})
    everybody = (*CONSENTING, "wilma", "nora", "tardy")
    land(lake, "customer/1.json", [person(who, OLD, None if who == "nora" else OLD) for who in everybody], OLD)
    land(lake, "accelerometer/1.json", [each for who in everybody for each in walk(who, OLD)], OLD)
    land(lake, "step_trainer/1.json", [each for who in everybody for each in tread(who, OLD)], OLD)
    land(lake, "accelerometer/wilma.json", walk("wilma", 2), 2)
    lake.run()
    land(lake, "customer/2.json", [person("wilma", 3), person("rita", 3)], 3)
    broken = b'{"email": "nora@x.example", "lastUpdateDate": "no time"}\n{"user": "carl@x.example", "x":\n'
    land(lake, "accelerometer/broken.json", broken, 3)
    land(lake, "customer/3.json", [person("rita", 50, 50), person("tardy", RECENT)], RECENT)
    land(lake, "accelerometer/2.json", [*walk("wilma", RECENT), *walk("carl", RECENT), *walk("unknown", 4)], RECENT)
    lake.run()
    return lake


def people(lake: Lake, table: str) -> dict[str, int]:
    return dict(lake.rows(f"SELECT split_part(person, '@', 1), count(*) FROM {table} GROUP BY ALL"))


def as_expected(lake: Lake) -> None:
    assert people(lake, "customer_landing") == {"carl": 1, "rita": 3, "tardy": 2}
    readings = {"carl": 24, "rita": 12, "tardy": 12, "unknown": 12, "wilma": 12}
    assert people(lake, "accelerometer_landing") == readings
    assert people(lake, "accelerometer_trusted") == {"carl": 24, "rita": 12}
    assert lake.rows("SELECT device, count(*) FROM step_trainer_landing GROUP BY ALL ORDER BY ALL") == [
        (f"{who}-serial", 12) for who in ("carl", "rita", "tardy")
    ]
    assert [text for (text,) in lake.rows("SELECT raw_record FROM quarantine")] == ['{"user": "carl@x.example", "x":']
    raw = [lake.warehouse / "stedi" / table for table in ("quarantine", *(feed.table.name for feed in FEEDS))]
    assert all(folder.is_dir() for folder in raw)
    assert files_containing(("nora", "wilma-serial", "wilma-name"), lake.landing, *raw) == []


def test_old_records_of_people_without_consent_go(old: Lake) -> None:
    clock = read_clock(old.settings, time_of(NOW))
    assert (clock.past_retention, clock.overdue_retention) == (2, 2)
    done = retain(old)
    assert (done.people, done.devices) == (2, 2)
    assert done.records == {"customer": 3, "accelerometer": 37, "step_trainer": 24}
    assert done.rows == {"customer_landing": 3, "accelerometer_landing": 36, "step_trainer_landing": 24}
    assert (done.files_rewritten, done.files_deleted) == (5, 1)
    [entry] = Path(old.settings.privacy_folder, "retention").iterdir()
    assert json.loads(entry.read_bytes())["people"] == 2
    as_expected(old)
    clock = read_clock(old.settings, time_of(NOW))
    assert (clock.past_retention, clock.overdue_retention) == (0, 0)
    assert retain(old).is_empty
    # Old records that arrive late do not let anybody in, and go with the next removal. New consent counts.
    land(old, "customer/late.json", [person("wilma", 4, 4), person("nora", 99, 99)], 99)
    land(old, "accelerometer/late.json", [*walk("nora", 2), *walk("nora", 99)], 99)
    land(old, "step_trainer/late.json", [*tread("wilma", 2), *tread("nora", 99)], 99)
    report = old.run()
    assert report.suppressed == {"customer": 1, "accelerometer": 12, "step_trainer": 12}
    assert people(old, "customer_trusted") == {"carl": 1, "nora": 1, "rita": 1}
    assert people(old, "accelerometer_trusted") == {"carl": 24, "nora": 12, "rita": 12}
    assert retain(old).records == {"customer": 1, "accelerometer": 12, "step_trainer": 12}
    report = old.run()
    assert report.suppressed == {}
    assert all(table.status == "up to date" for table in report.tables.values())
    assert found_wrong(old) == []
    # Without its marks the warehouse is not used.
    Path(old.settings.privacy_folder, "suppression/retention.json").unlink()
    with pytest.raises(WarehouseError, match=r"the retention marks in .* are missing or older than the last retention"):
        old.run()


def test_a_killed_removal_is_completed(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill_at(step: str, feed: str = "") -> None:
        original = getattr(enforce, step)

        def die(*arguments: Any, **options: Any) -> object:
            if not feed or arguments[1].name == feed:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(enforce, step, die)
            with pytest.raises(KeyboardInterrupt):
                retain(old)

    kill_at("cut_files", "accelerometer")
    kill_at("purge_table", "customer")
    old.run()
    assert people(old, "accelerometer_trusted") == {"carl": 24, "rita": 12}
    assert people(old, "step_trainer_trusted") == {"carl": 12, "rita": 12}
    kill_at("_refresh")
    kill_at("finish")
    retain(old)
    as_expected(old)
    assert found_wrong(old) == []


def test_commands(lake: Lake) -> None:
    land(lake, "customer/1.json", [person("nora", OLD), person("carl", OLD, OLD)], OLD)
    settings = lake.landing.parent / "stedi.toml"
    settings.write_text(
        'landing = "landing"\nwarehouse = "lakehouse"\npseudonym_key = "a key for tests"\n[privacy]\nretention_days = 30\n'
    )

    def retention(*arguments: str) -> Any:
        return json.loads(stedi(settings.parent, *arguments, "--json").stdout)["retention"]

    lake.run()
    planned = retention("maintain", "--plan")
    assert planned["records"] == {"customer": 1}
    overdue = stedi(settings.parent, "privacy")
    assert overdue.returncode == 1
    assert "start `stedi maintain`" in overdue.stderr
    settings.write_text(f"maintain_every = 1\n{settings.read_text()}")
    land(lake, "customer/2.json", [person("carl", 2, OLD)], 2)
    removed = retention("run")
    assert (removed["people"], removed["records"]) == (1, {"customer": 1})
    assert retention("maintain")["records"] == {}
    assert stedi(settings.parent, "privacy").returncode == 0
