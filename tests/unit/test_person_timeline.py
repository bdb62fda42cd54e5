"""A person's consent by purpose, on literal records and on drawn ones; the picture of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.privacy.picture import picture
from stedi.privacy.report import DevicePeriod, Hold, MonthReadings, PersonReport
from stedi.privacy.timeline import Consent, Interval, PurposeConsent, read_consent
from stedi.tables.consent import PURPOSES
from stedi.tables.reference import consent_history
from stedi.tables.registry import BY_NAME

Record = Mapping[str, Any]
RESEARCH, PUBLIC, FRIENDS = PURPOSES.values()
NEVER = PurposeConsent("", False, 0, ())
SVG = "{http://www.w3.org/2000/svg}"
DAY = 86_400_000


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[DuckDBBackend]:
    with DuckDBBackend(scratch=tmp_path, threads=1) as started:
        yield started


def land(backend: DuckDBBackend, records: Sequence[Record]) -> None:
    columns = BY_NAME["customer_landing"].columns
    backend.materialize_values("customer_landing", [(c.name, c.type, [r.get(c.name) for r in records]) for c in columns])


def consent_of(backend: DuckDBBackend, *records: Record) -> Consent:
    land(backend, [{"person": "a@x", **record} for record in records])
    return read_consent(backend)


def at(time: int, **dates: int) -> Record:
    return {"lastUpdateDate": time, **dates}


def research(consent: Consent) -> PurposeConsent:
    return consent.purposes[0]


def test_a_person_without_records_consents_to_nothing(backend: DuckDBBackend) -> None:
    purposes = tuple(replace(NEVER, purpose=purpose) for purpose in PURPOSES)
    assert consent_of(backend) == Consent(0, None, None, purposes)


def test_one_purpose_only(backend: DuckDBBackend) -> None:
    consent = consent_of(backend, at(10, **{FRIENDS: 5}))
    given = PurposeConsent("friends", True, 0, (Interval(5, None),))
    assert consent == Consent(1, 10, 10, (replace(NEVER, purpose="research"), replace(NEVER, purpose="public"), given))


def test_records_out_of_order_and_repeated_give_the_same_intervals(backend: DuckDBBackend) -> None:
    records = [at(10, **{RESEARCH: 10}), at(20), at(30, **{RESEARCH: 25}), at(40, **{RESEARCH: 25})]
    expected = (Interval(10, 20), Interval(25, None))
    assert research(consent_of(backend, *records)).intervals == expected
    consent = consent_of(backend, *reversed(records), *records, *records)
    assert research(consent) == PurposeConsent("research", True, 0, expected)
    assert (consent.records, consent.first_change_ms, consent.last_change_ms) == (12, 10, 40)


def test_records_of_one_time_that_disagree_give_no_consent(backend: DuckDBBackend) -> None:
    consent = consent_of(backend, at(10, **{PUBLIC: 10}), at(20, **{PUBLIC: 10}), at(20), at(20, **{PUBLIC: 20}))
    assert consent.purposes[1] == PurposeConsent("public", False, 1, (Interval(10, 20),))
    assert [purpose.contradictions for purpose in consent.purposes] == [0, 1, 0]


def test_consent_never_starts_before_the_withdrawal_before_it(backend: DuckDBBackend) -> None:
    consent = consent_of(backend, at(10, **{RESEARCH: 10}), at(20), at(30, **{RESEARCH: 1}))
    assert research(consent).intervals == (Interval(10, 20), Interval(20, None))


def test_a_record_without_an_update_counts_from_its_registration(backend: DuckDBBackend) -> None:
    consent = consent_of(backend, {"registrationDate": 5, RESEARCH: 5}, at(9))
    assert research(consent).intervals == (Interval(5, 9),)


def by_hand(records: Sequence[Record], field: str) -> tuple[Interval, ...]:
    """The intervals of one person, by walking through the times of the records."""
    dates: dict[int, list[int | None]] = {}
    for record in records:
        time = record["registrationDate"] if record.get("lastUpdateDate") is None else record["lastUpdateDate"]
        dates.setdefault(time, []).append(record.get(field))
    intervals, start, previous = [], None, None
    for time in sorted(dates):
        known = [date for date in dates[time] if date is not None]
        consents = len(known) == len(dates[time])
        if consents and start is None:
            start = max(known) if previous is None else max(*known, previous)
        elif not consents and start is not None:
            intervals += [Interval(start, time)] if start < time else []
            start = None
        previous = time
    return (*intervals, *([Interval(start, None)] if start is not None else []))


TIMES = st.integers(1, 12)
RECORDS = st.fixed_dictionaries(
    {
        "person": st.sampled_from(["a@x", "b@x"]),
        "lastUpdateDate": st.none() | TIMES,
        "registrationDate": TIMES,
        **dict.fromkeys(PURPOSES.values(), st.none() | TIMES),
    }
)


def test_intervals_equal_consent_history_and_those_by_hand(backend: DuckDBBackend, is_deep: bool) -> None:
    @settings(
        max_examples=400 if is_deep else 40,
        derandomize=not is_deep,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(RECORDS, max_size=12))
    def hold(records: list[Record]) -> None:
        land(backend, records)
        history = backend.select(consent_history.TABLE.query)
        for person in ("a@x", "b@x"):
            own = [record for record in records if record["person"] == person]
            land(backend, own)
            consent = read_consent(backend)
            in_history = {(r["consented_from_ms"], r["consented_to_ms"]) for r in history if r["person"] == person}
            assert {(i.from_ms, i.to_ms) for i in research(consent).intervals} == in_history
            assert consent.records == len(own)
            for purpose in consent.purposes:
                assert purpose.intervals == by_hand(own, PURPOSES[purpose.purpose])
                assert purpose.is_given == any(interval.to_ms is None for interval in purpose.intervals)

    hold()


def report(**changes: Any) -> PersonReport:
    purposes = (
        PurposeConsent("research", True, 0, (Interval(40 * DAY, 50 * DAY), Interval(70 * DAY, None))),
        replace(NEVER, purpose="public"),
        replace(NEVER, purpose="friends"),
    )
    whole = PersonReport(
        pseudonym="0123456789ab",
        run_id="run",
        finished_at="1970-05-01T00:00:00+00:00",
        consent=Consent(3, 40 * DAY, 70 * DAY, purposes),
        holds=(Hold(80 * DAY, 1, "customer/1.json", 1, "not_json", ""),),
        devices=(DevicePeriod('s<1>"&\x00', None, None, "claimed", True, "why", None, 1, 0, 0),),
        claims=(),
        readings=(MonthReadings(31 * DAY, 10, 0), MonthReadings(59 * DAY, 5, 20)),
        tables=(),
        runs=(),
        models=(),
    )
    return replace(whole, **changes)


def bars(svg: str) -> list[tuple[str, float, float]]:
    """Tooltip, left edge and width of each bar."""
    found = []
    for rectangle in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        if (title := rectangle.find(f"{SVG}title")) is not None:
            found.append((str(title.text), float(rectangle.attrib["x"]), float(rectangle.attrib["width"])))
    return found


def test_the_picture_has_a_bar_for_each_interval_hold_month_and_device() -> None:
    drawn = bars(picture(report()))
    assert [tooltip.partition(":")[0] for tooltip, _, _ in drawn] == [
        "research",
        "research",
        "on hold since 1970-03-22 00",
        "1970-02",
        "1970-03",
        "1970-03",
        'device s<1>"&\ufffd',
    ]
    assert all(left >= 170 and left + width <= 940.1 and width > 0 for _, left, width in drawn)
    first, second, held = (left for _, left, _ in drawn[:3])
    assert first < second < held
    # An interval without an end, and a device's only period, reach the edge.
    assert drawn[1][1] + drawn[1][2] == pytest.approx(940, abs=0.2)
    assert drawn[-1][1:] == (170, 770)


def test_the_picture_of_a_person_without_anything_is_valid() -> None:
    nothing = Consent(0, None, None, tuple(replace(NEVER, purpose=purpose) for purpose in PURPOSES))
    assert bars(picture(report(consent=nothing, holds=(), devices=(), readings=()))) == []


@given(st.text())
def test_any_serial_number_gives_valid_xml(serial: str) -> None:
    device = DevicePeriod(serial, 41 * DAY, 42 * DAY, "inferred", False, "why", 0.5, 1, 1, 1)
    ElementTree.fromstring(picture(report(devices=(device,) * 30)))
