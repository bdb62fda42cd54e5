"""Time many small runs in a row, each with one new file, and count the files that they leave.

Usage: many_runs.py [--runs N] [--readings N]. Works in `bench/work/many-runs`, which it empties first.
"""

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path

from stedi.config import Settings
from stedi.pipeline import run
from stedi.verify.verify import verify

WORK = Path(__file__).parent / "work" / "many-runs"
PEOPLE = 50
DAY_MS = 86_400_000
# One run an hour, so that partitions fill up and new ones begin.
RUNS_A_DAY = 24
FEEDS = ("accelerometer", "step_trainer")


def land(landing: Path, feed: str, name: str, records: list[dict[str, object]]) -> None:
    """Write one landing file, one record a line."""
    path = landing / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def people() -> list[dict[str, object]]:
    """Return a consenting customer record for each person."""
    consent = {"registrationDate": 1, "lastUpdateDate": 1, "shareWithResearchAsOfDate": 1}
    return [{"email": f"person-{p}@example.org", "serialNumber": f"device-{p}", **consent} for p in range(PEOPLE)]


def readings(feed: str, number: int, count: int) -> list[dict[str, object]]:
    """Return the readings of one file. Both sensors have the same reading times."""
    hour = number // len(FEEDS)
    first_ms = DAY_MS * (20_000 + hour // RUNS_A_DAY) + hour % RUNS_A_DAY * 3_600_000
    records: list[dict[str, object]] = []
    for i in range(count):
        person, at = i % PEOPLE, first_ms + i // PEOPLE * 100
        if feed == "accelerometer":
            records.append({"user": f"person-{person}@example.org", "timeStamp": at, "x": i % 3 - 1, "y": 0.5, "z": 1.0})
        else:
            records.append(
                {"sensorReadingTime": at, "serialNumber": f"device-{person}", "distanceFromObject": 200 + i % 100}
            )
    return records


def main() -> None:
    """Run, and compare the last runs with early ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--readings", type=int, default=500, help="records in each new file")
    options = parser.parse_args()
    if options.runs < 30:
        parser.error("give at least 30 runs")
    shutil.rmtree(WORK, ignore_errors=True)
    settings = Settings.model_validate({"landing": str(WORK / "landing"), "warehouse": str(WORK / "lakehouse")})
    land(WORK / "landing", "customer", "people.json", people())
    seconds: list[float] = []
    files: list[int] = []
    for number in range(options.runs):
        feed = FEEDS[number % len(FEEDS)]
        land(WORK / "landing", feed, f"{number:05d}.json", readings(feed, number, options.readings))
        started = time.monotonic()
        run(settings)
        seconds.append(time.monotonic() - started)
        files.append(sum(path.is_file() for path in (WORK / "lakehouse").rglob("*")))
    wrong = [finding for finding in verify(settings) if not finding.holds]
    # Medians of about ten runs, of which at most one does maintenance.
    early, late = statistics.median(seconds[4:15]), statistics.median(seconds[-10:])
    maintenance = [s for number, s in enumerate(seconds, start=1) if number % settings.maintain_every == 0]
    size = sum(path.stat().st_size for path in (WORK / "lakehouse").rglob("*") if path.is_file())
    print(f"runs 5 to 15       {early:7.3f} s")
    print(f"the last ten       {late:7.3f} s")
    print(f"ratio              {late / early:7.2f}")
    print(f"with maintenance   {maintenance[0]:7.3f} s at first, {maintenance[-1]:.3f} s at last")
    print(f"files              {files[-1]:7d}     (most {max(files)}, {max(files[: len(files) // 2])} in the first half)")
    print(f"size               {size / 2**20:7.1f} MiB")
    print(f"verify             {'nothing wrong' if not wrong else f'{len(wrong)} findings'}")


if __name__ == "__main__":
    main()
