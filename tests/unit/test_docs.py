"""Generated pages are current; every command, table and setting is documented; links lead somewhere."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from stedi.aws.jobs import JOBS
from stedi.cli.commands import app
from stedi.config import load_settings
from stedi.model.column_types import COLUMN_TYPES
from stedi.tables.registry import ALL, REFRESHED
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
DEMO_PICTURE = importlib.import_module("demo_picture")


@pytest.mark.parametrize("page", GENERATOR.PAGES)
def test_generated_pages_are_current(page: str) -> None:
    assert GENERATOR.PAGES[page]() == (ROOT / page).read_text("utf-8"), "run `make docs`"


def test_the_example_settings_are_the_defaults() -> None:
    assert load_settings(ROOT / "stedi.example.toml", {}) == load_settings(None, {})


def test_every_command_and_option_has_help() -> None:
    for name, command in GENERATOR.every_command(get_command(app)):
        assert command.help, name
        assert all(getattr(parameter, "help", "") for parameter in command.params), name


def test_every_module_has_a_docstring() -> None:
    silent = [line for line in GENERATOR.module_list().splitlines() if line.endswith("` |  |")]
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


def test_the_glossary_is_in_order_and_has_only_terms_in_use() -> None:
    glossary = (ROOT / "GLOSSARY.md").read_text("utf-8")
    terms = [line.split("|")[1].strip() for line in glossary.splitlines() if line.startswith("| ")][1:]
    assert terms == sorted(terms, key=str.lower)
    pages = [path for path in (ROOT / "docs").glob("*.md") if path.name != "naming.md"]
    texts = [path.read_text("utf-8") for path in (*pages, ROOT / "README.md", *(ROOT / "src").rglob("*.py"))]
    words = " ".join(re.sub(r"[\W_]+", " ", text.lower()) for text in texts)
    assert [term for term in terms if re.sub(r"[\W_]+", " ", term.lower()) not in words] == []


def test_names_on_the_page_about_naming_are_in_the_code() -> None:
    page = (ROOT / "docs/naming.md").read_text("utf-8")
    rules, types, old = (section for section in page.split("\n## ")[1:])
    examples = re.findall(
        r"`([^`]+)`", "".join(line.rsplit("|", 2)[1] for line in rules.splitlines() if line.startswith("| "))
    )
    code = " ".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert [name for name in examples if name.partition("(")[0] not in code] == []
    assert set(re.findall(r"^\| `(\w+)`", types, re.MULTILINE)) == set(COLUMN_TYPES)
    kept = [name for line in old.splitlines() if line.startswith("| ") for name in _names(line)]
    assert [name for name in kept if name.rpartition(".")[2] not in code] == []


def test_the_picture_of_the_demo_shows_the_session_line_by_line() -> None:
    session = (("stedi a <b>", ["  first", "", "second & last"]), ("stedi c", ["third"]))
    drawn = DEMO_PICTURE.picture(session)
    assert drawn == DEMO_PICTURE.picture(session)
    texts = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}text")
    assert [text.text for text in texts] == ["$ stedi a <b>", "  first", "second & last", "$ stedi c", "third"]
    starts = [float(re.sub(r"[^\d.]", "", text.attrib["style"])) for text in texts]
    assert starts == sorted(starts)


def test_the_picture_of_the_demo_has_every_table_that_a_run_refreshes() -> None:
    drawn = (ROOT / "docs/demo.svg").read_text("utf-8")
    assert [table.name for table in REFRESHED if not table.on_demand and f"  {table.name} " not in drawn] == []


def _names(row: str) -> list[str]:
    """The quoted names in the last cell of a table's row."""
    return re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1])
