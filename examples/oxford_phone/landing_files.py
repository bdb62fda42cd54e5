"""Turn the Oxford step counter data set into landing files, as three customers with a step trainer would send them.

Usage: landing_files.py FOLDER OUT [--truth FILE] [--positions FILE]. FOLDER holds `recordings.csv`, `accelerometer.parquet`
and `foot_pads.parquet`; README.md says what they hold, and what is made of them. With `--truth`, the
true steps of FOLDER's `steps.csv` are written beside, on the same clock; nothing else reads them. With
`--positions`, so is where the phone was in each recording.
"""

import argparse
import errno
import sys
from pathlib import Path

import duckdb

# 2018-01-01 00:00 UTC. The recordings bear no date, so they follow each other from here, a minute apart.
FIRST_MS = 1_514_764_800_000
APART_MS = 60_000
DAY_MS = 86_400_000
# Nothing near, and a foot: distances as a step trainer gives them.
FLOOR, FOOT = 250, 60
# The pads report on the phone's clock, but not at the phone's very moments, which a step trainer does.
# At 100 Hz a reading of the phone is never further away; where the phone paused, the pad keeps its own time.
SAME_MOMENT_MS = 10

_FILES = {"listed": "recordings.csv", "accelerometer": "accelerometer.parquet", "foot_pads": "foot_pads.parquet"}

# Whose recording each is, and when it begins.
_RECORDINGS = f"""
CREATE TABLE recordings AS
WITH lengths AS (
    SELECT recording_id, max(t_ms)::BIGINT AS length_ms
    FROM (SELECT recording_id, t_ms FROM accelerometer UNION ALL SELECT recording_id, t_ms FROM foot_pads) AS all_times
    GROUP BY recording_id
)
SELECT r.recording_id, r."user" AS name, l.length_ms,
    lower(r."user") || '@oxford.example' AS email,
    'oxford-' || lower(r."user") AS serial,
    {FIRST_MS} + coalesce(sum(l.length_ms + {APART_MS}) OVER (
        ORDER BY r."user", r.recording_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::BIGINT AS begin_ms
FROM listed AS r JOIN lengths AS l USING (recording_id)
"""
_CUSTOMER = f"""
SELECT DISTINCT name AS customerName, email, serial AS serialNumber, {FIRST_MS - DAY_MS} AS registrationDate,
    {FIRST_MS - DAY_MS} AS lastUpdateDate, {FIRST_MS - DAY_MS} AS shareWithResearchAsOfDate
FROM recordings ORDER BY email
"""
# Stored in 32 bits, which hold six decimals of what a phone measures and noise behind them.
_ACCELEROMETER = """
SELECT r.email AS "user", r.begin_ms + a.t_ms AS timeStamp,
    round(a.x::DOUBLE, 6) AS x, round(a.y::DOUBLE, 6) AS y, round(a.z::DOUBLE, 6) AS z
FROM accelerometer AS a JOIN recordings AS r USING (recording_id) ORDER BY 1, 2
"""
# A step is where a pad that was lifted is pressed; what a pad does before its first sample nobody knows.
_STEP_TRAINER = f"""
WITH pads AS (
    SELECT recording_id, t_ms,
        foot1 > lag(foot1) OVER in_time OR foot2 > lag(foot2) OVER in_time AS set_down
    FROM foot_pads WINDOW in_time AS (PARTITION BY recording_id ORDER BY t_ms)
),
placed AS (
    SELECT p.recording_id, p.t_ms, p.set_down, earlier.t_ms AS earlier_ms, later.t_ms AS later_ms
    FROM pads AS p
    ASOF LEFT JOIN accelerometer AS earlier ON earlier.recording_id = p.recording_id AND earlier.t_ms <= p.t_ms
    ASOF LEFT JOIN accelerometer AS later ON later.recording_id = p.recording_id AND later.t_ms >= p.t_ms
),
moved AS (
    SELECT *, CASE WHEN later_ms - t_ms < coalesce(t_ms - earlier_ms, later_ms - t_ms + 1) THEN later_ms ELSE earlier_ms END
        AS nearest_ms
    FROM placed
)
SELECT r.begin_ms + CASE WHEN abs(m.nearest_ms - m.t_ms) <= {SAME_MOMENT_MS} THEN m.nearest_ms ELSE m.t_ms END
        AS sensorReadingTime,
    r.serial AS serialNumber, CASE WHEN m.set_down THEN {FOOT} ELSE {FLOOR} END AS distanceFromObject
FROM moved AS m JOIN recordings AS r USING (recording_id) ORDER BY 1
"""
_TRUTH = """
SELECT r.email AS "user", r.begin_ms + s.t_ms AS timeStamp
FROM true_steps AS s JOIN recordings AS r USING (recording_id) ORDER BY 1, 2
"""
_POSITIONS = """
SELECT r.email AS "user", r.begin_ms AS from_ms, r.begin_ms + r.length_ms AS to_ms, l.position
FROM recordings AS r JOIN listed AS l USING (recording_id) ORDER BY 1, 2
"""


def write(folder: Path, out: Path, truth: Path | None = None, positions: Path | None = None) -> None:
    """Write `customer/`, `accelerometer/` and `step_trainer/` below a folder that is empty or new.

    Raises:
        OSError: a file is missing or can't be written, or `out` holds something.
        duckdb.Error: a file is not what its name says.
    """
    files = _FILES | ({"true_steps": "steps.csv"} if truth else {})
    for file in files.values():
        (folder / file).open("rb").close()
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(errno.EEXIST, "holds something already, name a new folder", str(out))
    with duckdb.connect() as connection:
        for name, file in files.items():
            reader = "read_csv" if file.endswith(".csv") else "read_parquet"
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {reader}($file)", {"file": str(folder / file)})
        connection.execute(_RECORDINGS)
        for feed, query in (("customer", _CUSTOMER), ("accelerometer", _ACCELEROMETER), ("step_trainer", _STEP_TRAINER)):
            (out / feed).mkdir(parents=True)
            _copy(connection, query, out / feed / "oxford.json", "FORMAT json")
        if truth:
            _copy(connection, _TRUTH, truth, "FORMAT csv, HEADER")
        if positions:
            _copy(connection, _POSITIONS, positions, "FORMAT csv, HEADER")


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path, options: str) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{quoted}' ({options})")


def main() -> None:
    """Write the landing files that the command line asks for; exit code 1 with one line where that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the data set")
    parser.add_argument("out", type=Path, help="folder of the landing files, new or empty")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="also write the true steps as CSV")
    parser.add_argument("--positions", type=Path, metavar="FILE", help="also write where the phone was as CSV")
    options = parser.parse_args()
    try:
        write(options.folder, options.out, options.truth, options.positions)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    except duckdb.Error as error:
        sys.exit(f"{options.folder} can't be read as the Oxford step counter data set: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
