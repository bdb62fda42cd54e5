"""The program is asked to stop: by Ctrl-C, by SIGTERM, and at moments at which an interrupt could do harm."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.program import PROGRAM, stedi

INTERRUPTED = "stedi: interrupted. No table is half-written. Run the same command again to continue.\n"


ASKED_TO_STOP = """
import os, signal, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
import duckdb
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from stedi import __main__, cli
from stedi.compute.duckdb import s3_filesystem

def ask():
    os.kill(os.getpid(), signal.SIGTERM)

def work(arguments):
    {work}
    time.sleep(60)

class Bucket(SubTreeFileSystem):
    once = iter([ask])

    def get_file_info(self, path):
        for asks in self.once:
            asks()
        return super().get_file_info(path)

pool = ThreadPoolExecutor(1)

def start():
    begin = threading.Thread.start

    def asked_as_soon_as_begun(thread):
        begin(thread)
        ask()

    threading.Thread.start = asked_as_soon_as_begun
    pool.submit(int)

def make():
    make = tempfile.mkdtemp

    def asked_as_soon_as_made(*arguments):
        folder = make(*arguments)
        ask()
        return folder

    tempfile.mkdtemp = asked_as_soon_as_made
    with tempfile.TemporaryDirectory(dir="."):
        time.sleep(60)

def read():
    os.mkdir("bucket")
    duckdb.execute("COPY (SELECT 1 AS one) TO 'bucket/key' (FORMAT parquet)")
    s3_filesystem.CachedS3FileSystem._connect = lambda self: Bucket(os.getcwd(), LocalFileSystem())
    with duckdb.connect() as connection:
        connection.register_filesystem(s3_filesystem.CachedS3FileSystem())
        assert connection.execute("FROM read_parquet('s3://bucket/key')").fetchall() == [(1,)]

cli.main = work
code = __main__.main()
# Time for what comes late.
time.sleep(2 * __main__._RETRY_SECONDS)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("asked", "seconds", "command"),
    [
        (signal.SIGINT, 0, ["run"]),
        (signal.SIGINT, 0.8, ["run"]),
        (signal.SIGINT, 1.2, ["run"]),
        (signal.SIGTERM, 0.2, ["run"]),
        (signal.SIGTERM, 1.5, ["run"]),
        (signal.SIGTERM, 1.5, ["run", "--dry-run"]),
    ],
)
def test_who_is_asked_to_stop_says_so_in_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: signal.Signals, seconds: float, command: list[str]
) -> None:
    assert stedi(tmp_path, "simulate", "landing", "--customers", "60", "--readings", "20000").returncode == 0
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with subprocess.Popen([PROGRAM, *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while not _listens_to_sigterm(running.pid):
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(seconds)
        running.send_signal(asked)
        try:
            said = running.communicate(timeout=60)[1].decode()
        finally:
            running.kill()
    # It may still be loading then, or on a quick machine have been done before.
    if running.returncode == 130:
        assert said.endswith(("stedi: interrupted before the command started; nothing was changed\n", INTERRUPTED))
    else:
        assert (running.returncode, "interrupted" in said) == (0, False)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert "Traceback" not in said
    assert stedi(tmp_path, "run").returncode == 0
    assert stedi(tmp_path, "verify").returncode == 0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("ask()", INTERRUPTED),
        # DuckDB, for one, aborts the process when it is interrupted while it loads.
        ("import loads_slowly", f"loaded\n{INTERRUPTED}"),
        # DuckDB again takes a file as missing about which it could not ask.
        ("read()", INTERRUPTED),
        # Python would wait for a thread that it has not told to end.
        ("start()", INTERRUPTED),
        ("make()", INTERRUPTED),
        # Too late: the work ends before it can be interrupted.
        ("__main__._RETRY_SECONDS = 2; import ends_at_once; return 0", ""),
        ("\n    try: ask()\n    finally: ask(); time.sleep(60)", "stedi: interrupted again; temporary files may be left\n"),
    ],
)
def test_who_asks_at_a_bad_moment_is_heard_all_the_same(tmp_path: Path, work: str, said: str) -> None:
    (tmp_path / "loads_slowly.py").write_text(
        "from __main__ import ask, sys\nask()\nfor _ in range(9): pass\nprint('loaded', file=sys.stderr)\n"
    )
    (tmp_path / "ends_at_once.py").write_text("from __main__ import ask\nask()\n")
    done = subprocess.run(
        [sys.executable, "-c", ASKED_TO_STOP.replace("{work}", work)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (130 if said else 0, said)
    assert list(tmp_path.glob("tmp*")) == []


def _listens_to_sigterm(process: int) -> bool:
    """Whether the program, and not only Python, has begun: then it has set its handlers."""
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert caught
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
