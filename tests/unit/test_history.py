"""Which files of a table's history must be replaced: by bounds, and by deletes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.utils.truncate import truncate_upper_bound_text_string

from stedi.catalog.history import HistoryFile, LiveFile
from stedi.storage.paths import plain_path

SHORT, LONG = "bob@x", "a-long-address-of-bob@example.com"


def file(lower: str | None, upper: str | None) -> HistoryFile:
    bounds = (lower.encode() if lower is not None else None, upper.encode() if upper is not None else None)
    return HistoryFile(LiveFile("x.parquet"), 1, 1, (), (1,), {"person": bounds})


@pytest.mark.parametrize(
    ("lower", "upper", "contains"),
    [
        ("ann@x", "cleo@x", False),
        ("ann@x", "bob@x", True),
        ("Bob <bob@x>", "zoe@x", True),
        ("a-long-address-o", "zoe@x", True),
        ("ann@x", "a-long-address-p", True),
        # Fifteen characters could be anybody's.
        ("a-long-address-", "zoe@x", False),
        ("a-long-advice-of", "a-long-advice-of", False),
        (None, None, False),
    ],
)
def test_bounds_that_contain_a_value(lower: str | None, upper: str | None, contains: bool) -> None:
    assert file(lower, upper).bounds_contain([SHORT, LONG]) is contains
    assert file(lower, upper).bounds_contain([]) is False
    assert file(lower, upper).bounds_contain([""]) is False


@given(st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"])), st.integers(0, 3))
def test_bounds_of_a_value_admit_and_contain_it(value: str, place: int) -> None:
    upper = truncate_upper_bound_text_string(value, 16)
    found = file(value[:16] if place != 1 else None, upper if place != 2 else None)
    assert found.may_contain("person", [value])
    assert found.may_contain("other", [value])
    assert not found.may_contain("person", [])
    if place == 0 and upper is not None:
        assert found.bounds_contain([value])


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:/x y/a", "/x y/a"),
        ("file:///x", "/x"),
        ("s3a://b/k", "s3://b/k"),
        ("s3n://b/k", "s3://b/k"),
        ("s3://b/s3a://k", "s3://b/s3a://k"),
    ],
)
def test_writers_spell_locations_in_several_ways(location: str, path: str) -> None:
    assert plain_path(location) == path
