"""Which consents an unusable record puts on hold, and what ends a hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lake import customer
from tests.support.memory import InMemoryBackend, MemoryTables

HELD = "SELECT person, records FROM consent_hold ORDER BY person"
CONSENTING = "SELECT person FROM customer_trusted ORDER BY person"


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[MemoryTables]:
    with InMemoryBackend(scratch=tmp_path, threads=1) as engine:
        made = MemoryTables(engine)
        made.land("customer/1.json", [customer("ann@x", 10, shares=5), customer("bob@x", 10, shares=5)], arrived_at=1)
        made.run()
        yield made


def test_an_unusable_record_holds_the_consent_of_the_people_named_in_it(tables: MemoryTables) -> None:
    tables.quarantine("customer/2.json", ["ann@x"], arrived_at=2)
    report = tables.run()
    assert tables.rows(HELD) == [("ann@x", 1)]
    assert tables.rows(CONSENTING) == [("bob@x",)]
    assert report.on_hold == 1
    assert tables.found_wrong() == []


def test_an_unusable_record_may_name_several_people_or_nobody(tables: MemoryTables) -> None:
    tables.quarantine("customer/2.json", ["ann@x\nbob@x\ncat@x", "ann@x"], arrived_at=2)
    tables.run()
    assert tables.rows(HELD) == [("ann@x", 2), ("bob@x", 1), ("cat@x", 1)]
    assert tables.rows(CONSENTING) == []


@pytest.mark.parametrize(("arrived_at", "consenting"), [(1, []), (2, []), (3, [("ann@x",)])])
def test_only_a_usable_record_in_a_later_file_ends_a_hold(
    tables: MemoryTables, arrived_at: int, consenting: list[tuple[str]]
) -> None:
    tables.quarantine("customer/2.json", ["ann@x\nbob@x"], arrived_at=2)
    tables.run()
    # What it says of its own time plays no part: the record that can't be used may have said anything.
    tables.land("customer/3.json", [customer("ann@x", 4, shares=5)], arrived_at=arrived_at)
    tables.run()
    assert tables.rows(CONSENTING) == consenting
    assert tables.found_wrong() == []


def test_a_later_record_decides_again_even_against_consent(tables: MemoryTables) -> None:
    tables.quarantine("customer/2.json", ["ann@x"], arrived_at=2)
    tables.run()
    tables.land("customer/3.json", [customer("ann@x", 20)], arrived_at=3)
    tables.run()
    assert tables.rows(HELD) == []
    assert tables.rows(CONSENTING) == [("bob@x",)]


def test_a_repaired_file_ends_a_hold(tables: MemoryTables) -> None:
    tables.quarantine("customer/2.json", ["ann@x"], arrived_at=2)
    tables.run()
    tables.quarantine("customer/2.json", [], arrived_at=3)
    tables.run()
    assert tables.rows(HELD) == []
    assert tables.rows(CONSENTING) == [("ann@x",), ("bob@x",)]


def test_a_newer_unusable_record_holds_again(tables: MemoryTables) -> None:
    tables.quarantine("customer/2.json", ["ann@x"], arrived_at=2)
    tables.land("customer/3.json", [customer("ann@x", 20, shares=5)], arrived_at=3)
    tables.quarantine("customer/4.json", ["ann@x"], arrived_at=4)
    tables.run()
    assert tables.rows("SELECT source_file, records FROM consent_hold") == [("customer/4.json", 2)]
