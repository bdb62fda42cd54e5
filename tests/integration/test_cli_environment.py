"""What surrounds a command: rights, the working folder, locale, streams. Each error is one line."""

import fcntl
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from stedi.cli import main
from tests.support.compare import tree
from tests.support.disk import move_to_disk, small_disk
from tests.support.lake import KEY, Lake, small
from tests.support.program import PROGRAM, call, stedi
from tests.support.rights import enforce_permissions, read_only

__all__ = ["small_disk"]

LOOKS = (
    ["tables"],
    ["history", "customer_trusted"],
    ["query", "SELECT count(*) FROM customer_trusted"],
    ["show", "customer_trusted"],
    ["quality"],
    ["quarantine"],
    ["verify"],
)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)


@pytest.fixture
def folder(small_lake: Lake) -> Path:
    return small_lake.warehouse.parent


def said_in_a_line(done: subprocess.CompletedProcess[str], said: str, code: int = 1) -> None:
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("stedi: ")
    assert "unexpected" not in done.stderr
    assert said in done.stderr


def test_all_looks_and_verify_work_with_the_right_to_read_alone(folder: Path) -> None:
    before = tree(folder / "lakehouse")
    with read_only(folder / "lakehouse"):
        for look in LOOKS:
            done = stedi(folder, "--json", *look)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)
        said_in_a_line(
            stedi(folder, "run"), "warehouse lakehouse can't be written: Permission denied; check its permissions"
        )
        said_in_a_line(stedi(folder, "maintain"), "Permission denied")
    assert tree(folder / "lakehouse") == before


def test_verify_works_on_a_disk_that_is_mounted_read_only(lake: Lake, small_disk: Path) -> None:
    move_to_disk(small_disk, lake)
    small(lake)
    lake.run()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = stedi(lake.landing.parent, "--warehouse", str(small_disk / "lakehouse"), "--json", "verify")
    assert done.returncode == 0, done.stderr
    # A copy may lack the lock file.
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    (small_disk / "lakehouse/.lock").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = stedi(lake.landing.parent, "--warehouse", str(small_disk / "lakehouse"), "verify")
    assert done.returncode == 0, done.stderr


def test_verify_and_a_run_keep_out_of_each_others_way(folder: Path) -> None:
    with (folder / "lakehouse/.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with read_only(folder / "lakehouse"):
            said_in_a_line(
                stedi(folder, "verify"), "another run is working on lakehouse; wait for it to end, then try again"
            )
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert stedi(folder, "verify").returncode == 0
        said_in_a_line(stedi(folder, "run"), "`stedi verify` is reading lakehouse; wait for it to end, then run again")


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_run_records_that_cannot_be_read_are_not_taken_for_none(folder: Path, mode: int) -> None:
    runs = folder / "lakehouse/runs"
    before = sorted(path.name for path in runs.iterdir())
    runs.chmod(mode)
    try:
        with enforce_permissions():
            for look in (*LOOKS[2:], ["models"], ["run", "--policy", "reading"], ["maintain"]):
                if look != ["models"]:
                    said_in_a_line(stedi(folder, *look), "runs can't be read: Permission denied; grant read access")
    finally:
        runs.chmod(0o755)
    assert sorted(path.name for path in runs.iterdir()) == before


def test_a_working_folder_that_was_deleted_is_said(tmp_path: Path, folder: Path) -> None:
    def in_no_folder(arguments: Sequence[str]) -> int:
        gone.rmdir()
        return main(arguments)

    gone = tmp_path / "gone"
    places = ("--landing", str(folder / "landing"), "--warehouse", str(folder / "lakehouse"))
    for command in (["run"], ["tables"], ["verify"]):
        gone.mkdir()
        said_in_a_line(call(in_no_folder, gone, *places, *command), "it may have been deleted: change to another folder")


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "SELECT '\udcff' AS a"],
        ["ddl", "quarantine", "--database", "\udcff"],
        ["--landing", "l\udcff", "run"],
        ["simulate", "l\udcff"],
        ["demo", "l\udcff"],
        ["aws", "synth", "l\udcff"],
        ["--warehouse", "l\udcff", "run"],
    ],
)
def test_an_argument_that_is_no_utf_8_is_refused(folder: Path, arguments: list[str]) -> None:
    before = set(folder.iterdir())
    said_in_a_line(stedi(folder, *arguments), "UTF-8", 2)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["STEDI_MEMORY_LIMIT", "STEDI_PSEUDONYM_KEY", "STEDI_LANDING"])
def test_a_setting_of_the_environment_that_is_no_utf_8_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "\udcff")
    said_in_a_line(stedi(folder, "query", "SELECT 1"), f"environment setting {name} is not valid UTF-8", 2)


def test_a_query_is_utf_8_in_an_ascii_locale(folder: Path) -> None:
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [PROGRAM, "query", "SELECT 'é' AS a", "--format", "csv"],
        cwd=folder,
        env=os.environ | ascii_locale,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout.decode()) == (0, 'a\n"é"\n')


def test_help_that_can_not_be_written_is_said() -> None:
    for arguments in (["--help"], ["run", "--help"], ["aws"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
            )
        said_in_a_line(done, "standard output can't be written: No space left on device")


def test_a_missing_folder_for_temporary_files_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    said_in_a_line(stedi(folder, "query", "SELECT 1"), "No such file or directory")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(folder / "nowhere")])
    said_in_a_line(stedi(folder, "query", "SELECT 1"), "set TMPDIR to a folder that can be written")


def test_a_path_with_a_nul_in_the_settings_is_refused(folder: Path) -> None:
    (folder / "nul.toml").write_text('landing = "a\\u0000b"')
    said_in_a_line(stedi(folder, "--config", "nul.toml", "run"), "setting 'landing': contains a NUL character", 2)
