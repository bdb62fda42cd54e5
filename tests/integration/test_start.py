"""Which libraries a command imports. Importing them is most of a short command's time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lake import KEY, Lake, small

COMMAND_LINE = {"typer", "rich"}
SETTINGS = {"pydantic", "pydantic_settings"}
TABLES = {"duckdb", "numpy", "pandas", "pyarrow", "pyiceberg", "pyspark", "sqlalchemy"}
LIBRARIES = COMMAND_LINE | SETTINGS | TABLES | {"boto3", "lightgbm", "onnxruntime", "sklearn"}

# Runs the program in its own process, then prints which of the top-level modules it imported.
PROGRAM = """
import sys
from stedi import cli
code = cli.main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def folder(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    small(lake)
    lake.run()
    return tmp_path


def call(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """Output of a command, and the libraries that it imported."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout, LIBRARIES & set(done.stderr.split())


def test_the_version_needs_no_library(tmp_path: Path) -> None:
    output, libraries = call(tmp_path, "--version")
    assert output.strip()
    assert libraries == set()


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_help_needs_no_settings_and_no_tables(tmp_path: Path, arguments: list[str]) -> None:
    output, libraries = call(tmp_path, *arguments)
    assert "step detector" in output
    assert libraries == COMMAND_LINE


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("stedi quara", ["quarantine"]),
        ("stedi show customer_t", ["customer_trusted"]),
        ("stedi run --select mach", ["machine_learning_curated"]),
        ("stedi quarantine --feed a", ["accelerometer"]),
        ("stedi run --pol", ["--policy"]),
        ("stedi tables --ware", ["--warehouse"]),
    ],
)
def test_the_shell_completes_words_without_the_libraries_of_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, completions: list[str]
) -> None:
    monkeypatch.setenv("_STEDI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    output, libraries = call(tmp_path)
    assert output.split() == completions
    # Typer itself converts arguments with pydantic.
    assert libraries == COMMAND_LINE | {"pydantic"}


@pytest.mark.parametrize("arguments", [["tables"], ["history", "customer_trusted"]])
def test_a_look_at_the_catalog_imports_neither_pyiceberg_nor_an_engine(folder: Path, arguments: list[str]) -> None:
    output, libraries = call(folder, *arguments)
    assert "customer_trusted" in output
    assert libraries == COMMAND_LINE | SETTINGS


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--engine", "spark"]])
def test_a_run_with_nothing_new_imports_neither_pyiceberg_nor_an_engine(folder: Path, options: list[str]) -> None:
    output, libraries = call(folder, "run", *options)
    assert "up to date" in output
    assert "refresh" not in output
    assert libraries == COMMAND_LINE | SETTINGS


def test_a_run_that_computes_imports_the_engine(folder: Path) -> None:
    """The libraries are found where they are imported, so the tests above can fail."""
    (folder / "landing/customer/1.json").touch()
    _, libraries = call(folder, "run")
    assert {"duckdb", "pyiceberg", "sqlalchemy"} <= libraries


def test_the_help_is_what_typer_prints_with_all_of_rich(tmp_path: Path) -> None:
    """The help is rendered without two modules of rich; they stay usable in the same process."""
    script = f"import rich.markdown, rich.traceback\n{PROGRAM}"
    command = [sys.executable, "-c", script, "--help"]
    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert call(tmp_path, "--help")[0] == whole.stdout
    later = PROGRAM.replace("sys.exit", "from rich.markdown import Markdown; Markdown('*a*').parsed; sys.exit")
    subprocess.run([sys.executable, "-c", later, "--help"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
