"""Every command's help and example; results as tables and records; numbers, sizes and times; progress."""

import io
import re
import shlex
import threading
from contextlib import redirect_stderr
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command

from stedi.cli import progress as progress_module
from stedi.cli.commands import app
from stedi.cli.progress import ProgressDisplay, progress
from stedi.cli.sections import Section, renderables
from stedi.cli.text import counted, duration, size, utc_text, value_text
from stedi.model.progress import Progress

EXAMPLE = re.compile(r"^Example: (stedi .+)$", re.MULTILINE)


def every_command(group: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All commands by the words that call them."""
    commands: dict[tuple[str, ...], Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            commands |= every_command(command, (*prefix, name))
        else:
            commands[(*prefix, name)] = command
    return commands


COMMANDS = every_command(get_command(app))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_starts_with_a_verb_and_has_one_example_that_parses(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert re.match(r"[A-Z][a-z-]*[a-rt-z] ", command.help), "start with an imperative verb"
    [example] = EXAMPLE.findall(command.help)
    program, *arguments = shlex.split(example)
    assert (program, *arguments[: len(words)]) == ("stedi", *words)
    command.make_context(words[-1], arguments[len(words) :])


def shown(part: Section, width: int, *, short: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(*renderables(part, width, short=short))
    return console.export_text()


ADDRESSES = Section("people", ("name", "address", "n"), [("Ada", "1 Long Street, in a town", 12345)], ("n",))
PSEUDONYM = "04db03b93f459aa9e1be1272a86b26bd95d7a079cda1281dd8bee6a1a1016c64"


def test_rows_that_fit_are_a_table_and_others_are_records() -> None:
    assert re.search(r"name +address +n", shown(ADDRESSES, 80))
    records = shown(ADDRESSES, 24)
    assert "row 1 of 1" in records
    assert re.search(r"n +12,345", records)
    assert "name" in records.splitlines()[2]


def test_no_word_is_broken_in_a_table_and_no_text_takes_many_lines() -> None:
    part = Section("", ("key", "text"), [("k" * 30, "some words of a text " * 20)])
    for width in range(40, 200, 7):
        lines = [line for line in shown(part, width).splitlines() if line.strip()]
        assert any("k" * 30 in line for line in lines), width
        assert "row 1 of 1" in lines[0] or len(lines) <= 9, width


def test_optional_columns_are_left_out_before_rows_become_records() -> None:
    part = Section("t", ("table", "why"), [("customer_landing", "x" * 40)], optional=("why",))
    assert "x" * 40 in shown(part, 80)
    narrow = shown(part, 40)
    assert "customer_landing" in narrow
    assert "Left out on a narrow terminal: why." in narrow


def test_a_section_without_rows_is_a_sentence_or_nothing() -> None:
    assert renderables(Section("t", ("a",), []), 80) == []
    assert shown(Section("t", ("a",), [], empty="No row."), 80) == "No row.\n"


def test_records_are_limited_where_a_section_says_so() -> None:
    part = Section("", ("a",), [("x" * 50,)] * 8, max_records=3)
    assert "row 3 of 8" in shown(part, 30)
    assert "row 4 of 8" not in shown(part, 30)


def test_identifiers_are_cut_on_a_terminal_only() -> None:
    part = Section("", ("person",), [(PSEUDONYM,)])
    assert PSEUDONYM in shown(part, 200)
    assert PSEUDONYM[:15] + "… " in shown(part, 200, short=True)
    uuid = "1f6e7a3c-9d2b-4e58-8a01-5b7c9d0e2f31"
    assert [value_text("a", text, short=True) for text in (uuid, "step_training_set_x", "a@example.org")] == [
        "1f6e7a3c-9d2b-4…",
        "step_training_set_x",
        "a@example.org",
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("rows", 30060145, "30,060,145"),
        ("timeStamp", 1795788180000, "1795788180000  2026-11-27 14:03 UTC"),
        ('max("sensorReadingTime")', 1795788180000, "1795788180000  2026-11-27 14:03 UTC"),
        ("registrationDate", 1795788180000, "1795788180000  2026-11-27 14:03 UTC"),
        ("offset_ms", 1500, "1,500"),
        ("rows", 1795788180000, "1,795,788,180,000"),
        ("x", 0.5, "0.5"),
        ("ok", True, "true"),
        ("arrived_at", datetime(2026, 11, 27, 16, 3, 4, 500_000, timezone(timedelta(hours=2))), "2026-11-27 14:03:04 UTC"),
        ("from_ms", None, ""),
    ],
)
def test_values_are_readable(name: str, value: object, text: str) -> None:
    assert value_text(name, value) == text


def test_sizes_times_and_counts_have_units() -> None:
    assert [size(n) for n in (0, 999, 1_000, 999_960, 3_400_000_000)] == ["0 B", "999 B", "1.0 kB", "1.0 MB", "3.4 GB"]
    assert [duration(s) for s in (2.44, 59.99, 200, 7500)] == ["2.4 s", "60.0 s", "3 min 20 s", "2 h 5 min"]
    assert utc_text("2026-11-27T16:03:59+02:00") == utc_text(1795788180000) == "2026-11-27 14:03 UTC"
    assert (utc_text(None), utc_text("2026")) == ("", "2026")
    assert [counted(n, "row") for n in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]


def test_without_a_terminal_progress_is_a_line_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_LINE_SECONDS", 0.02)
    printed = threading.Event()

    class Lines(io.StringIO):
        def write(self, text: str) -> int:
            if "files" in text:
                printed.set()
            return super().write(text)

    with redirect_stderr(Lines()) as lines, progress("starting") as display:
        display(Progress("reading files", 5, 20, "files"))
        assert printed.wait(10)
    assert "stedi: reading files: 5 of 20 files, 25%\n" in lines.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_FIRST_SECONDS", 0)
    monkeypatch.setattr(progress_module, "_REDRAW_SECONDS", 0.01)
    drawn = threading.Event()

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if "25%" in text:
                drawn.set()
            return super().write(text)

    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    with progress("starting") as display:
        display(Progress("reading files", 5, 20, "files"))
        assert drawn.wait(10)
    assert re.search(r"reading files .*━.*5 of 20 files, 25%", screen.getvalue())


def test_a_short_command_shows_no_progress() -> None:
    with redirect_stderr(io.StringIO()) as lines, progress("starting") as display:
        display(Progress("refreshing customer_trusted"))
    assert lines.getvalue() == ""


def test_rate_and_time_left_follow_from_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    display = ProgressDisplay("starting")
    display(Progress("reading", 0, 1_000, "rows"))
    now[0] += 5
    latest = Progress("reading", 250, 1_000, "rows")
    display(latest)
    assert display.numbers(latest) == "250 of 1,000 rows, 25%, 50 rows/s, 15.0 s left"
    display(Progress("writing", 3, unit="files"))
    assert display.numbers(Progress("writing", 3, unit="files")) == "3 files"
    assert display.numbers(Progress("committing")) == ""
