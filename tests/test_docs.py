"""Generated pages are current; every command and table is documented."""

import importlib.util
from pathlib import Path

from typer.main import get_command

from stedi.cli import app
from stedi.tables import ALL

ROOT = Path(__file__).parents[1]


def test_the_data_dictionary_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.data_dictionary() == module.PAGE.read_text("utf-8"), "run `make docs`"


def test_every_command_has_help() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert all(command.help for command in commands.values())


def test_every_table_and_column_says_what_it_means() -> None:
    assert all(column.meaning for table in ALL for column in table.columns)


def test_links_in_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    assert all((ROOT / link).exists() for link in links)
