"""Foot pads become a step trainer's distances, and the lakehouse finds their steps again."""

import csv
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.support.lake import SHARED, Lake

SCRIPT = Path(__file__).parents[2] / "examples/oxford_phone/landing_files.py"
DERIVED = """
    SELECT c.email, t.at_ms FROM step_training_set AS t JOIN customers_curated AS c USING (customer_pseudonym)
    WHERE is_step ORDER BY ALL"""


def convert(folder: Path, out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, folder, out, *map(str, options)], capture_output=True, text=True)


def write_recordings(folder: Path) -> None:
    """Ann's phone reports every 10 ms for 30 s, twice, Bo's every 15 ms; they set a foot down each 600 ms."""
    folder.mkdir()
    (folder / "recordings.csv").write_text("recording_id,user,position\na1,Ann,hand\na2,Ann,bag\nb1,Bo,hand\n")
    duckdb.sql(
        """
        CREATE TABLE recording AS
            FROM (VALUES ('a1', 'Ann', 10), ('a2', 'Ann', 10), ('b1', 'Bo', 15)) AS r(id, who, every_ms);
        COPY (
            SELECT id AS recording_id, who AS user, t AS t_ms, sin(t / 90)::FLOAT AS x, 0::FLOAT AS y, 9.81::FLOAT AS z
            FROM recording, unnest(generate_series(5, 30_005, every_ms)) AS times(t)
        ) TO '{0}/accelerometer.parquet';
        -- The first foot is down from the start, which is no step.
        COPY (
            SELECT id AS recording_id, who AS user, t AS t_ms,
                (t // 100 % 12 < 6)::TINYINT AS foot1, (t // 100 % 12 >= 6)::TINYINT AS foot2
            FROM recording, unnest(generate_series(7, 30_000, 100)) AS times(t)
        ) TO '{0}/foot_pads.parquet';
        COPY (
            SELECT id AS recording_id, who AS user, t AS t_ms, 1 AS foot
            FROM recording, unnest(generate_series(607, 30_000, 600)) AS times(t)
        ) TO '{0}/steps.csv';
        DROP TABLE recording
        """.format(str(folder).replace("'", "''"))
    )


def test_steps_come_out_where_a_foot_was_set_down(tmp_path: Path, lake: Lake) -> None:
    write_recordings(tmp_path / "steps")
    truth = tmp_path / "truth.csv"
    positions = tmp_path / "positions.csv"
    done = convert(tmp_path / "steps", lake.landing, "--truth", truth, "--positions", positions)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lake.run(select=["step_training_set"])
    owners = lake.rows("SELECT serialNumber, person, status FROM device_owner ORDER BY ALL")
    assert owners == [("oxford-ann", "ann@oxford.example", "confirmed"), ("oxford-bo", "bo@oxford.example", "confirmed")]
    with truth.open() as file:
        true = sorted((row["user"], int(row["timeStamp"])) for row in csv.DictReader(file))
    assert len(true) == 3 * 49
    assert true[0] == ("ann@oxford.example", 1_514_764_800_000 + 607)
    # The second recording begins a minute after the first ended, at 30,005 ms.
    assert true[49] == ("ann@oxford.example", 1_514_764_800_000 + 30_005 + 60_000 + 607)
    with positions.open() as file:
        told = [tuple(row.values()) for row in csv.DictReader(file)]
    begin = 1_514_764_800_000
    assert told[:2] == [
        ("ann@oxford.example", str(begin), str(begin + 30_005), "hand"),
        ("ann@oxford.example", str(begin + 90_005), str(begin + 120_010), "bag"),
    ]
    assert [row[3] for row in told] == ["hand", "bag", "hand"]
    found = lake.rows(DERIVED)
    assert [who for who, _ in found] == [who for who, _ in true]
    assert all(abs(at - step) <= 20 for (_, at), (_, step) in zip(found, true, strict=True))
    assert lake.rows("SELECT count(DISTINCT session) FROM step_training_set") == [(3,)]


def test_what_can_not_be_converted_is_said_in_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "steps"
    missing = convert(folder, tmp_path / "out")
    assert (missing.returncode, missing.stderr) == (1, f"{folder / 'recordings.csv'}: No such file or directory\n")
    write_recordings(folder)
    assert convert(folder, folder).stderr == f"{folder}: holds something already, name a new folder\n"
    (folder / "foot_pads.parquet").write_text("no Parquet")
    broken = convert(folder, tmp_path / "out")
    assert broken.returncode == 1
    assert broken.stderr.startswith(f"{folder} can't be read as the Oxford step counter data set: ")
    assert broken.stderr.count("\n") == 1


def test_real_walking_is_labelled_as_its_true_steps_say(tmp_path: Path, lake: Lake) -> None:
    if not (SHARED / "steps").is_dir():
        pytest.skip("the Oxford recordings are not here (../shared/data/steps)")
    truth = tmp_path / "truth.csv"
    done = convert(SHARED / "steps", lake.landing, "--truth", truth)
    assert done.returncode == 0, done.stderr
    report = lake.run(select=["step_training_set"])
    assert report.tables["step_trainer_trusted"].rows == 78_839
    # Labels are at least 0.2 s apart, so no two of them are within 0.1 s of one step.
    [(labels, steps, hits)] = duckdb.execute(
        """
        WITH derived AS (SELECT unnest($emails) AS user, unnest($times) AS at_ms), true_steps AS (FROM read_csv($truth)),
        near AS (
            SELECT DISTINCT d.user, d.at_ms FROM derived AS d JOIN true_steps AS t
              ON t.user = d.user AND abs(t.timeStamp - d.at_ms) <= 100
        )
        SELECT (SELECT count(*) FROM derived), (SELECT count(*) FROM true_steps), (SELECT count(*) FROM near)
        """,
        dict(zip(("emails", "times"), map(list, zip(*lake.rows(DERIVED), strict=True)), strict=True))
        | {"truth": str(truth)},
    ).fetchall()
    # All 13,669 labels are true steps; of the 13,740 true steps 71 are pressed together or within 0.2 s.
    assert 2 * hits / (labels + steps) >= 0.97
