"""Do many small runs in a row, one new file each, and print how long they take and what they leave.

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
# Runs an hour apart, so that days fill up and new ones begin.
RUNS_A_DAY = 24
FEEDS = ("accelerometer", "step_trainer")


def land(landing: Path, feed: str, name: str, records: list[dict[str, object]]) -> None:
    """Write one landing file, one record a line."""
    path = landing / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def people() -> list[dict[str, object]]:
    """Everybody's record, with consent."""
    consent = {"registrationDate": 1, "lastUpdateDate": 1, "shareWithResearchAsOfDate": 1}
    return [{"email": f"person-{p}@example.org", "serialNumber": f"device-{p}", **consent} for p in range(PEOPLE)]


def readings(feed: str, number: int, count: int) -> list[dict[str, object]]:
    """The readings of one upload; those of both sensors are taken at the same moments."""
    hour = number // len(FEEDS)
    first_ms = DAY_MS * (20_000 + hour // RUNS_A_DAY) + hour % RUNS_A_DAY * 3_600_000
    found: list[dict[str, object]] = []
    for i in range(count):
        person, at = i % PEOPLE, first_ms + i // PEOPLE * 100
        if feed == "accelerometer":
            found.append({"user": f"person-{person}@example.org", "timeStamp": at, "x": i % 3 - 1, "y": 0.5, "z": 1.0})
        else:
            found.append({"sensorReadingTime": at, "serialNumber": f"device-{person}", "distanceFromObject": 200 + i % 100})
    return found


def main() -> None:
    """Run, and compare the last runs with the early ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--readings", type=int, default=500, help="records in each new file")
    options = parser.parse_args()
    if options.runs < 30:
        parser.error("fewer than 30 runs say nothing")
    shutil.rmtree(WORK, ignore_errors=True)
    settings = Settings.model_validate({"landing": str(WORK / "landing"), "warehouse": WORK / "lakehouse"})
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
    # Each tells of upkeep runs no more than the other: a median of ten, of which upkeep is in one.
    early, late = statistics.median(seconds[4:15]), statistics.median(seconds[-10:])
    upkeep = [s for number, s in enumerate(seconds, start=1) if number % settings.maintain_every == 0]
    size = sum(path.stat().st_size for path in (WORK / "lakehouse").rglob("*") if path.is_file())
    print(f"runs 5 to 15       {early:7.3f} s")
    print(f"the last ten       {late:7.3f} s")
    print(f"ratio              {late / early:7.2f}")
    print(f"runs with upkeep   {upkeep[0]:7.3f} s at first, {upkeep[-1]:.3f} s at last")
    print(f"files              {files[-1]:7d}     (most {max(files)}, {max(files[: len(files) // 2])} in the first half)")
    print(f"size               {size / 2**20:7.1f} MiB")
    print(f"verify             {'nothing wrong' if not wrong else f'{len(wrong)} findings'}")


if __name__ == "__main__":
    main()
