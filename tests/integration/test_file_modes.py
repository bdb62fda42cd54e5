"""Only their owner can access files with personal data, and a group that the warehouse's folder was shared with."""

from pathlib import Path

import pytest

from stedi.maintenance.maintain import maintain
from stedi.storage.disk import umask_of
from tests.support.lake import Lake, customer, small
from tests.support.modes import accessible, modes, open_umask
from tests.support.program import stedi


def test_all_that_commands_write_is_private(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_MAINTAIN_EVERY", "1")
    small(lake)
    lake.land("customer/2.json", [customer("a@x", 10, shares=10, serial="s1"), {"email": "b@x", "lastUpdateDate": "?"}])
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    places = ("--landing", str(lake.landing), "--warehouse", str(lake.warehouse))
    with open_umask():
        for command in (
            ["run"],
            ["verify"],
            ["query", "FROM customer_trusted", "--svg", "query.svg"],
            ["devices", "s1", "--svg", "device.svg"],
            ["person", "a@x", "--svg", "person.svg"],
            ["access", "a@x", "--out", "handed-over"],
            ["quarantine", "--replay"],
            ["maintain"],
        ):
            result = stedi(out, *command, *places)
            assert result.returncode == 0, result.stderr
        assert stedi(out, "simulate", "simulated", "--customers", "1", "--readings", "1").returncode == 0
    assert {"query.svg", "device.svg", "person.svg", "simulated"} <= modes(out).keys()
    assert {".lock", "catalog.db", "pseudonym.key", "privacy_log", "runs/00000001.json"} <= modes(lake.warehouse).keys()
    assert not accessible(out)
    assert not accessible(lake.warehouse)


@pytest.mark.parametrize(
    ("mode", "umask"),
    [(0o700, 0o077), (0o750, 0o027), (0o770, 0o007), (0o2775, 0o007), (0o755, 0o077), (0o777, 0o077), (0o757, 0o077)],
)
def test_a_group_keeps_what_it_has_and_not_everybody(tmp_path: Path, mode: int, umask: int) -> None:
    tmp_path.chmod(mode)
    assert umask_of(tmp_path) == umask


def test_a_missing_folder_is_private(tmp_path: Path) -> None:
    assert umask_of(tmp_path / "missing") == 0o077


def test_a_group_can_read_a_folder_that_was_shared_with_it(lake: Lake) -> None:
    lake.warehouse.mkdir()
    lake.warehouse.chmod(0o754)
    small(lake)
    with open_umask():
        lake.run()
    found = modes(lake.warehouse)
    assert {found[name] for name in (".", "stedi", "runs")} == {0o750}
    assert {found[name] for name in (".lock", "catalog.db", "runs/00000001.json")} == {0o640}
    assert not accessible(lake.warehouse, 0o027)


def test_maintenance_makes_old_warehouses_private(small_lake: Lake, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    (small_lake.warehouse / "link").symlink_to(outside)
    for path in (small_lake.warehouse, *small_lake.warehouse.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    outside.chmod(0o666)
    count = len(modes(small_lake.warehouse))
    with open_umask():
        report = maintain(small_lake.settings)
    left = accessible(small_lake.warehouse)
    assert not {name: mode for name, mode in left.items() if name != "link"}
    # The write lock has made the folder itself private, and compaction and commits write new files.
    assert outside.stat().st_mode & 0o777 == 0o666
    assert 0 < report.made_private < count
    assert maintain(small_lake.settings).made_private == 0
