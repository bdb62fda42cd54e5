"""Counts of devices by status, the evidence for one device, and its picture, on tables written by hand."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi.compute.duckdb.query import QuerySession
from stedi.model.data_files import DataFiles
from stedi.model.identity import padded_keys
from stedi.model.table import Table
from stedi.query.device_picture import picture
from stedi.query.device_text import HOUR_MS
from stedi.query.devices import Candidate, Explanation, Period, Slot, StatusCounts, explain, summarise
from stedi.storage import open_warehouse
from stedi.tables.registry import BY_NAME

KEY = b"a key for tests"
KEYS = padded_keys(KEY)
SVG = "{http://www.w3.org/2000/svg}"
ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", "UTC"),
}

Rows = Iterable[Mapping[str, Any]]
Sessions = Callable[..., QuerySession]


@pytest.fixture
def tables_of(tmp_path: Path) -> Sessions:
    """Sessions over hand-written rows of device_owner, device_evidence and customer_landing."""

    def make(owners: Rows = (), evidence: Rows = (), claims: Rows = ()) -> QuerySession:
        session = QuerySession(open_warehouse(str(tmp_path), "stedi"), threads=1)
        for name, rows in (("device_owner", owners), ("device_evidence", evidence), ("customer_landing", claims)):
            session.add_table(BY_NAME[name], _written(BY_NAME[name], rows, tmp_path))
        return session

    return make


def _written(table: Table, rows: Rows, folder: Path) -> DataFiles:
    schema = pa.schema([(column.name, ARROW[column.type]) for column in table.columns])
    path = folder / f"{table.name}.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return DataFiles((str(path),))


def owner(
    serial: str, status: str, person: str | None = None, confidence: float | None = None, **more: Any
) -> dict[str, Any]:
    """A row of device_owner: 5 of 10 reading times coincide."""
    numbers = {"period": 1, "claimants": 0, "reading_times": 10, "compared_times": 10, "coincidences": 5}
    row = {"serialNumber": serial, "status": status, "person": person, "confidence": confidence, **numbers}
    return row | {"runner_up_coincidences": 0} | more


def hour(number: int, place: int, person: str | None, coincidences: int, **more: Any) -> dict[str, Any]:
    """A row of evidence for device `d`: 10 reading times in an hour, all of them compared."""
    numbers = {"reading_times": 10, "compared_times": 10, "offset_ms": 0.0, "offset_uncertainty_ms": 2.0}
    row = {"serialNumber": "d", "hour_ms": number * HOUR_MS, "place": place, "person": person, **numbers}
    return row | {"coincidences": coincidences} | more


def pseudonym(person: str) -> str:
    """Return the shortened pseudonym of a customer."""
    return hmac.new(KEY, f"customer:{person}".encode(), hashlib.sha256).hexdigest()[:12]


def test_every_status_is_counted(tables_of: Sessions) -> None:
    owners = [
        owner("a", "confirmed", "p@x", 0.9999, offset_ms=7.0, offset_uncertainty_ms=3.0),
        owner("b", "confirmed", "q@x", 0.9995, offset_ms=-2.0, offset_uncertainty_ms=3.0),
        owner("b", "confirmed", "q@x", 1.0, period=2, reading_times=4),
        owner("c", "inferred", "p@x", 1.0, offset_ms=-4.0, offset_uncertainty_ms=3.0),
        owner("c", "ambiguous", None, 0.5, period=2),
        owner("c", "confirmed", "q@x", 1.0, period=3),
        owner("d", "unknown"),
    ]
    assert summarise(tables_of(owners), 0.999).statuses == (
        StatusCounts("confirmed", 3, 4, 34, 0.9995, 0.99995, 1, 1),
        StatusCounts("claimed", 0, 0, 0, None, None, 0, 0),
        StatusCounts("inferred", 1, 1, 10, 1.0, 1.0, 1, 1),
        StatusCounts("ambiguous", 1, 1, 10, 0.5, 0.5, 0, 1),
        StatusCounts("unknown", 1, 1, 10, None, None, 0, 0),
        StatusCounts("all", 4, 7, 64, 0.5, 0.99995, 2, 1),
    )


def test_without_devices_all_counts_are_zero(tables_of: Sessions) -> None:
    summary = summarise(tables_of(), 0.999)
    assert {(row.devices, row.periods, row.readings) for row in summary.statuses} == {(0, 0, 0)}
    assert summary.sole_claims.share is None


def test_sole_claims_are_judged_by_periods_that_reading_times_decide(tables_of: Sessions) -> None:
    one = {"claimants": 1}
    owners = [
        owner("agrees", "confirmed", "p@x", 0.999, **one),
        owner("agrees", "inferred", "q@x", 1.0, period=2, **one),
        owner("speaks-against", "claimed", "p@x", 0.9995, **one),
        owner("agrees-too", "confirmed", "r@x", 1.0, **one),
        owner("not-sure", "claimed", "p@x", 0.99, **one),
        owner("no-evidence", "claimed", "p@x", None, **one),
        owner("of-two", "inferred", "p@x", 1.0, claimants=2),
        owner("claimed-by-nobody-known", "inferred", "p@x", 1.0, **one),
    ]
    serials = {row["serialNumber"] for row in owners} - {"claimed-by-nobody-known"}
    claims = [{"device": serial, "person": "p@x"} for serial in serials] + [{"device": "claimed-by-nobody-known"}]
    result = summarise(tables_of(owners, claims=claims), 0.999).sole_claims
    assert (result.devices, result.periods, result.agree, result.share) == (3, 4, 2, 0.5)


def test_a_device_is_explained_by_its_periods_candidates_and_hours(tables_of: Sessions) -> None:
    owners = [
        owner("d", "confirmed", "p@x", 1.0, claimants=2, to_ms=3 * HOUR_MS, runner_up_coincidences=1),
        owner("d", "inferred", "q@x", 0.9995, claimants=2, period=2, from_ms=3 * HOUR_MS, offset_ms=40.0),
        owner("other", "inferred", "z@x", 1.0),
    ]
    evidence = [
        hour(1, 1, "p@x", 9),
        hour(1, 2, "q@x", 1, offset_ms=-20.0),
        hour(2, 1, "p@x", 7),
        hour(3, 1, "q@x", 5, compared_times=8, offset_ms=40.0),
        hour(4, 0, None, 0),
        hour(1, 1, "z@x", 10) | {"serialNumber": "other"},
    ]
    result = explain(tables_of(owners, evidence), "d", KEYS)
    assert result is not None
    assert (result.claimants, result.slot_ms) == (2, HOUR_MS)
    assert result.periods == (
        Period(1, None, 3 * HOUR_MS, pseudonym("p@x"), "confirmed", 1.0, 2, 10, 5, 10, 1, None, None),
        Period(2, 3 * HOUR_MS, None, pseudonym("q@x"), "inferred", 0.9995, 2, 10, 5, 10, 0, 40.0, None),
    )
    assert result.candidates == (
        Candidate(pseudonym("p@x"), 2, 16, 20, -2.0, 2.0),
        Candidate(pseudonym("q@x"), 2, 6, 18, -22.0, 42.0),
    )
    assert [slot.from_ms for slot in result.slots] == [number * HOUR_MS for number in (1, 2, 3, 4)]
    assert [slot.shares for slot in result.slots] == [(0.9, 0.1), (0.7, 0), (0, 0.625), (0, 0)]


def test_at_most_five_candidates_are_listed(tables_of: Sessions) -> None:
    evidence = [hour(1, place, f"p{place}@x", 9 - place) for place in range(1, 8)]
    result = explain(tables_of([owner("d", "ambiguous")], evidence), "d", KEYS)
    assert result is not None
    assert [candidate.coincidences for candidate in result.candidates] == [8, 7, 6, 5, 4]


@pytest.mark.parametrize(
    ("hours", "slot_ms", "slots"),
    [
        (range(60), HOUR_MS, 60),
        (range(61), 24 * HOUR_MS, 3),
        (range(0, 61 * 24, 24), 7 * 24 * HOUR_MS, 9),
        (range(0, 100 * 365 * 24, 300 * 24), 364 * 24 * HOUR_MS, 100),
        ((), HOUR_MS, 0),
    ],
)
def test_the_smallest_slot_width_with_at_most_sixty_slots_is_chosen(
    tables_of: Sessions, hours: Iterable[int], slot_ms: int, slots: int
) -> None:
    evidence = [hour(number, 1, "p@x", 1) for number in hours]
    result = explain(tables_of([owner("d", "inferred", "p@x")], evidence), "d", KEYS)
    assert result is not None
    assert (result.slot_ms, len(result.slots)) == (slot_ms, slots)
    assert sum(slot.first_coincidences for slot in result.slots) == len(evidence)


@pytest.mark.parametrize("serial", ["x' OR '1' = '1", "x'; DROP TABLE device_owner; --", "$serial", "{}", "\\", "%", "\0"])
def test_any_text_is_safe_as_serial_number(tables_of: Sessions, serial: str) -> None:
    assert explain(tables_of([owner("d", "unknown")]), serial, KEYS) is None
    result = explain(tables_of([owner("d", "unknown"), owner(serial, "ambiguous")]), serial, KEYS)
    assert result is not None
    assert [period.status for period in result.periods] == ["ambiguous"]


def explanation(serial: str = "d", names: Iterable[str] = ("1a", "2b"), slots: Iterable[Slot] = ()) -> Explanation:
    periods = [
        Period(number, from_ms, None, None, "ambiguous", None, 0, 10, 5, 10, 0, None, None)
        for number, from_ms in ((1, None), (2, 2 * HOUR_MS))
    ]
    candidates = tuple(Candidate(name, 1, 5, 10, 0.0, 0.0) for name in names)
    return Explanation(serial, 0, tuple(periods), candidates, HOUR_MS, tuple(slots))


def test_a_picture_has_two_bars_per_slot_as_high_as_the_shares() -> None:
    slots = [Slot(HOUR_MS, 10, 10, 5, 0), Slot(2 * HOUR_MS, 10, 10, 0, 10)]
    drawn = ElementTree.fromstring(picture(explanation(slots=slots)))
    bars = [rect for rect in drawn.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    full = float(bars[3].attrib["height"])
    assert [float(bar.attrib["height"]) / full for bar in bars] == [0.5, 0, 0, 1]
    lefts = [float(bar.attrib["x"]) for bar in bars]
    [period_start] = [path.attrib["d"] for path in drawn.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert lefts[1] < float(period_start[1:].split()[0]) < lefts[2]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize(
    ("names", "slots", "sentence"),
    [
        ((), (), "The device has no readings, so none can coincide with a phone's."),
        ((), (Slot(0, 1234, 1234, 0, 0),), "None of the device's 1,234 reading times coincides with a phone's."),
    ],
)
def test_a_picture_without_bars_contains_the_reason(names: tuple[str, ...], slots: tuple[Slot, ...], sentence: str) -> None:
    drawn = ElementTree.fromstring(picture(explanation(names=names, slots=slots)))
    assert sentence in [text.text for text in drawn.iter(f"{SVG}text")]
    assert len(list(drawn.iter(f"{SVG}rect"))) == 1
    assert list(drawn.iter(f"{SVG}path")) == []


@given(serial=st.text(max_size=80), names=st.lists(st.text(max_size=20), max_size=3))
def test_a_picture_is_well_formed_with_any_names(serial: str, names: list[str]) -> None:
    slots = [Slot(HOUR_MS, 10, 10, 5, 0)]
    plain, hostile = (
        ElementTree.fromstring(picture(evidence))
        for evidence in (
            explanation(names=["n"] * len(names), slots=slots),
            explanation(f"{serial}<script>\"'&]]>", [f"{name}<b onload='x'>" for name in names], slots),
        )
    )
    assert [element.tag for element in hostile.iter()] == [element.tag for element in plain.iter()]
    assert [sorted(element.attrib) for element in hostile.iter()] == [sorted(element.attrib) for element in plain.iter()]
