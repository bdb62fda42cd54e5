"""Time `stedi run` against the hand-written script in interleaved rounds. Print medians and their ratio.

Usage: compare.py [--customers N] [--readings N] [--rounds N]. Works in `bench/work`.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE / "work"
STEDI = Path(sys.executable).with_name("stedi")
# The script resolves owners by coincidences alone, which is correct if every device has one owner with their own phone.
ONE_OWNER = ("--shared-homes", "0", "--hand-overs", "0", "--without-phone", "0")


def seconds(command: list[str | Path], remove: Path) -> float:
    """Delete a folder, run a command, and return its wall time in seconds."""
    shutil.rmtree(remove, ignore_errors=True)
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Simulate once, then time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=240_000)
    parser.add_argument("--readings", type=int, default=6_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    landing = WORK / f"landing-{options.customers}-{options.readings}"
    if not landing.exists():
        size = ["--customers", str(options.customers), "--readings", str(options.readings), "--days", "14", "--seed", "1"]
        subprocess.run([STEDI, "simulate", landing, *size, "--clean", *ONE_OWNER], check=True)
    lakehouse, plain = WORK / "lakehouse", WORK / "plain"
    run = [STEDI, "--landing", landing, "--warehouse", lakehouse, "run"]
    ours, script = [], []
    for _ in range(options.rounds):
        ours.append(seconds(run, lakehouse))
        script.append(seconds([sys.executable, HERE / "handwritten.py", landing, plain], plain))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    started = time.monotonic()
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    idle = time.monotonic() - started
    print(f"stedi run      {statistics.median(ours):7.2f} s  ({', '.join(f'{t:.2f}' for t in ours)})")
    print(f"hand-written   {statistics.median(script):7.2f} s  ({', '.join(f'{t:.2f}' for t in script)})")
    print(f"ratio          {statistics.median(ours) / statistics.median(script):7.2f}")
    print(f"nothing new    {idle:7.2f} s")
    print(f"peak memory    {peak:7.2f} GiB (the larger of the two)")


if __name__ == "__main__":
    main()
