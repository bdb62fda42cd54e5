"""Whose old records may go: on literal rows, and the law that nobody who consents loses a row."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.privacy.retention.people import DEVICES, PEOPLE, Counts, find_in
from stedi.tables.consent import RESEARCH
from stedi.tables.landing import quarantine
from stedi.tables.registry import BY_NAME

CUTOFF = 100
A, B = "a@x", "b@x"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBBackend]:
    with DuckDBBackend(scratch=Path(tmp_path_factory.mktemp("scratch")), threads=1) as started:
        yield started


def record(
    person: str | None, changed: int, shares: int | None = None, *, arrived: int | None = None, device: str | None = None
) -> Row:
    """A customer record; it arrives when it is made unless `arrived` says otherwise. Times are in ms since the epoch."""
    arrived_at = (changed if arrived is None else arrived) * 1000
    return {
        "person": person,
        "lastUpdateDate": changed,
        RESEARCH: shares,
        "arrived_at": arrived_at,
        "device": device,
    }


def reading(person: str, at: int, *, arrived: int | None = None) -> Row:
    return {"person": person, "timeStamp": at, "arrived_at": (at if arrived is None else arrived) * 1000}


def unusable(people: str, arrived: int) -> Row:
    return {"people": people, "arrived_at": arrived * 1000, "source_file": "f", "source_position": 1, "reason": "r"}


def period(
    serial: str, person: str | None, first: int, last: int, from_ms: int | None = None, to_ms: int | None = None
) -> Row:
    times = {"first_reading_ms": first, "last_reading_ms": last, "from_ms": from_ms, "to_ms": to_ms}
    return {"serialNumber": serial, "person": person, "reading_times": 1, **times}


def find(
    backend: DuckDBBackend,
    records: Sequence[Row] = (),
    readings: Sequence[Row] = (),
    rejects: Sequence[Row] = (),
    owners: Sequence[Row] = (),
    candidates: Sequence[tuple[str, str]] = (),
) -> tuple[dict[str, tuple[str, int]], set[tuple[str, int, int]], Counts]:
    """Return kind and time of each person with records that may go, the periods of devices, and the counts."""
    evidence = [{"serialNumber": serial, "person": person} for serial, person in candidates]
    for name, table, rows in (
        ("customer_landing", BY_NAME["customer_landing"], records),
        ("accelerometer_landing", BY_NAME["accelerometer_landing"], readings),
        ("rejects", quarantine.TABLE, rejects),
        ("device_owner", BY_NAME["device_owner"], owners),
        ("device_evidence", BY_NAME["device_evidence"], evidence),
    ):
        backend.materialize_values(name, [(c.name, c.type, [row.get(c.name) for row in rows]) for c in table.columns])
    counts = find_in(backend, {}, CUTOFF)
    people = backend.select(f"SELECT person, kind, until_ms FROM {PEOPLE} WHERE has_records")
    devices = backend.select(f"SELECT * FROM {DEVICES}")
    return (
        {row["person"]: (row["kind"], row["until_ms"]) for row in people},
        {(row["device"], max(row["from_ms"], 0), row["to_ms"]) for row in devices},
        counts,
    )


@pytest.mark.parametrize(
    ("records", "rejects", "expected"),
    [
        ([record(A, 10)], [], 100),
        ([record(A, 10, 10)], [], None),
        ([record(A, 10, 10), record(A, 20)], [], 100),
        ([record(A, 10, 10), record(A, 20), record(A, 30, 30)], [], None),
        # Withdrawn or received after the cut-off.
        ([record(A, 10, 10), record(A, 110)], [], None),
        ([record(A, 10, 10), record(A, 20, arrived=110)], [], None),
        # The first record without consent counts, not a repetition.
        ([record(A, 10), record(A, 10, arrived=110)], [], 100),
        ([record(A, 10, 10), record(A, 90, 90), record(A, 10, arrived=5)], [], None),
        # Consent on hold. The unreadable record may be a new consent; after the retention it counts as none.
        ([record(A, 10)], [unusable(A, 20)], 100),
        ([record(A, 10)], [unusable(f"{B}\n{A}", 100)], None),
        ([record(A, 10, 10)], [unusable(A, 20)], None),
        ([], [unusable(A, 20)], 100),
        ([], [unusable(A, 100)], None),
        # A hold that a later record ended.
        ([record(A, 10), record(A, 130)], [unusable(A, 110)], 100),
    ],
)
def test_whose_records_go(backend: DuckDBBackend, records: list[Row], rejects: list[Row], expected: int | None) -> None:
    people, _, counts = find(backend, records, rejects=rejects)
    assert people.get(A, (None, None))[1] == expected
    is_consenting = bool(records) and records[-1][RESEARCH] is not None
    assert counts.kept_on_hold == (is_consenting and bool(rejects))


def test_readings_without_a_customer_record_count_by_arrival(backend: DuckDBBackend) -> None:
    readings = [
        reading(A, 10),
        reading(A, 20),
        reading(A, 120),
        reading(B, 10),
        reading(B, 30, arrived=105),
        reading("c", 101),
    ]
    people, _, _ = find(backend, readings=readings)
    assert people == {A: ("person", 100), B: ("person", 29)}
    people, _, _ = find(backend, [record(A, 5, 5)], readings, [unusable(B, 100)])
    assert people == {}


@pytest.mark.parametrize(
    ("records", "owner", "candidates", "kind", "devices"),
    [
        # The device of somebody past the retention: up to the cut-off, in their period.
        ([record(A, 1, device="s")], period("s", A, 5, 50), [], "person", {("s", 0, 101)}),
        ([record(A, 1, device="s")], period("s", A, 5, 50, 3, 60), [], "person", {("s", 3, 60)}),
        # Newer readings stay. Somebody else who claims the device would get them without a claim of A.
        ([record(A, 1, device="s")], period("s", A, 5, 150), [], "person", {("s", 0, 101)}),
        ([record(A, 1, device="s"), record(B, 1, 1, device="s")], period("s", A, 5, 150), [], None, {("s", 0, 101)}),
        ([record(A, 1), record(B, 1, 1, device="s")], period("s", A, 5, 150), [("s", A)], None, set()),
        # No clear owner: the readings go if nobody else may be the owner.
        ([record(A, 1, device="s")], period("s", None, 5, 50), [], "person", {("s", 0, 101)}),
        ([record(A, 1), record(B, 1, 1, device="s")], period("s", None, 5, 50), [("s", A)], None, set()),
        ([record(A, 1, device="s"), record(None, 1, device="s")], period("s", None, 5, 50), [], None, set()),
        # Of somebody else, or nobody's.
        ([record(A, 1, device="s"), record(B, 1, 1)], period("s", B, 5, 50), [("s", A)], "person", set()),
        ([record(A, 1)], period("s", None, 5, 50), [], "person", set()),
    ],
)
def test_devices(
    backend: DuckDBBackend,
    records: list[Row],
    owner: Row,
    candidates: list[tuple[str, str]],
    kind: str | None,
    devices: set[tuple[str, int, int]],
) -> None:
    people, periods, counts = find(backend, records, owners=[owner], candidates=candidates)
    assert people.get(A, (None, None))[0] == kind
    assert periods == devices
    assert counts.kept_owners == (kind is None)


def test_readings_of_a_phone_go_although_the_claim_stays(backend: DuckDBBackend) -> None:
    records = [record(A, 1, device="s"), record(B, 1, 1, device="s")]
    people, _, _ = find(backend, records, [reading(A, 5)], owners=[period("s", A, 5, 150)])
    assert people == {A: ("phone", 100)}


TIMES = st.integers(1, 200)
PERSONS = st.sampled_from([A, B, "c@x"])
SERIALS = st.sampled_from(["s", "t"])
SHARES = st.one_of(st.none(), st.just(1))
ROWS = st.builds(lambda p, t, s, a, d: record(p, t, s, arrived=a, device=d), PERSONS, TIMES, SHARES, TIMES, SERIALS)
OWNERS = st.builds(
    lambda s, p, t, n: period(s, p, t, t + n), SERIALS, st.one_of(st.none(), PERSONS), TIMES, st.integers(0, 100)
)


# 0.1 s an example.
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ROWS, max_size=5),
    st.lists(st.builds(reading, PERSONS, TIMES), max_size=3),
    st.lists(st.builds(unusable, PERSONS, TIMES), max_size=2),
    st.lists(OWNERS, max_size=2, unique_by=lambda row: str(row["serialNumber"])),
    st.lists(st.tuples(SERIALS, PERSONS), max_size=2),
)
def test_nobody_who_consents_loses_a_row(
    backend: DuckDBBackend,
    records: list[Row],
    readings: list[Row],
    rejects: list[Row],
    owners: list[Row],
    candidates: list[tuple[str, str]],
) -> None:
    people, devices, _ = find(backend, records, readings, rejects, owners, candidates)
    newest = {who: max(r["lastUpdateDate"] for r in records if r["person"] == who) for who in {r["person"] for r in records}}
    consenting = {
        who
        for who, changed in newest.items()
        if all(r[RESEARCH] for r in records if (r["person"], r["lastUpdateDate"]) == (who, changed))
    }
    assert not consenting & people.keys()
    maybe_owners = {(r["device"], r["person"]) for r in records} | set(candidates)
    for owner in owners:
        serial = owner["serialNumber"]
        if any(serial == device for device, _, _ in devices):
            assert owner["person"] not in consenting
            if owner["person"] is None:
                assert not {(serial, who) for who in consenting} & maybe_owners
