"""A small file system, which fills up. Tests that use it skip if this user may not mount one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lake import Lake


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a file system of 3 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if done.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield mounted
    # Lazily, because DuckDB may keep files open a moment longer.
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def move_to_disk(disk: Path, lake: Lake) -> Lake:
    """Move the lake's warehouse, which need not exist, to the small file system. Return the lake."""
    lake.settings = lake.settings.model_copy(update={"warehouse": str(disk / "lakehouse")})
    return lake


def free_bytes(disk: Path) -> int:
    """Return the free space in bytes."""
    line = subprocess.run(["df", "--output=avail", "-B1", str(disk)], capture_output=True, text=True, check=True)
    return int(line.stdout.splitlines()[1])
