"""Time and peak memory of each step of a training on simulated readings.

Usage: training.py [--customers N] [--readings N] [--memory-limit SIZE] [--prepare]. Works in `bench/work`, on the landing
files that incremental.py makes. The default lands 30 million accelerometer readings. With `--prepare` it stops before the
fitting, which takes the same time for any number of readings above ten hours of motion. Needs Linux for peak memory.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stedi.config import Settings
from stedi.model.progress import Progress
from stedi.pipeline import run
from stedi.steps.workflows import load_examples, train

WORK = Path(__file__).parent / "work"
PROCESS = Path("/proc/self")


class StepTimes:
    """Prints a line for each step when the next begins."""

    def __init__(self) -> None:
        self._begin("starting")
        print(f"{'step':56}{'clock s':>9}{'CPU s':>9}{'MB':>8}")

    def _begin(self, step: str) -> None:
        self._step, self._clock, self._cpu = step, time.monotonic(), time.process_time()
        # Resets the peak memory of the process (proc(5)).
        (PROCESS / "clear_refs").write_text("5")

    def next(self, step: str) -> None:
        """Print the line of the current step, and begin another."""
        status = dict(line.split(":", 1) for line in (PROCESS / "status").read_text().splitlines())
        megabytes = int(status["VmHWM"].split()[0]) // 1024
        clock, cpu = time.monotonic() - self._clock, time.process_time() - self._cpu
        print(f"{self._step:56}{clock:9.1f}{cpu:9.1f}{megabytes:8,}", flush=True)
        self._begin(step)

    def report(self, progress: Progress) -> None:
        """Begin another step if the progress is of another step."""
        if progress.step != self._step:
            self.next(progress.step)


def main() -> None:
    """Simulate if there are no landing files, run, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_150_000)
    parser.add_argument("--readings", type=int, default=30_000_000)
    parser.add_argument("--memory-limit", metavar="SIZE", help="memory limit of the engine, such as 2GB")
    parser.add_argument("--prepare", action="store_true", help="stop before the fitting")
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
    steps = StepTimes()
    steps.next("all tables except the training set")
    run(settings)
    steps.next("second run")
    if options.prepare:
        load_examples(settings, 1, steps.report)
    else:
        train(settings, progress=steps.report)
    steps.next("end")


if __name__ == "__main__":
    main()
