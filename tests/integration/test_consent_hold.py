"""A newer customer record that can't be used leaves no older consent in force, and everybody who looks is told."""

import json
import os
from pathlib import Path

import pytest

from tests.support.compare import NAMES, found_wrong
from tests.support.lake import KEY, T0, Lake, customer, distance, reading
from tests.support.program import stedi

CONSENTING = "SELECT person FROM customer_trusted ORDER BY person"
# Withdrawals of ann at a later moment, each in one record that can't be used.
WITHDRAWAL = f'"email": "Ann@x.org", "registrationDate": {T0}, "lastUpdateDate": {T0 + 20}'
UNUSABLE = {
    "lastUpdateDate is a word": f'{{"email": "ann@x.org", "registrationDate": {T0}, "lastUpdateDate": "yesterday"}}',
    "lastUpdateDate in seconds": f'{{"email": "ann@x.org", "lastUpdateDate": {T0 // 1000 + 20}}}',
    "lastUpdateDate in the year 9999": '{"email": "ann@x.org", "lastUpdateDate": 253402300799999}',
    "registrationDate before 2000": f'{{"email": "ann@x.org", "registrationDate": 1, "lastUpdateDate": {T0 + 20}}}',
    "no time at all": '{"email": "ann@x.org"}',
    "a serial number twice": f'{{{WITHDRAWAL}, "serialNumber": "a", "SERIALNUMBER": "b"}}',
    "null and a share date": f'{{{WITHDRAWAL}, "shareWithResearchAsOfDate": null, "shareWithResearchAsOfDate": {T0}}}',
    "two share dates": f'{{{WITHDRAWAL}, "shareWithResearchAsOfDate": {T0}, "shareWithResearchAsOfDate": {T0 + 1}}}',
    "half a surrogate pair": f'{{{WITHDRAWAL}, "nickname": "\\ud83d"}}',
    "NaN in an unknown field": f'{{{WITHDRAWAL}, "weight": NaN}}',
    "a trailing comma": f"{{{WITHDRAWAL},}}",
    "bytes that are no UTF-8": f'{{{WITHDRAWAL}, "customerName": "\udcff"}}',
    "cut off": f"{{{WITHDRAWAL}, ",
    "two addresses": f'{{"email": "ann@x.org; cat@x.org", "lastUpdateDate": {T0 + 20}}}',
    "nested too deep": f'{{{WITHDRAWAL}, "more": {"[" * 200}{"]" * 200}}}',
    "no record at all": "withdrawn: ann@x.org",
}


def land(lake: Lake, name: str, content: str, arrived: int) -> None:
    """Put a file in place that was last written some seconds after T0."""
    path = lake.land(name, content.encode(errors="surrogateescape"))
    os.utime(path, (T0 // 1000 + arrived, T0 // 1000 + arrived))


def records(*given: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in given)


@pytest.fixture
def consenting(lake: Lake) -> Lake:
    """Ann and bob consent, walk and own devices."""
    both = [customer(f"{name}@x.org", 10, shares=5, serial=f"serial-{name}") for name in ("ann", "bob")]
    land(lake, "customer/1.json", records(*both), 1)
    for name in ("ann", "bob"):
        lake.land(f"accelerometer/{name}.json", [reading(f"{name}@x.org", 100 + t) for t in range(5)])
        lake.land(f"step_trainer/{name}.json", [distance(f"serial-{name}", 100 + t) for t in range(5)])
    lake.run()
    assert lake.rows(CONSENTING) == [("ann@x.org",), ("bob@x.org",)]
    return lake


def test_no_kind_of_unusable_record_leaves_the_older_consent_in_force(lake: Lake) -> None:
    people = {kind: f"p{number}" for number, kind in enumerate(UNUSABLE)}
    consents = [customer(f"{person}@x.org", 10, shares=5, serial=f"serial-{person}") for person in (*people.values(), "bob")]
    land(lake, "customer/1.json", records(*consents), 1)
    for person in (*people.values(), "bob"):
        lake.land(f"accelerometer/{person}.json", [reading(f"{person}@x.org", 100 + t) for t in range(3)])
        lake.land(f"step_trainer/{person}.json", [distance(f"serial-{person}", 100 + t) for t in range(3)])
    lake.run()
    assert len(lake.rows(CONSENTING)) == len(people) + 1
    for kind, person in people.items():
        text = UNUSABLE[kind].replace("ann@", f"{person}@").replace("Ann@", f"{person.upper()}@")
        land(lake, f"customer/{person}.json", text + "\n", 10)
    report = lake.run()
    assert lake.rows(CONSENTING) == [("bob@x.org",)]
    assert (report.quarantined["customer"], report.on_hold) == (len(people), len(people) + 1)
    named = lake.rows(
        " UNION ALL ".join(f"SELECT '{name}' FROM {name} AS r WHERE r::VARCHAR LIKE '%p0@x.org%'" for name in NAMES)
    )
    assert {name for (name,) in named} == {
        "customer_landing",
        "accelerometer_landing",
        "quarantine",
        "consent_hold",
        "consent_history",
        "device_evidence",
        "device_owner",
    }
    assert found_wrong(lake) == []


def test_a_usable_record_in_a_later_file_decides_again(consenting: Lake) -> None:
    land(consenting, "customer/2.json", UNUSABLE["a trailing comma"], 10)
    consenting.run()
    for arrived, expected in ((10, [("bob@x.org",)]), (11, [("ann@x.org",), ("bob@x.org",)])):
        land(consenting, "customer/3.json", records(customer("mailto:ANN@x.org", 30, shares=5)), arrived)
        report = consenting.run()
        assert consenting.rows(CONSENTING) == expected
    assert report.on_hold == 0
    assert found_wrong(consenting) == []


def test_the_repaired_file_decides_again(consenting: Lake) -> None:
    land(consenting, "customer/2.json", UNUSABLE["a trailing comma"], 10)
    consenting.run()
    land(consenting, "customer/2.json", f"{{{WITHDRAWAL}}}", 11)
    assert consenting.run().on_hold == 0
    assert consenting.rows(CONSENTING) == [("bob@x.org",)]


def test_who_looks_is_told_and_nobody_is_named(consenting: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    land(consenting, "customer/2.json", UNUSABLE["lastUpdateDate in seconds"], 10)
    program = ("--landing", str(consenting.landing), "--warehouse", str(consenting.warehouse))
    done = stedi(Path(), *program, "run")
    assert done.returncode == 0
    assert done.stdout.startswith("consent on hold: 1 customer (with an unusable record); see `stedi quarantine`")
    assert json.loads(stedi(Path(), *program, "--json", "run").stdout)["on_hold"] == 1
    listed = json.loads(stedi(Path(), *program, "--json", "quarantine").stdout)["on_hold"]
    assert [(each["source_file"], each["source_position"], each["reason"], each["records"]) for each in listed] == [
        ("customer/2.json", 1, "lastUpdateDate_perhaps_in_seconds", 1)
    ]
    assert json.loads(stedi(Path(), *program, "--json", "quarantine", "--feed", "accelerometer").stdout)["on_hold"] == []
    rules = json.loads(stedi(Path(), *program, "--json", "quality").stdout)["rules"]
    assert [rule["failed"] for rule in rules if rule["rule"] == "nobody_on_hold"] == [1]
    for command in ("run", "quarantine", "quality", "verify"):
        done = stedi(Path(), *program, command)
        assert (done.returncode, "ann@" in done.stdout + done.stderr) == (0, False)
