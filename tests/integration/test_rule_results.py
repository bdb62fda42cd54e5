"""Results of rules: kept for every run, shown with examples that name nobody, and exact after any small step."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stedi.cli.run_report import rule_json, run_json
from stedi.model.table import MILLISECONDS_A_DAY
from stedi.pipeline.checks import RuleResult
from stedi.query.rule_results import latest_results
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from tests.support.compare import rule_counts
from tests.support.lake import T0, Lake, Record, customer, distance, reading
from tests.support.program import stedi

RECORDED = (
    "SELECT run_id, checked_rows, broken_rows FROM rule_result WHERE table_name = '{}' AND rule = '{}' ORDER BY run_number"
)


def latest(lake: Lake, table: str, rule: str) -> RuleResult:
    [found] = [r for r in latest_results(lake.settings) if (r.table, r.rule) == (table, rule)]
    return found


def test_every_run_adds_what_it_found_and_the_newest_of_each_table_is_shown(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10), customer(None, 10)])
    first = lake.run().run_id
    lake.land("accelerometer/1.json", [reading("a@x", 5), reading("a@x", 20)])
    second = lake.run().run_id
    assert lake.rows(RECORDED.format("customer_landing", "has_email")) == [(first, 2, 1)]
    assert lake.rows(RECORDED.format("accelerometer_trusted", "taken_after_consent")) == [(first, 0, 0), (second, 2, 1)]
    shown = latest(lake, "customer_landing", "has_email")
    assert (shown.checked, shown.failed, shown.level) == (2, 1, "warn")
    assert shown.examples == ({"source_file": "customer/1.json", "source_position": 2},)
    assert latest(lake, "accelerometer_trusted", "taken_after_consent").failed == 1


def test_a_run_that_changes_nothing_adds_no_results(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10)])
    lake.run()
    before = lake.rows("SELECT count(*) FROM rule_result")
    lake.run()
    assert lake.rows("SELECT count(*) FROM rule_result") == before


def test_an_example_is_found_under_its_pseudonym_by_who_may_read_the_customers(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10, birthDay="0967-01-01"), customer("b@x", 10, shares=10)])
    lake.land("accelerometer/1.json", [reading("a@x", 20), reading("b@x", 20)])
    lake.run()
    [example] = latest(lake, "customer_trusted", "birthday_plausible").examples
    assert lake.rows(
        f"SELECT person FROM customers_curated WHERE starts_with(customer_pseudonym, '{example['person']}')"
    ) == [("a@x",)]


def private(lake: Lake) -> set[str]:
    """Every name, address, number and serial in the landing tables, as it came and as we match it."""
    columns = {
        "customer_landing": ("customerName", "email", "phone", "serialNumber"),
        "accelerometer_landing": ("user",),
        "step_trainer_landing": ("serialNumber",),
    }
    values = [
        value
        for table, names in columns.items()
        for name in names
        for (value,) in lake.rows(f'SELECT DISTINCT "{name}" FROM {table} WHERE "{name}" IS NOT NULL')
    ]
    return {form for value in values for form in (value, value.strip(), value.strip().lower())}


def test_results_hold_no_personal_data(tmp_path: Path, lake: Lake) -> None:
    folder = tmp_path / "feeds"
    simulate(folder, replace(IDEAL, customers=20, days=2, seed=5, readings=6_000))
    lake.settings = lake.settings.model_copy(update={"landing": str(folder)})
    lake.run()
    # Conflicts and a birthday long ago, so that the rules on people and devices have examples too.
    [(person, serial, newest)] = lake.rows(
        "SELECT person, serialNumber, max(sensorReadingTime) FROM step_trainer_trusted GROUP BY ALL ORDER BY ALL LIMIT 1"
    )
    at = newest - T0
    nobody = customer(None, at, customerName="Somebody Else", phone="555-0199", serial="serial-y")
    aged = customer(
        person.upper(),
        at + 9 * MILLISECONDS_A_DAY,
        shares=at,
        birthDay="0967-01-01",
        serial="serial-x",
        customerName="Somebody",
    )
    write(folder / "customer/x.json", [nobody, aged])
    write(folder / "accelerometer/x.json", [reading(person, at, x=1e6), reading(person, at, x=2e6)])
    write(folder / "step_trainer/x.json", [distance(serial, at, 1e6), distance(serial, at, 2e6), distance("serial-y", 1)])
    report = lake.run()
    texts = {
        "run": json.dumps(run_json(report)),
        "quality": json.dumps([rule_json(r) for r in latest_results(lake.settings)]),
        "rule_result": json.dumps(lake.rows("SELECT * EXCLUDE (checked_at) FROM rule_result")),
        "command": stedi(tmp_path, "--json", "quality").stdout,
        "terminal": stedi(tmp_path, "quality").stdout,
    }
    broken = {(r.table, r.rule) for r in latest_results(lake.settings) if r.examples}
    assert broken >= {
        ("customer_landing", "has_email"),
        ("customer_trusted", "birthday_plausible"),
        ("accelerometer_trusted", "one_reading_a_moment"),
        ("accelerometer_trusted", "taken_after_consent"),
        ("device_owner", "owner_is_clear"),
        ("step_trainer_trusted", "one_distance_a_moment"),
    }
    secrets = private(lake)
    assert len(secrets) > 100
    for where, text in texts.items():
        assert text.strip()
        assert [secret for secret in secrets if secret in text] == [], where


def write(path: Path, records: list[Record]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.mark.parametrize(
    ("name", "broken", "mended", "rule"),
    [
        ("customer/x.json", customer(None, 10), customer("c@x", 10), "has_email"),
        ("customer/x.json", customer("c@x", 10, birthDay="0967-01-01"), customer("c@x", 10), "birthday_plausible"),
        ("step_trainer/x.json", distance("s", 5, -1), distance("s", 5, 1), "distance_not_negative"),
    ],
)
def test_a_file_replaced_by_a_clean_one_takes_its_broken_rows_along(
    lake: Lake, name: str, broken: Record, mended: Record, rule: str
) -> None:
    table = f"{name.split('/')[0]}_landing"
    lake.land(name.replace("x", "y"), [broken])
    lake.land(name, [broken, broken, mended])
    lake.run()
    assert latest(lake, table, rule).failed == 3
    lake.land(name, [mended])
    lake.run()
    assert (latest(lake, table, rule).checked, latest(lake, table, rule).failed) == (2, 1)
    lake.land(name.replace("x", "y"), b"")
    lake.run()
    assert (latest(lake, table, rule).checked, latest(lake, table, rule).failed) == (1, 0)


def any_record(feed: str, chance: random.Random) -> Record:
    """A record of few people, devices and moments, so that conflicts, gaps and withdrawals are common."""
    who, serial, at = chance.choice(["a@x", "B@X ", "c@x"]), chance.choice("st"), chance.randrange(100, 106)
    if feed == "accelerometer":
        return reading(chance.choice([who, who.strip()]), at, x=chance.randrange(2))
    if feed == "step_trainer":
        return distance(serial, at, chance.randrange(-1, 2))
    birthday = chance.choice(["0967-01-01", "1980-01-01"])
    return customer(
        chance.choice([who, who, None]), at, serial=serial, shares=chance.choice([None, 100, at]), birthDay=birthday
    )


def test_counts_stay_what_a_whole_recomputation_finds_through_any_small_steps(new_lake: Callable[..., Lake]) -> None:
    chance = random.Random(3)
    steps = new_lake("steps")
    steps.land("customer/sure.json", [customer("a@x", 200, shares=150, serial="s")])
    steps.land("accelerometer/sure.json", [reading("a@x", 100)])
    seen: set[str] = set()
    for number in range(7):
        for _ in range(chance.randrange(1, 4)):
            feed = chance.choice(["customer", "accelerometer", "step_trainer"])
            records = [any_record(feed, chance) for _ in range(chance.randrange(12))]
            # Few names, so that files are replaced, by others and by repeats of themselves.
            steps.land(f"{feed}/{chance.randrange(3)}.json", records * chance.choice([1, 1, 2]))
        steps.run()
        if number % 3 == 0:
            at_once = new_lake(f"once-{number}")
            at_once.settings = at_once.settings.model_copy(update={"landing": steps.settings.landing})
            at_once.run()
            counts = rule_counts(steps)
            assert counts == rule_counts(at_once)
            seen |= {rule for found in counts.values() for rule, count in found.items() if count}
    assert seen >= {
        "has_email",
        "birthday_plausible",
        "distance_not_negative",
        "one_reading_a_moment",
        "one_distance_a_moment",
        "taken_after_consent",
    }


def test_rules_hold_counts_and_no_personal_data(lake: Lake) -> None:
    lake.land("customer/a.json", [customer("secret@x", 10, shares=10, birthDay="0967-01-01")])
    report = lake.run()
    [found] = [r for r in report.rules if (r.table, r.rule) == ("customer_landing", "birthday_plausible")]
    assert (found.checked, found.failed, found.passed) == (1, 1, False)
    assert "secret" not in repr(report)
