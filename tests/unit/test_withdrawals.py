"""Who withdrew or is on hold, and since when, on literal records and on drawn ones."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.tables.consent import PURPOSES, RESEARCH, withdrawals
from stedi.tables.landing import quarantine
from stedi.tables.reference import consent_hold
from stedi.tables.registry import BY_NAME

Record = Mapping[str, Any]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[DuckDBBackend]:
    with DuckDBBackend(scratch=tmp_path, threads=1) as started:
        yield started


def record(
    arrived: int, changed: int, shares: int | None = None, person: str | None = "a@x", field: str = RESEARCH
) -> Record:
    """A customer record. `arrived` is in ms since the epoch, as the result has it."""
    return {"person": person, "arrived_at": arrived * 1000, "lastUpdateDate": changed, field: shares}


def land(backend: DuckDBBackend, records: Sequence[Record], unusable: Sequence[Record] = ()) -> None:
    for name, table, rows in (
        ("customer_landing", BY_NAME["customer_landing"], records),
        ("rejects", quarantine.TABLE, unusable),
    ):
        backend.materialize_values(name, [(c.name, c.type, [row.get(c.name) for row in rows]) for c in table.columns])


def received(backend: DuckDBBackend, query: str) -> dict[str, int]:
    return {row["person"]: row["received_ms"] for row in backend.select(query)}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([record(1, 10)], None),
        ([record(1, 10, 10)], None),
        ([record(1, 10, 10), record(2, 20)], 2),
        ([record(1, 10, 10), record(9, 20), record(7, 30)], 7),
        ([record(5, 10, 10), record(2, 20)], 2),
        ([record(1, 10, 10), record(2, 20), record(3, 30, 30)], None),
        ([record(1, 10, 10), record(2, 20), record(3, 30, 30), record(8, 40)], 8),
        # Records of one time that disagree: never consent, then a withdrawal by contradiction.
        ([record(1, 10, 10), record(4, 10)], 4),
        ([record(1, 10, 10), record(3, 20, 10), record(4, 20)], 4),
        ([record(1, 10, 10, None), record(2, 20, None, None)], None),
    ],
)
def test_a_withdrawal_is_received_with_the_first_record_that_says_so(
    backend: DuckDBBackend, records: Sequence[Record], expected: int | None
) -> None:
    for order in (records, records[::-1], [*records, *records]):
        land(backend, order)
        assert received(backend, withdrawals()) == ({} if expected is None else {"a@x": expected})


def test_each_purpose_has_its_own_withdrawals(backend: DuckDBBackend) -> None:
    land(backend, [record(1, 10, 10, field=PURPOSES["public"]), record(2, 20)])
    assert received(backend, withdrawals()) == {}
    assert received(backend, withdrawals(PURPOSES["public"])) == {"a@x": 2}


def by_hand(records: Sequence[Record]) -> int | None:
    """When one person's withdrawal was received, by walking back through the times of the records."""
    if all(record[RESEARCH] is None for record in records):
        return None
    arrivals: list[int] = []
    for time in sorted({record["lastUpdateDate"] for record in records}, reverse=True):
        silent = [r["arrived_at"] // 1000 for r in records if r["lastUpdateDate"] == time and r[RESEARCH] is None]
        if not silent:
            break
        arrivals += silent
    return min(arrivals, default=None)


_RECORDS = st.lists(
    st.builds(
        record, st.integers(1, 9), st.integers(10, 14), st.none() | st.integers(10, 14), st.sampled_from(["a@x", "b@x"])
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(records=_RECORDS)
def test_withdrawals_equal_those_found_by_hand(backend: DuckDBBackend, records: list[Record]) -> None:
    land(backend, records)
    people = {record["person"]: [one for one in records if one["person"] == record["person"]] for record in records}
    expected = {person: time for person, theirs in people.items() if (time := by_hand(theirs)) is not None}
    assert received(backend, withdrawals()) == expected


def unusable(arrived: int, *people: str) -> Record:
    return {"people": "\n".join(people) or None, "arrived_at": arrived * 1000}


@pytest.mark.parametrize(
    ("records", "rejects", "expected"),
    [
        ([record(1, 10, 10)], [unusable(5, "a@x"), unusable(7, "a@x", "b@x"), unusable(3)], {"a@x": 5, "b@x": 7}),
        ([record(6, 10, 10)], [unusable(5, "a@x"), unusable(7, "a@x")], {"a@x": 7}),
        ([record(6, 10, 10)], [unusable(5, "a@x"), unusable(6, "a@x")], {"a@x": 6}),
        ([record(6, 10, 10)], [unusable(5, "a@x")], {}),
    ],
)
def test_a_hold_is_received_with_the_first_unusable_record_since_the_newest_usable_one(
    backend: DuckDBBackend, records: Sequence[Record], rejects: Sequence[Record], expected: Mapping[str, int]
) -> None:
    land(backend, records, rejects)
    assert received(backend, consent_hold.HELD_FROM) == expected
    people = backend.select(f"SELECT person FROM ({consent_hold.TABLE.query}) AS held")
    assert {row["person"] for row in people} == set(expected)
