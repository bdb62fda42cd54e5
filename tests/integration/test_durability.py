"""What a commit names was written through to the disk before the commit."""

import os
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from stedi.storage.disk import atomic_write
from tests.support.killing import referenced_files
from tests.support.lake import Lake, customer, small


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes of files and folders that were written through to the disk."""
    inodes: set[int] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        inodes.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def test_files_reach_the_disk_before_the_commit_that_names_them(lake: Lake, synced: set[int]) -> None:
    at_commits: list[set[int]] = []
    remember = partial(remember_synced, at_commits, synced)
    event.listen(Engine, "commit", remember)
    try:
        small(lake)
        lake.run()
        lake.land("customer/2.json", [customer("a@x", 20)])
        lake.run()
    finally:
        event.remove(Engine, "commit", remember)
    assert len(at_commits) > 20
    # Whatever the last commit names was there before it.
    named = {path for path in referenced_files(lake.warehouse) if "stedi" in path.relative_to(lake.warehouse).parts}
    assert len(named) > 50
    assert [path for path in named if path.stat().st_ino not in at_commits[-1]] == []
    runs = list((lake.warehouse / "runs").iterdir())
    assert {path.stat().st_ino for path in [*runs, lake.warehouse / "runs"]} <= synced


def remember_synced(at_commits: list[set[int]], synced: set[int], _: object) -> None:
    at_commits.append(set(synced))


def test_a_file_is_written_through_before_it_gets_its_name(
    tmp_path: Path, synced: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename
    at_rename: list[bool] = []

    def rename(self: Path, target: Path) -> Path:
        at_rename.append(self.stat().st_ino in synced)
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with atomic_write(tmp_path / "record", 0o600) as file:
        file.write(b"all of it")
    assert at_rename == [True]
    assert tmp_path.stat().st_ino in synced
    assert (tmp_path / "record").read_bytes() == b"all of it"
