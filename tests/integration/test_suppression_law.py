"""In random customer feeds, exactly the records of an erased person are stopped."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stedi.compute.counts import count_differences
from stedi.compute.duckdb import DuckDBBackend
from stedi.compute.suppressed_rows import REMOVED_TEXT, release, screen
from stedi.config import Settings
from stedi.ingest.listing import list_files
from stedi.ingest.suppression import DevicePeriod, ErasedPerson, open_suppression
from stedi.model.identity import device_of, person_of
from stedi.model.sql import literal
from stedi.tables.landing.feeds import FEEDS
from tests.support.customer_feeds import PEOPLE, PERSON_AT, SPELLINGS, LandingFile, feeds, land_readings, serial_of
from tests.support.lake import T0

# The serial number of the erased person's device is theirs until this time.
HANDED_OVER = sorted(map(int, PERSON_AT))[len(PERSON_AT) // 2]


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(feeds(), st.sampled_from(PEOPLE))
def test_exactly_the_records_of_an_erased_person_are_stopped(runs: Sequence[Sequence[LandingFile]], erased: str) -> None:
    with TemporaryDirectory() as name, DuckDBBackend(scratch=Path(name), threads=1) as backend:
        folder = Path(name)
        land_readings(folder)
        for file in (file for files in runs for file in files):
            file.land(folder)
        person = ErasedPerson(SPELLINGS[erased][-1], (DevicePeriod(serial_of(erased), None, HANDED_OVER),))
        suppression = open_suppression(Settings(warehouse=str(folder / "lakehouse"))).add(
            [person], erased_at_ms=T0, erasure_id="first"
        )
        backend.set_parameters(suppression.parameters)
        is_theirs = {
            "customer": f"person IS NOT DISTINCT FROM {literal(person_of(SPELLINGS[erased][0]))}",
            "accelerometer": f"person = {literal(person_of(SPELLINGS[erased][0]))}",
            "step_trainer": f"device = {literal(device_of(serial_of(erased)))} AND sensorReadingTime < {HANDED_OVER}",
        }
        for feed in FEEDS:
            ingested = backend.ingest(feed, list_files(name, feed))
            screened = screen(backend, feed, ingested, suppression)
            others = f"SELECT * FROM {ingested.landed} WHERE NOT ({is_theirs[feed.name]})"
            assert count_differences(backend, feed.table, screened.landed, others) == 0
            before = quarantined(backend, f"SELECT * FROM {ingested.quarantined}")
            after = quarantined(backend, screened.quarantined)
            for place, record in before.items():
                assert after.get(place) == expected(record, erased), record
            kept = backend.select(f"SELECT count(*) AS n FROM ({screened.landed}) AS r")[0]["n"]
            stopped = [sum(numbers) for numbers in zip(*screened.suppressed.values(), strict=True)] or [0, 0]
            assert [kept + stopped[0], len(after) + stopped[1]] == [
                sum(numbers) for numbers in zip(*ingested.counts.values(), strict=True)
            ]
            release(backend, feed)
            backend.release(feed)


def quarantined(backend: DuckDBBackend, query: str) -> dict[tuple[str, int], Mapping[str, Any]]:
    rows = backend.select(f"SELECT source_file, source_position, raw_record, people FROM ({query}) AS q")
    return {(row["source_file"], row["source_position"]): row for row in rows}


def expected(record: Mapping[str, Any], erased: str) -> Mapping[str, Any] | None:
    """The record as it may be stored: whole, without its text, or not at all."""
    text = record["raw_record"] + "\n" + unescaped(record["raw_record"])
    canonical = {person_of(spelling) for spelling in SPELLINGS[erased]}
    others = [person for person in (record["people"] or "").split("\n") if person and person not in canonical]
    if any(spelling.strip() in text for spelling in SPELLINGS[erased]):
        return {**record, "raw_record": REMOVED_TEXT, "people": "\n".join(others)} if others else None
    has_serial = serial_of(erased).casefold() in text.casefold()
    return None if has_serial and not others else record


def unescaped(text: str) -> str:
    """The text with JSON's escapes replaced, as far as it is JSON."""
    try:
        return str(json.loads('"' + text.replace('"', "'").replace("\\'", "'") + '"', strict=False))
    except ValueError:
        return text
