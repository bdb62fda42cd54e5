"""Time `stedi run` on Spark and on the embedded engine, in interleaved rounds, and print the ratios.

Usage: spark.py [--readings N …] [--rounds N]. Works in `bench/work`. Each number of accelerometer readings is a data
set with all defects. Customers and step trainers add a third more records. Each run is a process of its own on an empty
warehouse.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

WORK = Path(__file__).parent / "work"
STEDI = Path(sys.executable).with_name("stedi")
ENGINES = ("embedded", "spark")


def seconds(landing: Path, engine: str) -> float:
    """Return the wall time in seconds of a run on an empty warehouse."""
    lakehouse = WORK / f"lakehouse-{engine}"
    shutil.rmtree(lakehouse, ignore_errors=True)
    command: list[str | Path] = [STEDI, "--landing", landing, "--warehouse", lakehouse, "run", "--engine", engine]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Simulate each size once, time both engines in turn, and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, nargs="+", default=[200_000, 3_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for readings in options.readings:
        landing = WORK / f"both-engines-{readings}"
        if not landing.exists():
            size = ["--customers", str(readings // 200), "--readings", str(readings), "--days", "5", "--seed", "3"]
            subprocess.run([STEDI, "simulate", landing, *size], check=True, stdout=subprocess.DEVNULL)
        times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(options.rounds):
            for engine in ENGINES:
                times[engine].append(seconds(landing, engine))
        embedded, spark = (statistics.median(times[engine]) for engine in ENGINES)
        print(
            f"{readings:>10,} readings: embedded {embedded:7.2f} s, spark {spark:7.2f} s, ratio {spark / embedded:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
