"""The lock: hashes for every package, no addresses, and the same versions for the Glue jobs."""

import re
import tomllib

import pytest

from stedi.aws.cdk.python_modules import python_modules
from tests.support.installing import CHECKOUT

LOCK = (CHECKOUT / "requirements.lock").read_text("utf-8")
# `name==version`, an optional marker, then one hash a line.
ENTRY = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)[^\\]*((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)\n", re.MULTILINE)
VERSIONS = {entry[1]: entry[2] for entry in ENTRY.finditer(LOCK)}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~ ;]", requirement)[0] for requirement in requirements}


def test_the_lock_is_names_versions_and_hashes_alone() -> None:
    assert ENTRY.sub("", LOCK) == ""
    assert len(VERSIONS) > 100


def test_the_lock_has_every_dependency() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = names(project["dependencies"]).union(*map(names, project["optional-dependencies"].values()))
    assert wanted - {"stedi"} <= set(VERSIONS), "run `make lock`"


def test_the_glue_jobs_get_the_locked_versions() -> None:
    wheel, *modules = python_modules()
    assert wheel.startswith("stedi-")
    pins = dict(module.split("==") for module in modules)
    assert {"boto3", "duckdb", "pyarrow", "pyiceberg", "sqlglot"} <= set(pins)
    assert pins.items() <= VERSIONS.items(), "run `make lock`"


@pytest.mark.parametrize("name", ["uv", "setuptools"])
def test_the_lock_has_what_the_makefile_installs_first(name: str) -> None:
    assert name in VERSIONS
