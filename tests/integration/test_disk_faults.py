"""A full disk and a read-only disk: real small file systems, where the machine lets us mount them."""

import subprocess
from pathlib import Path

import pytest

from stedi.errors import WarehouseError
from tests.support.compare import contents
from tests.support.disk import free_bytes, move_to_disk, small_disk
from tests.support.lake import Lake, reading, small

__all__ = ["small_disk"]


def test_a_full_disk_leaves_the_tables_whole_and_is_said(lake: Lake, small_disk: Path) -> None:
    move_to_disk(small_disk, lake)
    small(lake)
    lake.run()
    before = contents(lake)
    (small_disk / "ballast").write_bytes(b"\0" * (free_bytes(small_disk) - 20_000))
    lake.land("accelerometer/2.json", [reading("a@x", 10**6 + i, x=i * 0.123457) for i in range(60_000)])
    with pytest.raises(WarehouseError, match=r"disk|space|written"):
        lake.run()
    assert contents(lake) == before
    (small_disk / "ballast").unlink()
    lake.run()
    assert lake.rows("SELECT count(*) FROM accelerometer_trusted") == [(60_020,)]


def test_a_read_only_disk_is_said_and_can_still_be_queried(lake: Lake, small_disk: Path) -> None:
    move_to_disk(small_disk, lake)
    small(lake)
    lake.run()
    before = contents(lake)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    lake.land("accelerometer/2.json", [reading("a@x", 500)])
    with pytest.raises(WarehouseError, match=r"[Rr]ead-only"):
        lake.run()
    assert contents(lake) == before
