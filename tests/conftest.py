"""Shared fixtures: real landing files and real warehouses in temporary folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.lake import SHARED, Lake


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
def public_landing_set() -> Path:
    folder = SHARED / "landing"
    if not folder.is_dir():
        pytest.skip("the public landing set is not here (../shared/data/landing)")
    return folder
