"""Fixtures that all layers share, and how tests are spread over workers."""

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# As many workers run as there are cores, so each computes on one. Processes that tests start inherit it.
os.environ |= {"STEDI_THREADS": "1", "OMP_NUM_THREADS": "1"}

from tests.support.cdk import Templates
from tests.support.compare import Kept
from tests.support.killing import ChosenSteps
from tests.support.lake import SHARED, Lake, small
from tests.support.memory import InMemoryBackend, MemoryTables
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


@pytest.fixture(scope="session")
def kept_small(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    lake = Lake(tmp_path_factory.mktemp("small"))
    small(lake)
    lake.run()
    return Kept(lake)


@pytest.fixture
def small_lake(kept_small: Kept) -> Iterator[Lake]:
    """A lake after a first run on two people's records, as every test finds it."""
    yield kept_small.lake
    kept_small.put_back()


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
    with InMemoryBackend(scratch=tmp_path, threads=1) as engine:
        yield lambda policy: MemoryTables(engine, policy)


@pytest.fixture
def tables(new_tables: NewTables) -> Tables:
    return new_tables("customer")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Spark for all tests: Java takes a minute of CPU time to start, and to warm up."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from tests.support.spark import light_spark

    with light_spark(tmp_path_factory.mktemp("no-warehouse")) as session:
        yield session


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Templates of deployments: the CDK takes ten seconds of CPU time to start."""
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Keep on one worker what shares what is slow to make: Spark, the CDK, and the fixtures of a module."""
    for item in items:
        shared = next((name for name in ("spark", "templates") if name in item.fixturenames), None)
        if shared:
            item.add_marker(pytest.mark.xdist_group(shared))
        elif any(made[-1].scope == "module" for made in item._fixtureinfo.name2fixturedefs.values()):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds of each layer, and of the slowest files."""
    layers, files = defaultdict[str, float](float), defaultdict[str, float](float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = report.nodeid.partition("::")[0]
                files[file] += report.duration
                layers[file.rpartition("/")[0]] += report.duration
    terminalreporter.section("seconds by layer and by file, added up over workers")
    slowest = sorted(files.items(), key=lambda item: -item[1])[:15]
    for name, seconds in (*sorted(layers.items()), *slowest):
        terminalreporter.line(f"{seconds:8.1f}  {name}")


@pytest.fixture(scope="session")
def is_deep(request: pytest.FixtureRequest) -> bool:
    """Whether all is to be tried, instead of a share."""
    return bool(request.config.getoption("--deep"))


@pytest.fixture
def steps(is_deep: bool) -> ChosenSteps:
    """The steps of work before which a test stops it."""
    return ChosenSteps(None if is_deep else 5, commit_id())


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
