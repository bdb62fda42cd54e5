"""Phone positions: read from a file, and assigned to the stretches of which they cover most."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from stedi.errors import UsageError
from stedi.query.sandbox import query
from stedi.steps.data.ground_truth import read_positions
from stedi.steps.data.phone_positions import PositionSpan as Span
from stedi.steps.data.phone_positions import position_of
from stedi.steps.data.stretches import Stretch
from tests.support.lake import Lake, customer, reading
from tests.support.program import stedi

HEADER = "user,from_ms,to_ms,position\n"


def stretch(person: str, start_ms: int, seconds: int) -> Stretch:
    return Stretch(person, start_ms, np.zeros((seconds * 50 + 1, 3), np.float32), np.empty(0))


@pytest.mark.parametrize(
    ("stays", "position"),
    [
        ([], None),
        ([Span(0, 20_000, "hand")], "hand"),
        ([Span(0, 15_001, "hand")], "hand"),
        # Half is not most.
        ([Span(0, 15_000, "hand")], None),
        ([Span(0, 15_000, "hand"), Span(15_000, 90_000, "bag")], None),
        # Spans of one position add up.
        (
            [Span(9_000, 13_000, "hand"), Span(13_000, 16_000, "hand"), Span(16_000, 20_000, "bag")],
            "hand",
        ),
        ([Span(0, 9_000, "hand"), Span(21_000, 90_000, "bag")], None),
    ],
)
def test_a_stretch_has_the_position_of_more_than_half_of_it(stays: list[Span], position: str | None) -> None:
    assert position_of(stretch("a", 10_000, 10), {"a": stays}) == position
    assert position_of(stretch("b", 10_000, 10), {"a": stays}) is None


@pytest.fixture
def known(lake: Lake) -> Lake:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10)])
    lake.land("accelerometer/1.json", [reading("a@x", 20)])
    lake.run()
    return lake


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", HEADER + " A@X ,1000,2000,hand\na@x,10,1000, back pocket \n"),
        ("p.CSV", "\ufeffposition;to_ms;from_ms;user;note\r\nhand;2000;1000;a@x;\r\nback pocket;1000;10;a@x;n\r\n"),
        (
            "p.jsonl",
            '{"user": "a@x", "from_ms": 10, "to_ms": 1000, "position": "back pocket"}\n'
            '{"user": "a@x", "from_ms": 1000, "to_ms": 2000, "position": "hand"}\n',
        ),
    ],
)
def test_positions_are_read_from_any_format(name: str, content: str, known: Lake, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    [(who,)] = query(known.settings, "SELECT customer_pseudonym FROM customers_curated").rows()
    assert read_positions(known.settings, path) == {who: [Span(10, 1_000, "back pocket"), Span(1_000, 2_000, "hand")]}


def test_positions_are_read_from_the_simulators_file(known: Lake, tmp_path: Path) -> None:
    path = tmp_path / "activities.parquet"
    columns = "'a@x' AS user, 10::BIGINT AS from_ms, 20::BIGINT AS to_ms, 'walk' AS activity, 'bag' AS position"
    duckdb.sql(f"COPY (SELECT {columns}) TO '{path}'")
    assert list(read_positions(known.settings, path).values()) == [[Span(10, 20, "bag")]]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", None, "does not exist"),
        ("p.txt", "", "neither .csv, .json nor .parquet"),
        ("p.csv", "user,from_ms,position\nsecret@x,1,hand\n", "can't be read"),
        ("p.csv", HEADER + "secret@x,2,1,hand\nsecret@x,1,2,\n,1,2,hand\nsecret@x,1,2,hand\n", "3 of 4 rows of"),
        ("p.csv", HEADER + "secret@x,2026-01-01,2026-01-02,hand\n", "can't be read"),
        ("p.parquet", "secret", "can't be read"),
    ],
)
def test_the_error_on_an_invalid_file_is_one_line_without_its_content(
    name: str, content: str | None, says: str, known: Lake, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UsageError, match=says) as refused:
        read_positions(known.settings, tmp_path / name)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_commands_refuse_a_missing_file_before_they_start(tmp_path: Path) -> None:
    for command in ("train", "evaluate"):
        process = stedi(tmp_path, command, "--positions", "none.csv")
        assert process.returncode == 2
        assert process.stderr.splitlines()[-1].startswith("stedi: file none.csv does not exist")
