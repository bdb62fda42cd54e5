"""Train on simulated readings, and print for each part of the work its time and the most memory that it took.

Usage: training.py [--customers N] [--readings N] [--memory-limit SIZE] [--prepare]. Works in `bench/work`,
on the landing files that incremental.py makes. The default lands 30 million accelerometer readings. With
`--prepare` it ends where learning begins, which from ten hours of motion on takes as long for any number of
readings. Needs Linux, which tells how much memory a process took.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stedi.config import Settings
from stedi.pipeline import run
from stedi.steps.train import prepared, train

WORK = Path(__file__).parent / "work"
SELF = Path("/proc/self")


class Parts:
    """Prints a line for each part of the work when the next begins."""

    def __init__(self) -> None:
        self._begin("starting")
        print(f"{'part':56}{'clock s':>9}{'CPU s':>9}{'MB':>8}")

    def _begin(self, what: str) -> None:
        self._what, self._clock, self._cpu = what, time.monotonic(), time.process_time()
        # Forgets the most memory so far (proc(5)).
        (SELF / "clear_refs").write_text("5")

    def next(self, what: str) -> None:
        """What was under way is over, and another part begins."""
        status = dict(line.split(":", 1) for line in (SELF / "status").read_text().splitlines())
        took = int(status["VmHWM"].split()[0]) // 1024
        clock, cpu = time.monotonic() - self._clock, time.process_time() - self._cpu
        print(f"{self._what:56}{clock:9.1f}{cpu:9.1f}{took:8,}", flush=True)
        self._begin(what)


def main() -> None:
    """Simulate where need be, run, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_150_000)
    parser.add_argument("--readings", type=int, default=30_000_000)
    parser.add_argument("--memory-limit", metavar="SIZE", help="the engine's, such as 2GB")
    parser.add_argument("--prepare", action="store_true", help="end where learning begins")
    options = parser.parse_args()
    whole = WORK / f"whole-{options.customers}-{options.readings}"
    if not whole.exists():
        size = ["--customers", str(options.customers), "--readings", str(options.readings), "--days", "30", "--seed", "2"]
        subprocess.run([Path(sys.executable).with_name("stedi"), "simulate", whole, *size], check=True)
    lakehouse = WORK / "lakehouse-to-train-on"
    shutil.rmtree(lakehouse, ignore_errors=True)
    settings = Settings.model_validate(
        {"landing": str(whole), "warehouse": str(lakehouse), "memory_limit": options.memory_limit, "pseudonym_key": "bench"}
    )
    parts = Parts()
    parts.next("all tables but the training set")
    run(settings)
    parts.next("looking for what is new")
    if options.prepare:
        prepared(settings, 1, parts.next)
    else:
        train(settings, progress=parts.next)
    parts.next("the end")


if __name__ == "__main__":
    main()
