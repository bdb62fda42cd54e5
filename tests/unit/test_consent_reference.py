"""The reference of consent, by cases worked out by hand; and what the customer feeds of tests say of their own text."""

import gzip
import json
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support import customer_feeds
from tests.support.consent_reference import File, Record, consenting, lands, on_hold, record_counts
from tests.support.customer_feeds import LandingFile, feeds

DAY = 86_400_000
MILLENNIUM, JUNE = 946_684_800_000, 1_654_041_600_000  # 2000-01-01, 2022-06-01
ARRIVAL = JUNE + DAY

YES = Record(("a",), ("s",), (JUNE,), (), (JUNE,))
NO = replace(YES, updated=(JUNE + 1,), shares=())
UNUSABLE = replace(NO, updated=("yesterday",))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"parses": False}, False),
        ({"is_sound": False}, False),
        ({"emails": ()}, True),
        ({"emails": ("a", "a")}, True),
        ({"emails": ("a", "b")}, False),
        ({"emails": (None, "a")}, False),
        ({"shares": (None, JUNE)}, False),
        ({"serials": ("s", "t")}, False),
        ({"updated": (None,)}, False),
        ({"updated": (), "registered": (JUNE,)}, True),
        ({"updated": (str(JUNE),)}, True),
        ({"updated": ("yesterday",)}, False),
        ({"updated": ("yesterday",), "registered": (JUNE,)}, False),
        ({"registered": (1,)}, False),
        ({"updated": (JUNE // 1_000,)}, False),
        ({"updated": (MILLENNIUM - 1,)}, False),
        ({"updated": (MILLENNIUM,)}, True),
        ({"updated": (ARRIVAL + DAY,)}, True),
        ({"updated": (ARRIVAL + DAY + 1,)}, False),
        ({"shares": ("2022-06-01",)}, True),
    ],
)
def test_what_lands(change: dict[str, Any], expected: bool) -> None:
    assert lands(replace(YES, **change), ARRIVAL) is expected


@pytest.mark.parametrize("share", [0, -1, "0", True, "2022-06-01", JUNE // 1_000, MILLENNIUM - 1, ARRIVAL + DAY + 1, None])
def test_an_unusable_share_date_is_no_consent(share: Any) -> None:
    assert consenting([File(ARRIVAL, [replace(YES, shares=(share,))])]) == set()


@pytest.mark.parametrize("share", [JUNE, str(JUNE), MILLENNIUM, ARRIVAL + DAY])
def test_a_usable_share_date_is_consent(share: Any) -> None:
    assert consenting([File(ARRIVAL, [replace(YES, shares=(share,))])]) == {"a"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # The newest moment decides, not the newest file.
        ([File(1, [YES]), File(2, [NO])], set()),
        ([File(1, [NO]), File(2, [YES])], set()),
        ([File(1, [YES, NO, replace(YES, updated=(JUNE + 2,))])], {"a"}),
        ([File(1, [NO, replace(YES, updated=(), registered=(JUNE + 2,))])], {"a"}),
        # One moment, two words.
        ([File(1, [YES]), File(2, [replace(YES, shares=())])], set()),
        ([File(1, [replace(YES, registered=(JUNE,))]), File(2, [replace(YES, shares=())])], set()),
        # On hold, until a later file.
        ([File(1, [YES]), File(2, [UNUSABLE])], set()),
        ([File(2, [UNUSABLE, YES])], set()),
        ([File(2, [UNUSABLE]), File(2, [YES])], set()),
        ([File(2, [UNUSABLE]), File(3, [YES])], {"a"}),
        ([File(2, [UNUSABLE]), File(3, [replace(YES, updated=(JUNE - 1,)), NO])], set()),
        ([File(1, [UNUSABLE]), File(2, [YES]), File(3, [UNUSABLE])], set()),
        ([File(1, [YES]), File(2, [replace(UNUSABLE, emails=(None, "a"))])], set()),
        # Nobody else is.
        ([File(1, [YES]), File(2, [replace(UNUSABLE, emails=("b",))])], {"a"}),
        ([File(1, [YES]), File(2, [replace(UNUSABLE, emails=())])], {"a"}),
        ([File(1, [YES]), File(2, [replace(UNUSABLE, emails=("b",), inner=frozenset("a"))])], {"a"}),
        # But whom a record that is no JSON names anywhere.
        ([File(1, [YES]), File(2, [replace(NO, emails=("b",), inner=frozenset("a"), parses=False)])], set()),
        ([File(1, [YES]), File(2, [replace(NO, emails=(), mentioned=frozenset("a"), parses=False)])], set()),
        ([File(1, [YES]), File(2, [replace(NO, emails=("b",), mentioned=frozenset("a"), parses=False)])], {"a"}),
        ([File(1, [YES]), File(2, [replace(NO, emails=(), mentioned=frozenset("a"))])], {"a"}),
    ],
)
def test_who_consents(files: list[File], expected: set[str]) -> None:
    assert consenting([File(ARRIVAL + file.arrival, file.records) for file in files]) == expected


def test_who_is_on_hold() -> None:
    broken = replace(NO, emails=("b",), inner=frozenset("c"), parses=False)
    assert on_hold([File(ARRIVAL, [YES, UNUSABLE, broken]), File(ARRIVAL + 1, [YES])]) == {"b", "c"}


def test_records_are_counted_whether_they_land_or_not() -> None:
    assert record_counts({"x": File(ARRIVAL, [YES, UNUSABLE]), "y": File(ARRIVAL, [NO]), "z": File(ARRIVAL, [])}) == {
        "x": 2,
        "y": 1,
    }


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@settings(max_examples=30, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(feeds())
def test_customer_feeds_know_their_text(runs: list[list[LandingFile]]) -> None:
    for file in (file for files in runs for file in files):
        content = gzip.decompress(file.content) if file.is_packed else file.content
        for record in file.records:
            text = record.text(is_pretty=file.layout.startswith("pretty"))
            assert text.encode("utf-8", "surrogateescape") in content
            try:
                parsed = json.loads(text, parse_constant=_no_constant, object_pairs_hook=list)
            except ValueError:
                parsed = None
            assert record.facts.parses == (parsed is not None)
            if parsed is not None:
                emails = [customer_feeds.PERSON_OF.get(value) for key, value in parsed if key.lower() == "email"]
                assert record.facts.emails == emails
        assert all(lands(record.facts, file.arrival) for record in file.repaired)
