"""Each table on a few literal rows with results worked out by hand."""

import hashlib
import hmac

import pytest

from stedi.errors import UsageError
from stedi.model.table import Column, Table, in_run_order, with_ancestors
from stedi.tables.registry import ALL, BY_NAME
from tests.support.lake import KEY, T0, customer, distance, reading
from tests.support.tables import NewTables, Tables

INTERVALS = "SELECT person, consented_from_ms, consented_to_ms FROM consent_history ORDER BY ALL"


def test_tables_come_after_their_inputs() -> None:
    names = [table.name for table in in_run_order(reversed(ALL))]
    assert all(names.index(i) < names.index(t.name) for t in ALL for i in t.built_from)
    assert with_ancestors(["consent_history"], BY_NAME) == {"consent_history", "customer_landing"}
    with pytest.raises(UsageError, match="unknown table 'nope'"):
        with_ancestors(["nope"], BY_NAME)


def test_a_table_with_personal_columns_must_declare_person() -> None:
    address = Column("email", "string", "who", personal=True)
    with pytest.raises(ValueError, match="table t has personal columns: give `person`"):
        Table("t", "curated", "", "", (), (address,), query="SELECT email FROM customer_landing")


def test_renewed_consent_does_not_start_before_the_withdrawal(tables: Tables) -> None:
    tables.land(
        "customer/a.json",
        [
            customer("a@x", 10, shares=5),
            customer("a@x", 15, shares=5),
            customer("a@x", 20),
            customer("A@X ", 30, shares=5),
            customer("b@x", 10),
            customer("b@x", 20, shares=18),
        ],
    )
    tables.run()
    assert tables.rows(INTERVALS) == [("a@x", T0 + 5, T0 + 20), ("a@x", T0 + 20, None), ("b@x", T0 + 18, None)]


def test_the_newest_record_decides(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, phone="1"), customer("a@x", 20, phone="2")])
    tables.land("customer/b.json", [customer("b@x", 20, shares=10, phone="2"), customer("b@x", 10, phone="1")])
    tables.run()
    assert tables.rows("SELECT email, phone FROM customer_trusted") == [("b@x", "2")]


def test_contradictory_newest_records_give_no_consent(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10), customer("a@x", 10)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM customer_trusted") == [(0,)]
    assert tables.rows(INTERVALS) == []


def test_a_record_without_an_address_reaches_no_trusted_table(tables: Tables) -> None:
    tables.land("customer/a.json", [customer(None, 10, shares=10), customer("  ", 10, shares=10)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM customer_landing") == [(2,)]
    assert tables.rows("SELECT count(*) FROM customer_trusted") == [(0,)]


@pytest.mark.parametrize(("policy", "kept"), [("customer", [5, 10, 19, 20, 30]), ("reading", [10, 19, 30])])
def test_the_policy_decides_which_readings_are_kept(new_tables: NewTables, policy: str, kept: list[int]) -> None:
    tables = new_tables(policy)
    tables.land("customer/a.json", [customer("a@x", 10, shares=10), customer("a@x", 20), customer("a@x", 30, shares=30)])
    tables.land("accelerometer/a.json", [reading("A@x", at) for at in (5, 10, 10, 19, 20, 30)])
    tables.run()
    assert [row[0] for row in tables.rows("SELECT timeStamp FROM accelerometer_trusted ORDER BY 1")] == [
        T0 + at for at in kept
    ]
    assert tables.rows('SELECT DISTINCT "user" FROM accelerometer_trusted') == [("a@x",)]


def test_conflicting_readings_of_one_time_are_kept_and_counted(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10)])
    tables.land("accelerometer/a.json", [reading("a@x", 11, 1.0), reading("a@x", 11, 2.0), reading("a@x", 11, 2.0)])
    report = tables.run()
    assert report.tables["accelerometer_trusted"].rows == 2
    [found] = [r for r in report.rules if r.rule == "one_reading_a_moment"]
    assert (found.level, found.failed) == ("warn", 2)


OWNERS = "SELECT serialNumber, person, status FROM device_owner ORDER BY 1"


def test_a_sole_claimant_owns_the_device(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, serial="s1"), customer("b@x", 10, serial="s2")])
    tables.land("accelerometer/a.json", [reading("a@x", at) for at in range(100, 105)])
    tables.land("step_trainer/a.json", [distance("s1", at) for at in range(100, 105)])
    tables.run()
    assert tables.rows(OWNERS) == [("s1", "a@x", "confirmed"), ("s2", "b@x", "claimed")]


def test_a_serial_claimed_by_several_needs_evidence(tables: Tables) -> None:
    tables.land("customer/a.json", [customer(f"{n}@x", 10, serial=s) for s in ("s1", "s2") for n in "abc"])
    tables.land("accelerometer/a.json", [reading("b@x", at) for at in range(100, 110)] + [reading("c@x", 100)])
    tables.land(
        "step_trainer/a.json",
        [distance("s1", at) for at in range(100, 110)]
        + [distance("s3", at) for at in range(100, 110)]
        + [distance("s4", 5)]
        + [distance("s5", 100)],
    )
    tables.run()
    assert tables.rows(OWNERS) == [
        ("s1", "b@x", "inferred"),
        ("s2", None, "ambiguous"),
        ("s3", "b@x", "inferred"),
        ("s4", None, "unknown"),
        ("s5", None, "ambiguous"),
    ]


def test_evidence_overrules_a_sole_claim_even_for_a_person_without_consent(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="s1"), customer("b@x", 10, serial="s2")])
    tables.land("accelerometer/a.json", [reading(who, at) for who, at in [("b@x", t) for t in range(10)] + [("a@x", 50)]])
    tables.land("step_trainer/a.json", [distance("s1", at) for at in range(10)])
    tables.run()
    assert tables.rows(OWNERS)[0] == ("s1", "b@x", "inferred")
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(0,)]


def test_readings_pair_only_within_one_person_and_under_pseudonyms(tables: Tables) -> None:
    people = ("a@x", "b@x")
    tables.land("customer/a.json", [customer(p, 1, shares=1, serial=f"s{n}") for n, p in enumerate(people)])
    tables.land(
        "accelerometer/a.json", [reading(p, t, x=n) for n, p in enumerate(people) for t in range(10 * n, 10 * n + 15)]
    )
    tables.land("step_trainer/a.json", [distance(f"s{n}", t, n) for n in range(2) for t in range(10 * n, 10 * n + 15)])
    tables.run()
    rows = tables.rows("SELECT DISTINCT customer_pseudonym, x, distanceFromObject FROM machine_learning_curated ORDER BY x")
    assert [(x, d) for _, x, d in rows] == [(0.0, 0.0), (1.0, 1.0)]
    key = hashlib.sha256(KEY.encode()).digest()
    assert [p for p, _, _ in rows] == [hmac.new(key, f"customer:{p}".encode(), "sha256").hexdigest() for p in people]
    [(text,)] = tables.rows("SELECT string_agg(m::VARCHAR, '') FROM machine_learning_curated AS m")
    assert not any(secret in text for secret in ("@", "s0", "s1"))
