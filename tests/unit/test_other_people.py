"""Which texts name somebody else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi.ingest.skipped_files import path_without_address
from stedi.privacy.other_people import MAY_NAME_PEOPLE, names_others, people_named, words_of

ME = "me@x.example"


@pytest.mark.parametrize(
    "text",
    [
        "you@x.example",
        "Me@X.example (was You@x.example)",
        '{"friend":"you\\u0040x.example"}',
        '{"friend":"you\\uff20x.example"}',
        '{"friend":"you\\\\u0040x.example"}',
        "mailto:you%40x.example",
        "me@x.example, YOU ＠ x.example",
        '{"a":"me@x.example"}{"a":"you@x.example"',
    ],
)
def test_texts_that_name_somebody_else(text: str) -> None:
    assert names_others(text, ME)


@pytest.mark.parametrize(
    "text", ["", "no address", " ME@X.example ", "<me@x.example>", '{"a": "me\\u0040x.example"}', "\\ud83d"]
)
def test_texts_that_name_nobody_else(text: str) -> None:
    assert not names_others(text, ME)


_PIECES = st.sampled_from(
    ["a", "x.example", "@", "＠", "﹫", "\\u0040", "\\uff20", "%40", "%", "\\", " ", '"', "\\ud83d", "ß"]
)


@given(st.lists(_PIECES).map("".join) | st.text())
def test_the_engine_s_condition_misses_no_text_with_an_address(text: str) -> None:
    if people_named(text):
        assert re.search(MAY_NAME_PEOPLE, text)


def test_words_are_normalised_as_serial_numbers() -> None:
    assert words_of('{"serialNumber": " ABC-1 ", "x":[\\u0041b]}') == {"serialnumber", "abc-1", "x", "ab"}


def test_names_of_files_lose_addresses() -> None:
    assert path_without_address("a/you@x/b%40c.json") == "a/(name with @)/(name with @)"
    assert path_without_address("customer/1.json") == "customer/1.json"
