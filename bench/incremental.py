"""Time runs with 1% new files against the full run before them, and print the ratio.

Usage: incremental.py [--customers N] [--readings N] [--batches N]. Works in `bench/work`. The default is 2 million
customer, 30 million accelerometer and 10 million step-trainer records. Each batch is one percent of them.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE / "work"
STEDI = Path(sys.executable).with_name("stedi")
FEEDS = ("customer", "accelerometer", "step_trainer")


def seconds(command: list[str | Path]) -> float:
    """Run a command and return its wall time in seconds."""
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Simulate once, run without the files of the batches, then add the batches one by one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_150_000)
    parser.add_argument("--readings", type=int, default=30_000_000)
    parser.add_argument("--batches", type=int, default=5)
    options = parser.parse_args()
    whole = WORK / f"whole-{options.customers}-{options.readings}"
    if not whole.exists():
        size = ["--customers", str(options.customers), "--readings", str(options.readings), "--days", "30", "--seed", "2"]
        subprocess.run([STEDI, "simulate", whole, *size], check=True)
    landing, lakehouse = WORK / "landing-in-parts", WORK / "lakehouse-in-parts"
    shutil.rmtree(landing, ignore_errors=True)
    shutil.rmtree(lakehouse, ignore_errors=True)
    batch_files: list[list[Path]] = [[] for _ in range(options.batches)]
    for feed in FEEDS:
        files = sorted(file for file in (whole / feed).rglob("*") if file.is_file())
        plain = [file for file in files if file.parent == whole / feed and "uploaded" not in file.name]
        share = max(1, round(len(plain) / 100))
        middle = len(plain) // 2
        for batch in range(options.batches):
            batch_files[batch] += plain[middle + batch * share : middle + (batch + 1) * share]
        for file in set(files) - {file for batch in batch_files for file in batch}:
            link(file, whole, landing)
    run: list[str | Path] = [STEDI, "--landing", landing, "--warehouse", lakehouse, "run"]
    full = seconds(run)
    print(f"full run       {full:7.2f} s", flush=True)
    batches = []
    for batch in batch_files:
        for file in batch:
            link(file, whole, landing)
        batches.append(seconds(run))
    idle = [seconds(run) for _ in range(3)]
    print(f"1% new         {statistics.median(batches):7.2f} s  ({', '.join(f'{t:.2f}' for t in batches)})")
    print(f"ratio          {statistics.median(batches) / full:7.3f}")
    print(f"nothing new    {statistics.median(idle):7.2f} s")


def link(file: Path, whole: Path, landing: Path) -> None:
    """Link a file into the landing folder."""
    target = landing / file.relative_to(whole)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.hardlink_to(file)


if __name__ == "__main__":
    main()
