"""Generated pages are current; every command, table and setting is documented; links lead somewhere."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from stedi.aws.jobs import JOBS
from stedi.cli.commands import app
from stedi.config import load_settings
from stedi.tables.registry import ALL
from tests.support.lake import PUBLIC_COUNTS

ROOT = Path(__file__).parents[2]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "docs"))
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.parametrize("page", GENERATOR.PAGES)
def test_generated_pages_are_current(page: str) -> None:
    assert GENERATOR.PAGES[page]() == (ROOT / page).read_text("utf-8"), "run `make docs`"


def test_the_example_settings_are_the_defaults() -> None:
    assert load_settings(ROOT / "stedi.example.toml", {}) == load_settings(None, {})


def test_every_command_and_option_has_help() -> None:
    for name, command in GENERATOR.every_command(get_command(app)):
        assert command.help, name
        assert all(getattr(parameter, "help", "") for parameter in command.params), name


def test_every_module_says_what_it_is() -> None:
    silent = [line for line in GENERATOR.house().splitlines() if line.endswith("` |  |")]
    assert silent == []


def test_every_table_and_column_says_what_it_means() -> None:
    assert all(column.meaning for table in ALL for column in table.columns)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "GLOSSARY.md",
        "CHANGELOG.md",
        "examples/oxford_phone/README.md",
        *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert all(((ROOT / page).parent / link.partition("#")[0]).exists() for link in links)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_modules_named_in_a_page_exist(page: str) -> None:
    paths = re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.py)`", (ROOT / page).read_text("utf-8"))
    for path in paths:
        assert any((ROOT / base / path).exists() for base in ("", "src/stedi")), path


def test_commands_in_the_readme_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    named = set(re.findall(r"`?stedi (?:--[a-z-]+ (?:\S+ )?)?([a-z]+)\b", (ROOT / "README.md").read_text("utf-8")))
    assert named
    assert named <= set(commands), named - set(commands)


def test_the_page_for_people_from_the_course_has_the_jobs_and_the_counts() -> None:
    page = (ROOT / "docs/from-the-course.md").read_text("utf-8")
    for job in JOBS:
        assert f"| `{job.name}` | {', '.join(f'`{table}`' for table in job.tables)}" in page
    for name in PUBLIC_COUNTS["customer"].keys() - {"quarantine"}:
        counts = " | ".join(f"{PUBLIC_COUNTS[policy][name]:,}" for policy in ("customer", "reading"))
        assert re.search(rf"\| `{name}` \| [\d,]+ \| {re.escape(counts)} \|", page), name
