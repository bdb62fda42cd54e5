"""Fixtures that all layers share, and how tests are spread over workers."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# As many workers run as there are cores, so each computes on one. Processes that tests start inherit it.
os.environ |= {"STEDI_THREADS": "1", "OMP_NUM_THREADS": "1"}

from tests.support.killing import ChosenSteps
from tests.support.lake import SHARED, Lake
from tests.support.memory import EmbeddedInMemory, MemoryTables
from tests.support.tables import FileTables, NewTables, Tables


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def new_lake(tmp_path: Path) -> Callable[..., Lake]:
    """Several lakes in one test, each in a folder of its own."""

    def make(name: str, **options: str) -> Lake:
        folder = tmp_path / name
        folder.mkdir()
        return Lake(folder, **options)

    return make


@pytest.fixture
def twin(new_lake: Callable[..., Lake]) -> Lake:
    """A second lake, to compare the first one with."""
    return new_lake("twin")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="all of what takes long; without it a share of each")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of tables work in the memory of the embedded engine; deep ones also on files, and on Spark."""
    if "new_tables" in metafunc.fixturenames:
        deep = metafunc.config.getoption("--deep")
        kinds = ["memory", *(["files"] if deep else [])]
        metafunc.parametrize("new_tables", kinds, indirect=True, ids=kinds if deep else [""])


@pytest.fixture
def new_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewTables]:
    """Tables by their consent policy."""
    if request.param == "files":
        yield lambda policy: FileTables(tmp_path / policy, policy)
        return
    with EmbeddedInMemory(scratch=tmp_path, threads=1) as engine:
        yield lambda policy: MemoryTables(engine, policy)


@pytest.fixture
def tables(new_tables: NewTables) -> Tables:
    return new_tables("customer")


@pytest.fixture
def steps(request: pytest.FixtureRequest) -> ChosenSteps:
    """The steps of work before which a test stops it."""
    return ChosenSteps(None if request.config.getoption("--deep") else 5, commit_id())


def commit_id() -> str:
    """The checked-out commit, from whose id each run's share of the kills is drawn: so all are tried over time."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no commit"


def pytest_report_header(config: pytest.Config) -> str:
    deep = config.getoption("--deep")
    return "deep: all of everything" if deep else f"a share of the kills, drawn from commit {commit_id()}; --deep has all"


@pytest.fixture
def public_landing_set() -> Path:
    folder = SHARED / "landing"
    if not folder.is_dir():
        pytest.skip("the public landing set is not here (../shared/data/landing)")
    return folder
