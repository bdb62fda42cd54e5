"""What a change reaches is computed again, and nothing else: cases that are easy to get wrong, one by one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pytest

from stedi.compute.incremental import ComputedRows, InputChange, TemporaryRelations, affected_rows
from stedi.model.data_files import DataFiles
from stedi.model.incremental import KeyedInput
from stedi.model.table import Table
from stedi.pipeline import RunReport
from stedi.tables.reference.device_evidence import MAX_PEOPLE_PER_TIME
from stedi.tables.registry import REFRESHED
from tests.support.compare import narrowed
from tests.support.lake import T0, Record, customer, distance, reading
from tests.support.tables import NewTables, Tables

HOUR = 3_600_000
SCOPED = {table.name for table in REFRESHED if table.incremental is not None and not table.on_demand}


def both(person: str, serial: str, times: Iterable[int]) -> Mapping[str, Sequence[Record]]:
    """Readings of a person's phone and of a device at the same moments."""
    times = list(times)
    return {
        f"accelerometer/{person}-{serial}-{times[0]}.json": [reading(f"{person}@x", t) for t in times],
        f"step_trainer/{person}-{serial}-{times[0]}.json": [distance(serial, t) for t in times],
    }


def happens(tables: Tables, files: Mapping[str, Sequence[Record]], *, gone: Sequence[str] = ()) -> RunReport:
    """Files arrive, change and vanish; then comes a run, after which nothing is found wrong."""
    for name, records in files.items():
        tables.land(name, records)
    for name in gone:
        tables.remove(name)
    report = tables.run()
    assert not report.failed
    assert tables.found_wrong() == []
    return report


def also(person: str, times: Iterable[int]) -> Mapping[str, Sequence[Record]]:
    """A person's phone has readings of times at which a device was somebody else's."""
    return {f"accelerometer/{person}-too.json": [reading(f"{person}@x", t) for t in times]}


def two_people(tables: Tables) -> None:
    records: list[Record] = [customer(f"{p}@x", 10, shares=10, serial=f"s-{p}") for p in "ab"]
    happens(tables, {"customer/1.json": records, **both("a", "s-a", range(100, 110)), **both("b", "s-b", range(200, 210))})


def touch_one(tables: Tables) -> None:
    """Something new for one of two people in every feed."""
    tables.land("customer/2.json", [customer("a@x", 20, shares=10, serial="s-a")])
    for name, records in both("a", "s-a", [6 * HOUR]).items():
        tables.land(name, records)


def test_every_table_with_a_scope_computes_only_the_part_that_changes_reach(tables: Tables) -> None:
    two_people(tables)
    touch_one(tables)
    with narrowed() as computed:
        report = tables.run()
    assert set(computed) == SCOPED
    whole = {name: report.tables[name].rows for name in SCOPED}
    assert computed == {
        "consent_history": 1,
        "customer_trusted": 1,
        "accelerometer_trusted": 1,
        "device_evidence": 1,
        "device_owner": 1,
        "customers_curated": 1,
        "step_trainer_trusted": 1,
        "machine_learning_curated": 1,
    }
    assert min(whole.values()) >= 2
    assert tables.found_wrong() == []
    assert tables.is_like_new()


def test_a_query_sees_of_its_facts_only_the_columns_declared_and_needs_each(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_people(tables)
    touch_one(tables)
    declared, refused = set(), set()

    def with_fewer_columns(
        relations: TemporaryRelations, table: Table, files: DataFiles, changes: Sequence[InputChange]
    ) -> ComputedRows:
        assert table.incremental is not None
        inputs = table.incremental.inputs
        for name, fact in inputs.items():
            for column in fact.columns if isinstance(fact, KeyedInput) else ():
                others = tuple(c for c in fact.columns if c != column)
                if not others:
                    continue
                declared.add((table.name, name, column))
                without = replace(table.incremental, inputs={**inputs, name: replace(fact, columns=others)})
                with TemporaryRelations(relations.backend, table) as unused, pytest.raises(duckdb.BinderException):
                    affected_rows(unused, replace(table, incremental=without), files, changes)
                refused.add((table.name, name, column))
        return affected_rows(relations, table, files, changes)

    monkeypatch.setattr("stedi.pipeline.refresh.affected_rows", with_fewer_columns)
    tables.run()
    assert refused == declared
    assert {table for table, _, _ in declared} == SCOPED
    assert tables.found_wrong() == []


def test_a_change_of_a_field_that_a_table_does_not_read_leaves_its_rows(tables: Tables) -> None:
    """consent_history reads rows that customer_trusted had read before it, for a smaller scope."""
    happens(tables, {"customer/1.json": [customer("a@x", 10, shares=10), customer("b@x", 10, shares=10)]})
    report = happens(tables, {"customer/1.json": [customer("a@x", 10, shares=10, phone="7"), customer("b@x", 20)]})
    assert people_of(tables, "consent_history") == {"a@x": 1}
    moved = {
        name: (report.tables[name].added, report.tables[name].removed) for name in ("customer_trusted", "consent_history")
    }
    assert moved == {"customer_trusted": (1, 2), "consent_history": (0, 1)}
    assert tables.is_like_new()


def owners(tables: Tables) -> dict[str, tuple[str | None, str]]:
    return {
        serial: (person, status)
        for serial, person, status in tables.rows("SELECT serialNumber, person, status FROM device_owner")
    }


def people_of(tables: Tables, table: str, column: str = "person") -> dict[Any, int]:
    return dict(tables.rows(f"SELECT {column}, count(*) FROM {table} GROUP BY ALL"))


@pytest.mark.parametrize(("first", "later"), [("νικος@x", "ΝΙΚΟΣ@X"), ("straße@x", "STRASSE@X"), ("é@x", "É@X")])
def test_capitals_keep_nobody_from_withdrawing(tables: Tables, first: str, later: str) -> None:
    tables.land("customer/1.json", [customer(first, 10, shares=10)])
    tables.land("accelerometer/1.json", [reading(first, 100), reading(later, 110)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM accelerometer_trusted") == [(2,)]
    tables.land("customer/2.json", [customer(later, 20)])
    tables.run()
    assert tables.rows("SELECT count(*) FROM accelerometer_trusted") == [(0,)]
    assert tables.found_wrong() == []


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_a_device_moves_to_another_person_while_the_first_withdraws(new_tables: NewTables, policy: str) -> None:
    tables = new_tables(policy)
    # Two claimants: only evidence decides.
    claims: list[Record] = [customer(f"{p}@x", 10, shares=10, serial="s") for p in "ab"]
    happens(tables, {"customer/1.json": claims, **both("a", "s", range(100, 105))})
    assert owners(tables) == {"s": ("a@x", "inferred")}
    assert people_of(tables, "machine_learning_curated", "1") == {1: 5}
    report = happens(
        tables,
        {
            "customer/2.json": [customer("a@x", 20, serial="s")],
            **both("b", "s", range(300, 320)),
            **also("b", range(100, 105)),
        },
    )
    assert owners(tables) == {"s": ("b@x", "inferred")}
    # The device's earlier readings move with it; the withdrawn customer has none left.
    assert people_of(tables, "step_trainer_trusted") == {"b@x": 25}
    assert people_of(tables, "accelerometer_trusted") == {"b@x": 25}
    assert people_of(tables, "machine_learning_curated", "1") == {1: 25}
    # Of the earlier five, the reading is the same and the person is another.
    assert (report.tables["step_trainer_trusted"].added, report.tables["step_trainer_trusted"].removed) == (25, 5)
    assert tables.is_like_new()


def test_an_address_that_is_spelled_otherwise_moves_nobody_and_respells_the_readings(tables: Tables) -> None:
    two_people(tables)
    before = tables.contents()["machine_learning_curated"]
    with narrowed() as computed:
        report = happens(tables, {"customer/2.json": [customer(" A@X ", 20, shares=10, serial="s-a")]})
    assert people_of(tables, "accelerometer_trusted", '"user"') == {" A@X ": 10, "b@x": 10}
    assert people_of(tables, "accelerometer_trusted") == {"a@x": 10, "b@x": 10}
    assert computed["accelerometer_trusted"] == 10
    assert report.tables["step_trainer_trusted"].added == 0
    assert tables.contents()["machine_learning_curated"] == before
    # Readings under either spelling are the same person's.
    happens(tables, {"accelerometer/late.json": [reading("A@x", 104), reading("a@x", 104), reading("a@X", 500)]})
    assert people_of(tables, "accelerometer_trusted", '"user"') == {" A@X ": 11, "b@x": 10}
    assert tables.is_like_new()


@pytest.mark.parametrize("address", ["a@x\r\n", "\tA@X", " \N{NO-BREAK SPACE}a@x\n\N{EM SPACE}"])
def test_white_space_around_an_address_keeps_nobody_from_withdrawing(tables: Tables, address: str) -> None:
    two_people(tables)
    happens(tables, {"customer/2.json": [customer(address, 20, serial="s-a")]})
    for table in ("customer_trusted", "accelerometer_trusted", "customers_curated", "step_trainer_trusted"):
        assert set(people_of(tables, table)) == {"b@x"}
    assert owners(tables)["s-a"] == ("a@x", "confirmed")


@pytest.mark.parametrize(("policy", "kept"), [("customer", 10), ("reading", 4)])
def test_who_consents_late_gets_the_readings_that_came_before(new_tables: NewTables, policy: str, kept: int) -> None:
    tables = new_tables(policy)
    two_people(tables)
    happens(tables, {"customer/c.json": [customer("c@x", 10, serial="s-c")], **both("c", "s-c", range(300, 310))})
    assert "c@x" not in people_of(tables, "accelerometer_trusted")
    with narrowed() as computed:
        report = happens(tables, {"customer/2.json": [customer("c@x", 400, shares=306, serial="s-c")]})
    for table in ("accelerometer_trusted", "step_trainer_trusted"):
        assert people_of(tables, table) == {"a@x": 10, "b@x": 10, "c@x": kept}
        assert computed[table] == report.tables[table].added == kept
    assert computed["machine_learning_curated"] == kept
    assert report.outside_consent["accelerometer_trusted"] == kept - 4
    assert tables.is_like_new()


def test_a_late_record_that_splits_an_interval_takes_the_readings_in_the_gap(new_tables: NewTables) -> None:
    tables = new_tables("reading")
    two_people(tables)
    happens(tables, {"customer/2.json": [customer("a@x", 106, shares=106, serial="s-a")]})
    assert people_of(tables, "accelerometer_trusted")["a@x"] == 10
    # Not in force from 103 on, and given again as of 106.
    report = happens(tables, {"customer/3.json": [customer("a@x", 103, serial="s-a")]})
    assert people_of(tables, "consent_history") == {"a@x": 2, "b@x": 1}
    for table in ("accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"):
        assert (report.tables[table].added, report.tables[table].removed) == (0, 3)
    happens(tables, {"customer/3.json": []})
    assert people_of(tables, "accelerometer_trusted")["a@x"] == 10
    assert tables.is_like_new()


def test_a_reading_in_two_files_stays_until_both_have_lost_it(tables: Tables) -> None:
    two_people(tables)
    name = "accelerometer/a-s-a-100.json"
    again = [reading("a@x", 104), reading("a@x", 104)]
    report = happens(tables, {"accelerometer/again.json": again})
    assert report.tables["accelerometer_trusted"].added == 0
    # A file that vanishes leaves its rows; one that changes does not.
    happens(tables, {}, gone=["accelerometer/again.json"])
    report = happens(tables, {name: [reading("a@x", t) for t in range(100, 110) if t not in (104, 105)]})
    assert report.tables["accelerometer_trusted"].removed == 1
    again_or_gone = f"timeStamp IN ({T0 + 104}, {T0 + 105})"
    assert tables.rows(f"SELECT timeStamp FROM accelerometer_trusted WHERE {again_or_gone}") == [(T0 + 104,)]
    assert report.tables["machine_learning_curated"].removed == 1
    report = happens(tables, {"accelerometer/again.json": [reading("a@x", 999)]})
    assert (report.tables["accelerometer_trusted"].added, report.tables["accelerometer_trusted"].removed) == (1, 1)
    assert report.tables["machine_learning_curated"].removed == 1


@pytest.mark.parametrize("ahead", ["accelerometer_trusted", "step_trainer_trusted", "customers_curated"])
def test_a_table_that_an_earlier_run_moved_on_alone_is_read_from_where_its_reader_stopped(
    tables: Tables, ahead: str
) -> None:
    two_people(tables)
    more: dict[str, tuple[str, Callable[[int], Record]]] = {
        "accelerometer_trusted": ("accelerometer", lambda at: reading("a@x", at, x=9.0)),
        "step_trainer_trusted": ("step_trainer", lambda at: distance("s-a", at, 9.0)),
        # Whoever withdrew in the first of two runs has to go in the second as well.
        "customers_curated": ("customer", lambda at: customer("a@x" if at == 104 else "b@x", at)),
    }
    feed, record = more[ahead]
    tables.land(f"{feed}/2.json", [record(104)])
    tables.run(select=[ahead])
    with narrowed() as computed:
        report = happens(tables, {f"{feed}/3.json": [record(105)]})
    assert "machine_learning_curated" in computed
    moved = report.tables["machine_learning_curated"]
    assert (moved.added, moved.removed) == ((0, 20) if feed == "customer" else (2, 0))
    assert tables.is_like_new()


def test_a_customer_whose_last_reading_goes_loses_the_device_rows_as_well(tables: Tables) -> None:
    two_people(tables)
    name = "accelerometer/a-s-a-100.json"
    happens(tables, {name: []})
    assert people_of(tables, "customer_trusted") == {"a@x": 1, "b@x": 1}
    for table in ("customers_curated", "step_trainer_trusted"):
        assert set(people_of(tables, table)) == {"b@x"}
    happens(tables, {name: [reading("a@x", 100)]})
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 10, "b@x": 10}
    assert people_of(tables, "machine_learning_curated", "timeStamp")[T0 + 100] == 1
    assert tables.is_like_new()


def test_a_time_becomes_crowded_and_clears_again(tables: Tables) -> None:
    """Four times speak for the first person and one for the second; without the fourth the lead is too small."""
    crowd = [reading(f"p{number}@x", 4) for number in range(MAX_PEOPLE_PER_TIME)]
    devices = [distance("s", t) for t in (1, 2, 3, 4)] + [distance("t", 4 * HOUR)]
    phones = [reading("a@x", t) for t in (1, 2, 3, 4)] + [reading("b@x", 1)]
    claims: list[Record] = [customer(f"{p}@x", 10, shares=10, serial="s") for p in "ab"]
    happens(
        tables,
        {
            "customer/1.json": claims,
            "step_trainer/1.json": devices,
            "accelerometer/1.json": phones,
            "accelerometer/crowd.json": crowd[:-1],
        },
    )
    assert owners(tables) == {"s": ("a@x", "inferred"), "t": (None, "unknown")}
    # One more, of somebody who has nothing to do with the device.
    with narrowed() as computed:
        happens(tables, {"accelerometer/more.json": crowd[-1:]})
    assert computed["device_owner"] == 1
    assert owners(tables)["s"] == (None, "ambiguous")
    assert people_of(tables, "step_trainer_trusted") == {}
    with narrowed() as computed:
        happens(tables, {"accelerometer/more.json": [reading(f"p{MAX_PEOPLE_PER_TIME - 1}@x", 5)]})
    assert computed["device_owner"] == 1
    assert owners(tables)["s"] == ("a@x", "inferred")
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 4}
    assert tables.is_like_new()


def test_records_that_name_no_person_or_no_device_reach_what_they_should(tables: Tables) -> None:
    two_people(tables)
    # Evidence would overrule claims, so this device has none.
    happens(
        tables, {"customer/2.json": [customer("a@x", 11, shares=10, serial="q")], "step_trainer/q.json": [distance("q", 7)]}
    )
    assert owners(tables)["q"] == ("a@x", "claimed")
    nobody = [customer(None, 12, shares=10, serial="q"), customer("  ", 13, shares=10, serial="q")]
    happens(tables, {"customer/3.json": nobody})
    assert owners(tables)["q"] == (None, "ambiguous")
    assert people_of(tables, "customer_trusted") == {"a@x": 1, "b@x": 1}
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 10, "b@x": 10}
    without_device = customer("b@x", 14, shares=10)
    del without_device["serialNumber"]
    with narrowed() as computed:
        happens(tables, {"customer/4.json": [without_device]})
    # It reaches a person and no device.
    assert (computed["customer_trusted"], computed["device_owner"]) == (1, 0)
    assert tables.rows("SELECT serialNumber FROM customer_trusted WHERE person = 'b@x'") == [(None,)]
    happens(tables, {"customer/3.json": []})
    assert owners(tables)["q"] == ("a@x", "claimed")
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 11, "b@x": 10}
    assert tables.is_like_new()


def test_one_of_two_devices_moves_away(tables: Tables) -> None:
    two_people(tables)
    happens(tables, both("a", "s-2", range(400, 405)))
    devices = "SELECT person, device_serial_number, device_count FROM customers_curated ORDER BY person"
    assert tables.rows(devices) == [("a@x", "s-a", 2), ("b@x", "s-b", 1)]
    happens(tables, {**both("b", "s-a", range(500, 530)), **also("b", range(100, 110)), "accelerometer/a-s-a-100.json": []})
    assert tables.rows(devices) == [("a@x", "s-2", 1), ("b@x", "s-a", 2)]
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 5, "b@x": 50}
    assert tables.rows("SELECT count(*) FROM machine_learning_curated") == [(5 + 10 + 40,)]
    assert tables.is_like_new()


def test_people_who_swap_devices_in_one_run_swap_their_rows(tables: Tables) -> None:
    two_people(tables)
    before = people_of(tables, "machine_learning_curated", "device_pseudonym")
    swapped = {**both("b", "s-a", range(500, 530)), **both("a", "s-b", range(600, 630))}
    corrected = dict.fromkeys(("accelerometer/a-s-a-100.json", "accelerometer/b-s-b-200.json"), ())
    happens(tables, {**swapped, **corrected, **also("b", range(100, 110)), **also("a", range(200, 210))})
    assert owners(tables) == {"s-a": ("b@x", "inferred"), "s-b": ("a@x", "inferred")}
    assert people_of(tables, "step_trainer_trusted") == {"a@x": 40, "b@x": 40}
    assert people_of(tables, "machine_learning_curated", "device_pseudonym") == dict.fromkeys(before, 40)
    assert tables.is_like_new()


def test_another_pseudonym_key_renames_everybody_and_moves_nothing_else(tables: Tables) -> None:
    two_people(tables)
    before = tables.contents()
    names = people_of(tables, "machine_learning_curated", "customer_pseudonym")
    tables.use_key("another key for tests")
    report = happens(tables, {})
    refreshed = {name for name, table in report.tables.items() if table.status == "refreshed"}
    assert refreshed == {"customers_curated", "step_trainer_trusted", "machine_learning_curated"}
    assert report.tables["machine_learning_curated"].reason.startswith(
        "the consent policy, owners.confidence, match.tolerance_ms or the pseudonym key changed"
    )
    renamed = people_of(tables, "machine_learning_curated", "customer_pseudonym")
    assert sorted(renamed.values()) == sorted(names.values())
    assert not set(renamed) & set(names)
    after = tables.contents()
    assert {name for name in before if after[name] != before[name]} == {"customers_curated", "machine_learning_curated"}
    # And on from there, a part at a time.
    touch_one(tables)
    with narrowed() as computed:
        tables.run()
    assert computed["machine_learning_curated"] == 1
    assert tables.found_wrong() == []


def test_a_phone_that_was_active_in_the_same_hours_changes_the_evidence(tables: Tables) -> None:
    """At an offset no reading of either phone is at a time of the device."""
    times = [hour * HOUR + t for hour in (1, 3, 7) for t in (0, 3_100, 7_450, 9_020, 16_300, 21_090, 30_400, 41_700, 57_310)]
    happens(
        tables,
        {
            "accelerometer/a.json": [reading("a@x", t) for t in times],
            "step_trainer/s.json": [distance("s", t + 700) for t in times],
            "step_trainer/t.json": [distance("t", t + 9 * HOUR) for t in times],
        },
    )
    assert owners(tables) == {"s": ("a@x", "inferred"), "t": (None, "unknown")}
    with narrowed() as computed:
        happens(tables, {"accelerometer/b.json": [reading("b@x", t + 1_400) for t in times]})
    assert (owners(tables)["s"], computed["device_owner"]) == ((None, "ambiguous"), 1)
    happens(tables, {"accelerometer/b.json": [reading("b@x", t + 20 * 60_000) for t in times]})
    assert owners(tables)["s"] == ("a@x", "inferred")
    assert tables.is_like_new()


def test_a_late_file_of_a_phone_tells_the_offset_of_an_hour(tables: Tables) -> None:
    """A device's clock is 700 ms ahead, give or take 5 ms; readings pair once the phone's readings of the hour are there."""
    jitter = (-5, 4, 0, 3, -2, 5, -4, 1, 2)
    minute = (0, 3_100, 7_450, 9_020, 16_300, 21_090, 30_400, 41_700, 57_310)
    device = [hour * HOUR + t + 700 + late for hour in (1, 3) for t, late in zip(minute, jitter, strict=True)]
    paired = f"SELECT sensorReadingTime - {T0}, timeStamp - {T0} FROM machine_learning_curated ORDER BY 1"
    happens(
        tables,
        {
            "customer/1.json": [customer("a@x", 10, shares=10, serial="s")],
            "step_trainer/1.json": [distance("s", t) for t in device],
            "accelerometer/1.json": [reading("a@x", HOUR + t) for t in minute],
        },
    )
    expected = list(zip(device, [HOUR + t for t in minute], strict=False))
    assert tables.rows(paired) == expected
    with narrowed() as computed:
        happens(tables, {"accelerometer/3.json": [reading("a@x", 3 * HOUR + t) for t in minute]})
    assert computed["machine_learning_curated"] == len(minute)
    assert tables.rows(paired) == expected + list(zip(device[9:], [3 * HOUR + t for t in minute], strict=True))
    # Another phone clock, 40 ms ahead of the one before: the offset of that hour is another.
    happens(tables, {"accelerometer/3.json": [reading("a@x", 3 * HOUR + t + 40) for t in minute]})
    assert tables.rows(paired) == expected + list(zip(device[9:], [3 * HOUR + t + 40 for t in minute], strict=True))
    assert tables.is_like_new()
