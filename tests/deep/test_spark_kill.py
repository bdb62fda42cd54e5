"""A run on Spark is killed with its Java, in the midst of its work; the next run on either engine makes good."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.killing import assert_recovers, land_first, land_more
from tests.support.lake import KEY, Lake
from tests.support.spark import LIGHT, with_engine

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")


# What is seen of a run just as it reads landing files on executors, has Iceberg stage files of a
# table, or has committed one table and not yet the next.
MOMENTS = (
    ("spill", "**/stedi-*"),
    ("lakehouse", "stedi/accelerometer_landing/data/**/*.parquet"),
    ("lakehouse", "stedi/step_trainer_landing/metadata/*.avro"),
    ("lakehouse", "stedi/device_owner/data/**/*.parquet"),
)
# More than any of these takes on a busy machine.
_PATIENCE_SECONDS = 300


def kill_when_seen(lake: Lake, folder: Path, pattern: str, spill: Path) -> None:
    """Start `stedi run` and kill it, and the Java that it started, when a new file or folder is there."""
    settings = [f"--landing={lake.landing}", f"--warehouse={lake.warehouse}", "run", "--engine=spark"]
    environment = os.environ | {
        "PYSPARK_SUBMIT_ARGS": LIGHT,
        "SPARK_LOCAL_DIRS": str(spill),
        "STEDI_PSEUDONYM_KEY": KEY,
    }
    before = set(folder.glob(pattern))
    process = subprocess.Popen(
        [Path(sys.executable).with_name("stedi"), *settings],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not set(folder.glob(pattern)) - before:
        assert process.poll() is None, f"the run ended before {pattern} was seen"
        assert time.monotonic() < give_up
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_run_killed_at_several_moments_is_made_good_by_the_embedded_engine(lake: Lake, twin: Lake, tmp_path: Path) -> None:
    land_first(lake)
    spill = tmp_path / "spill"
    spill.mkdir()
    for place, pattern in MOMENTS:
        kill_when_seen(lake, tmp_path / place, pattern, spill)
    assert_recovers(lake, twin)


@pytest.mark.parametrize("engine", ["embedded", "spark"])
def test_a_run_of_changes_killed_while_it_stages_is_made_good(
    lake: Lake, twin: Lake, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_first(lake)
    lake.run()
    land_more(lake)
    kill_when_seen(lake, lake.warehouse, "stedi/accelerometer_trusted/data/**/*.parquet", tmp_path)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", LIGHT)
    assert_recovers(with_engine(lake, engine), twin)
