"""What the program prints on a terminal, and that examples of cheap commands run."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from stedi.cli.commands import app
from tests.support.lake import KEY, Lake
from tests.support.program import stedi
from tests.support.terminal import on_terminal

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[(\d+;)*(3[0-7]|9[0-7]|38;[\d;]+)m")
CHEAP = ["run", "verify", "query", "tables", "show", "history", "quality", "quarantine", "ddl", "models", "version"]


@pytest.fixture
def folder(small_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    return small_lake.warehouse.parent


@pytest.mark.parametrize("name", CHEAP)
def test_the_example_of_a_cheap_command_runs(folder: Path, name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    example = re.search(r"^Example: stedi (.+)$", command.help, re.MULTILINE)
    assert example is not None
    done = stedi(folder, *shlex.split(example[1]))
    assert (done.returncode, "unexpected" in done.stderr) == (0, False), done.stderr


def test_a_terminal_gets_records_and_short_identifiers(folder: Path) -> None:
    sql = "SELECT customer_pseudonym, person, registrationDate FROM customers_curated ORDER BY person LIMIT 1"
    [[pseudonym, _, registered]] = json.loads(stedi(folder, "--json", "query", sql).stdout)["rows"]
    wide = on_terminal(folder, "query", sql, width=120)
    narrow = on_terminal(folder, "query", sql, width=60)
    for printed in (wide, narrow):
        assert f"{pseudonym[:15]}…" in printed
        assert pseudonym not in printed
        assert re.search(rf"{registered}  \d{{4}}-\d\d-\d\d \d\d:\d\d UTC", printed)
    assert ("row 1 of 1" in wide, "row 1 of 1" in narrow) == (False, True)
    assert pseudonym in stedi(folder, "query", sql).stdout


def test_empty_tables_are_a_sentence(folder: Path) -> None:
    assert stedi(folder, "quarantine").stdout == "No record is in quarantine.\n"
    assert stedi(folder, "query", "SELECT 1 AS one WHERE false").stdout == "No row. Columns: one.\n"


def test_styles_are_for_terminals_that_have_them(folder: Path) -> None:
    assert ESCAPE in on_terminal(folder, "tables", width=120)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not COLOUR.search(on_terminal(folder, "tables", width=120, environment=variables)), variables
        assert not COLOUR.search(on_terminal(folder, "run", "--help", environment=variables)), variables
    assert ESCAPE not in on_terminal(folder, "tables", width=120, environment={"TERM": "dumb"})
    assert ESCAPE not in stedi(folder, "tables").stdout


def test_global_options_work_between_a_group_and_its_command(folder: Path) -> None:
    for arguments in (["aws", "--json", "synth", "out", "--set", "x"], ["aws", "synth", "out", "--json", "--set", "x"]):
        done = stedi(folder, *arguments)
        assert (done.returncode, "--set 'x' gives no value" in done.stderr) == (2, True)
