"""The confidence that an owner needs is a setting: a run follows it, and `verify` goes by the last run's."""

from stedi.cli.run_report import run_alerts
from stedi.config import Settings
from stedi.verify.verify import verify
from tests.support.lake import Lake, customer, distance, reading


def test_a_lower_confidence_names_more_owners(lake: Lake) -> None:
    """A phone has 20 of a device's 29 readings, the first of them: it is the owner's with a probability of 0.995."""
    people = [f"p{n}@x" for n in range(60)]
    lake.land("customer/a.json", [customer("p0@x", 10, shares=10, serial="another")])
    device = range(7, 87_000, 3_001)
    crowd = [reading(person, t + 29 * n) for n, person in enumerate(people) for t in device if n or t < 60_000]
    lake.land("accelerometer/a.json", crowd)
    lake.land("step_trainer/a.json", [distance("s", t) for t in device])
    report = lake.run()
    assert report.unresolved_readings == 29
    assert run_alerts(report) == [
        "owner not clear: 29 step-trainer readings left out of the trusted tables; see `stedi devices`"
    ]
    owner = "SELECT person, status, round(confidence, 2) FROM device_owner WHERE serialNumber = 's'"
    assert lake.rows(owner) == [(None, "ambiguous", 0.99)]
    strict = lake.settings
    lake.settings = Settings.model_validate(strict.model_dump() | {"owners": {"confidence": 0.9}})
    report = lake.run()
    assert report.tables["device_owner"].reason.startswith("the consent policy, owners.confidence")
    assert lake.rows(owner) == [("p0@x", "inferred", 0.99)]
    assert report.tables["step_trainer_trusted"].rows == 29
    assert (report.unresolved_readings, run_alerts(report)) == (0, [])
    assert all(finding.holds for finding in verify(strict))
