"""A full disk and a read-only disk: real small file systems, where the machine lets us mount them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi.errors import WarehouseError
from stedi.warehouse import WarehouseFolder
from tests.compare import contents
from tests.conftest import Lake, reading
from tests.test_pipeline import small


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


def on(disk: Path, lake: Lake) -> Lake:
    lake.settings = lake.settings.model_copy(update={"warehouse": WarehouseFolder(disk / "lakehouse")})
    return lake


def test_a_full_disk_leaves_the_tables_whole_and_is_said(lake: Lake, small_disk: Path) -> None:
    on(small_disk, lake)
    small(lake)
    lake.run()
    before = contents(lake)
    (small_disk / "ballast").write_bytes(b"\0" * (small_disk_free(small_disk) - 20_000))
    lake.land("accelerometer/2.json", [reading("a@x", 10**6 + i, x=i * 0.123457) for i in range(60_000)])
    with pytest.raises(WarehouseError, match=r"disk|space|written"):
        lake.run()
    assert contents(lake) == before
    (small_disk / "ballast").unlink()
    lake.run()
    assert lake.rows("SELECT count(*) FROM accelerometer_trusted") == [(60_020,)]


def small_disk_free(disk: Path) -> int:
    line = subprocess.run(["df", "--output=avail", "-B1", str(disk)], capture_output=True, text=True, check=True)
    return int(line.stdout.splitlines()[1])


def test_a_read_only_disk_is_said_and_can_still_be_queried(lake: Lake, small_disk: Path) -> None:
    on(small_disk, lake)
    small(lake)
    lake.run()
    before = contents(lake)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    lake.land("accelerometer/2.json", [reading("a@x", 500)])
    with pytest.raises(WarehouseError, match=r"[Rr]ead-only"):
        lake.run()
    assert contents(lake) == before
