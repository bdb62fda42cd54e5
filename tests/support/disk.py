"""A real small file system, where this user may mount one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lake import Lake


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
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
    # What the engine could not write may stay open a moment longer; it is let go of with the last file.
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def on_disk(disk: Path, lake: Lake) -> Lake:
    lake.settings = lake.settings.model_copy(update={"warehouse": str(disk / "lakehouse")})
    return lake


def small_disk_free(disk: Path) -> int:
    line = subprocess.run(["df", "--output=avail", "-B1", str(disk)], capture_output=True, text=True, check=True)
    return int(line.stdout.splitlines()[1])
