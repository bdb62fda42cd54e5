"""Everything follows from the declarations: a feed or table that is declared is ingested, checked and shown everywhere."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from stedi.model.feed import Feed, Field
from stedi.model.identity import customer_pseudonym
from stedi.model.table import Column, Table
from tests.support.lake import KEY, customer
from tests.support.program import stedi
from tests.support.variant import with_feed, with_table

HEART_RATE = Feed(
    name="heart_rate",
    folders=("heart_rate",),
    fields=(
        Field("user", "text", "e-mail address", required=True, personal=True),
        Field("beats", "number", "beats a minute", required=True),
    ),
    meaning="heart rates as received",
)
NO_CONSENT = "rows of people who do not consent"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    for name, text in {
        "customer/1.json": "\n".join(json.dumps(each) for each in (customer("ann@x", 10, shares=10), customer("bob@x", 10))),
        "heart_rate/1.json": '{"user": "ann@x", "beats": 60}\n{"user": "ann@x"}\n',
        "accelerometer/1.json": "",
        "step_trainer/1.json": "",
    }.items():
        path = tmp_path / "landing" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_a_fourth_feed_is_landed_quarantined_shown_and_verified(landed: Path) -> None:
    with with_feed(HEART_RATE) as program:
        report = json.loads(program(landed, "--json", "run").stdout)
        assert report["quarantined"]["heart_rate"] == 1
        assert report["tables"]["heart_rate_landing"]["rows"] == 1
        assert report["tables"]["quarantine"]["rows"] == 1
        assert report["tables"]["quarantine"]["reason"] == "first run"
        found = json.loads(program(landed, "--json", "quarantine", "--feed", "heart_rate").stdout)["quarantined"]
        assert [(each["source_file"], each["reason"]) for each in found] == [("heart_rate/1.json", "beats_missing")]
        assert "customer, accelerometer, step_trainer, heart_rate" in " ".join(
            program(landed, "quarantine", "--help").stdout.replace("│", " ").split()
        )
        assert "heart_rate_landing" in program(landed, "ddl", "heart_rate_landing").stdout
        findings = json.loads(program(landed, "--json", "verify").stdout)["findings"]
        assert all(finding["holds"] for finding in findings)
        assert {"heart_rate_landing", "quarantine"} <= {finding["table"] for finding in findings}
        jobs = import_module("stedi.aws.jobs").JOBS
    assert jobs[0].tables == (
        "customer_landing",
        "accelerometer_landing",
        "step_trainer_landing",
        "heart_rate_landing",
        "quarantine",
    )
    assert "heart_rate" in {feed.name for feed in jobs[0].feeds}


def test_a_warehouse_goes_on_with_a_fourth_feed_and_computes_no_table_again(landed: Path) -> None:
    assert stedi(landed, "run").returncode == 0
    with with_feed(HEART_RATE) as program:
        tables = json.loads(program(landed, "--json", "run").stdout)["tables"]
    assert {name: t["reason"] for name, t in tables.items() if t["status"] == "refreshed"} == {
        "heart_rate_landing": "1 file new",
        "quarantine": "heart_rate_landing changed",
    }


@pytest.mark.parametrize("is_pseudonym", [False, True])
def test_a_new_table_of_people_without_a_condition_of_consent_is_found(landed: Path, is_pseudonym: bool) -> None:
    column = "customer_pseudonym" if is_pseudonym else "person"
    who = customer_pseudonym("person") if is_pseudonym else "person"
    newsletter = Table(
        name="newsletter",
        zone="curated",
        meaning="whom to write to",
        grain="one customer",
        key=(column,),
        columns=(Column(column, "string", "who", personal=not is_pseudonym, required=True),),
        inputs=("customer_landing",),
        query=f"SELECT {who} AS {column} FROM customer_landing",
        parameters=("pseudonym_inner", "pseudonym_outer"),
        person=column,
        person_is_pseudonym=is_pseudonym,
    )
    with with_table(newsletter) as program:
        assert program(landed, "run").returncode == 0
        done = program(landed, "--json", "verify")
    assert done.returncode == 1
    broken = [finding for finding in json.loads(done.stdout)["findings"] if not finding["holds"]]
    assert [(each["table"], each["question"], each["wrong"]) for each in broken] == [("newsletter", NO_CONSENT, 1)]
