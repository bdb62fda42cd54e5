"""Whose a device is: what crowds share is no evidence, and owners may change from one run to the next."""

from stedi.trusted.owner_evidence import CROWD
from tests.support.lake import customer, distance, reading
from tests.support.tables import Tables

OWNER = "SELECT person, status, coincidences, runner_up_coincidences FROM device_owner WHERE serialNumber = '{}'"


def test_times_that_a_crowd_shares_are_no_evidence(tables: Tables) -> None:
    people = [f"p{n:03}@x" for n in range(CROWD + 20)]
    seconds = range(1000, 21_000, 1000)
    tables.land("customer/a.json", [customer(p, 10, shares=10, serial=f"device-{p}") for p in people])
    tables.land("accelerometer/a.json", [reading(p, t) for p in people for t in seconds])
    tables.land("step_trainer/a.json", [distance(f"device-{p}", t) for p in (*people, "nobody") for t in seconds])
    tables.run()
    assert tables.rows(
        "SELECT status, count(*), max(coincidences), max(reading_times) FROM device_owner GROUP BY 1 ORDER BY 1"
    ) == [
        ("claimed", len(people), 0, 20),
        ("unknown", 1, 0, 20),
    ]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(20 * len(people),)]
    assert tables.rows("SELECT count(*) FROM machine_learning_curated") == [(20 * len(people),)]


def test_as_many_people_as_a_crowd_allows_are_evidence_and_one_more_is_not(tables: Tables) -> None:
    tables.land("accelerometer/a.json", [reading(f"p{n}@x", t) for t in (1, 2) for n in range(CROWD + t - 1)])
    tables.land("accelerometer/b.json", [reading("P0@X ", 2)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in (1, 2)])
    tables.run(select=["device_owner"])
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 1, 1)]


def test_a_time_that_a_later_file_makes_crowded_is_evidence_no_more(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="other")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(10)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(10)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("a@x", "inferred", 10, 0)]
    tables.land("accelerometer/b.json", [reading(f"p{n}@x", t) for n in range(CROWD) for t in range(8)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 2, 0)]
    assert tables.rows("SELECT count(*) FROM machine_learning_curated") == [(0,)]
    assert tables.is_like_new()


def test_a_crowd_that_a_corrected_file_takes_away_gives_the_evidence_back(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="other")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(10)])
    tables.land("accelerometer/b.json", [reading(f"p{n}@x", t) for n in range(CROWD) for t in range(10)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(10)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "unknown", 0, 0)]
    tables.land("accelerometer/b.json", [])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("a@x", "inferred", 10, 0)]
    assert tables.is_like_new()


def test_the_readings_of_a_device_follow_it_to_its_new_owner(tables: Tables) -> None:
    tables.land("customer/a.json", [customer(p, 10, shares=10, serial="of-many") for p in ("a@x", "b@x")])
    tables.land("accelerometer/a.json", [reading("a@x", t) for t in range(100, 105)] + [reading("b@x", 300)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(100, 130)])
    tables.run()
    steps = "SELECT person, count(*) FROM step_trainer_trusted GROUP BY 1"
    paired = (
        "SELECT c.person, count(*) FROM machine_learning_curated AS m JOIN customers_curated AS c "
        "ON c.customer_pseudonym = m.customer_pseudonym GROUP BY 1"
    )
    devices = "SELECT person, device_serial_number FROM customers_curated ORDER BY 1"
    assert (tables.rows(steps), tables.rows(paired)) == ([("a@x", 30)], [("a@x", 5)])
    assert tables.rows(devices) == [("a@x", "s"), ("b@x", None)]
    tables.land("accelerometer/b.json", [reading("b@x", t) for t in range(100, 130)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("b@x", "inferred", 30, 5)]
    assert (tables.rows(steps), tables.rows(paired)) == ([("b@x", 30)], [("b@x", 30)])
    assert tables.rows(devices) == [("a@x", None), ("b@x", "s")]
    assert tables.is_like_new()


def test_a_device_that_passes_to_somebody_who_does_not_consent_leaves(tables: Tables) -> None:
    tables.land("customer/a.json", [customer("a@x", 10, shares=10, serial="s")])
    tables.land("accelerometer/a.json", [reading("a@x", 500)])
    tables.land("step_trainer/a.json", [distance("s", t) for t in range(100, 110)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(10,)]
    tables.land("customer/b.json", [customer("b@x", 10, serial="s")])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [(None, "ambiguous", 0, 0)]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(0,)]
    tables.land("accelerometer/b.json", [reading("b@x", t) for t in range(100, 110)])
    tables.run()
    assert tables.rows(OWNER.format("s")) == [("b@x", "inferred", 10, 0)]
    assert tables.rows("SELECT count(*) FROM step_trainer_trusted") == [(0,)]
    assert tables.is_like_new()
