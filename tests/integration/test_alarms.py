"""A feed whose consent dates can't be used: everybody drops out, an alarm says so, a repaired feed brings all back."""

import json
from pathlib import Path
from typing import Any

import pytest

from stedi.catalog.run_log import latest_run, read_runs
from stedi.errors import DeploymentError
from tests.support.lake import KEY, T0, Lake, customer
from tests.support.program import stedi

# 2022-06-18 15:00:44 UTC, in ms after T0.
T = 1_655_564_444_000 - T0
PEOPLE = [f"p{number}@x" for number in range(100)]
MESSAGE = "consent in force fell from 100 to 1 customers (99%) in this run"


@pytest.fixture
def feed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A hundred people consent, and after the first run a record of each but one comes with another form of date."""
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    lake.land("customer/1.json", [customer(person, T, shares=T) for person in PEOPLE])
    assert lake.run().alarms == []
    records = [customer(person, T + 1, ShareWithResearchAsOfDate="2022-06-18T15:00:44Z") for person in PEOPLE[1:]]
    lake.land("customer/2.json", records)
    return lake


def test_a_fall_of_consent_is_an_alarm_once(feed: Lake) -> None:
    [planned] = feed.run(dry_run=True).alarms
    assert "would fall from 100 to 1 customers" in planned.message
    # A run that died, or left its tables to a later run, is no finished run.
    assert feed.run(publish=False).alarms == []
    heard: list[str] = []
    report = feed.run(on_alarm=lambda alarm: heard.append(alarm.message))
    assert report.tables["customer_trusted"].status == "up to date"
    assert report.tables["customer_trusted"].rows == 1
    [alarm] = report.alarms
    assert (alarm.before, alarm.now) == (100, 1)
    assert alarm.message.startswith(MESSAGE)
    assert heard == [alarm.message]
    assert [run.alarms for run in read_runs(feed.open_warehouse())] == [[], [alarm]]
    assert feed.run().alarms == []
    feed.land("customer/2.json", [customer(person, T + 1, shares=T) for person in PEOPLE[1:]])
    repaired = feed.run()
    assert (repaired.tables["customer_trusted"].rows, repaired.alarms) == (100, [])


def test_an_alarm_that_can_not_be_sent_is_given_again(feed: Lake) -> None:
    def fail(alarm: object) -> None:
        raise DeploymentError("no such topic")

    with pytest.raises(DeploymentError):
        feed.run(on_alarm=fail)
    assert len(feed.run().alarms) == 1


def test_an_alarm_is_the_first_line_the_exit_code_and_in_json(feed: Lake) -> None:
    folder = feed.warehouse.parent
    planned = stedi(folder, "run", "--dry-run")
    assert planned.returncode == 3
    assert planned.stdout.startswith("ALARM: consent in force would fall from 100 to 1 customers")
    done = stedi(folder, "run")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0].startswith(f"ALARM: {MESSAGE}; look at `stedi quality`")
    assert done.stdout.splitlines()[0].endswith("the next run restores these customers")
    assert done.stderr.splitlines()[-1].startswith("stedi: the run succeeded with alarms")
    assert "consent_date_usable" in done.stdout
    again = stedi(folder, "--json", "run")
    assert (again.returncode, json.loads(again.stdout)["alarms"]) == (0, [])
    assert MESSAGE in stedi(folder, "quality").stdout.replace("\n", " ")
    [kept] = json.loads(stedi(folder, "--json", "quality").stdout)["alarms"]
    assert kept["message"].startswith(MESSAGE)
    assert kept["run_id"] == read_runs(feed.open_warehouse())[-1].run_id


def test_json_has_the_alarm_of_a_replay(feed: Lake) -> None:
    done = stedi(feed.warehouse.parent, "quarantine", "--replay")
    assert done.returncode == 3
    assert done.stdout.startswith(f"ALARM: {MESSAGE}")


def test_records_of_runs_without_alarms_are_read(feed: Lake) -> None:
    [file] = Path(feed.warehouse, "runs").glob("*.json")
    record = json.loads(file.read_text())
    assert record.pop("alarms") == []
    file.write_text(json.dumps(record))
    run = latest_run(feed.open_warehouse())
    assert run is not None
    assert run.alarms == []
    assert len(feed.run().alarms) == 1


def test_consent_dates_that_can_not_be_used_are_counted(lake: Lake) -> None:
    values: list[dict[str, Any]] = [
        {"shareWithResearchAsOfDate": "2022-06-18"},
        {" SHAREWITHRESEARCHASOFDATE ": True, "more": 1},
        {"shareWithResearchAsOfDate": {"since": 5}},
        {"shareWithResearchAsOfDate": 0},
        # None was given, or it is another's, or it can be used.
        {},
        {"shareWithResearchAsOfDate": ""},
        {"old": {"shareWithResearchAsOfDate": "2022-06-18"}},
        {"note": '"shareWithResearchAsOfDate": "2022-06-18"'},
        {"shareWithFriendsAsOfDate": "2022-06-18"},
        {"shareWithResearchAsOfDate": T0 + T, "more": 1},
    ]
    lake.land("customer/1.json", [customer(f"p{number}@x", T, **more) for number, more in enumerate(values)])
    [found] = [rule for rule in lake.run().rules if rule.rule == "consent_date_usable"]
    assert (found.table, found.level, found.checked, found.failed) == ("customer_landing", "warn", len(values), 4)
    assert [example["source_position"] for example in found.examples] == [1, 2, 3]
