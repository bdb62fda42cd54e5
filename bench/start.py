"""Time the start of short commands, in wall time and CPU time, optionally against another version of the program.

Usage: start.py [--before PATH_TO_OTHER_STEDI] [--rounds N]. Each version works on a small warehouse of its own in
`bench/work/start`, which is emptied first. Rounds are interleaved, and the first one is not counted.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

WORK = Path(__file__).parent / "work" / "start"
STEDI = Path(sys.executable).with_name("stedi")
COMMANDS = {"--version": ["--version"], "--help": ["--help"], "tables": ["tables"], "run, nothing new": ["run"]}


def call(program: Path, folder: Path, *arguments: str) -> tuple[float, float]:
    """Run a command; return its wall time and its CPU time in seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([program, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Fill a warehouse with each version, time the commands, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="program to compare with")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    programs = {"now": STEDI} if options.before is None else {"before": options.before.resolve(), "now": STEDI}
    shutil.rmtree(WORK, ignore_errors=True)
    for version, program in programs.items():
        (WORK / version).mkdir(parents=True)
        call(program, WORK / version, "simulate", "landing", "--customers", "50", "--days", "1")
        call(program, WORK / version, "run")
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(options.rounds + 1):
        for command, arguments in COMMANDS.items():
            for version, program in programs.items():
                seconds = call(program, WORK / version, *arguments)
                if number:
                    times.setdefault((command, version), []).append(seconds)
    print(f"medians of {options.rounds} rounds, load {os.getloadavg()[0]:.1f}: seconds by the clock, CPU time in brackets")
    for command in COMMANDS:
        medians = {
            version: [statistics.median(figures) for figures in zip(*times[command, version], strict=True)]
            for version in programs
        }
        line = "  ".join(f"{version} {wall:.3f} ({cpu:.3f})" for version, (wall, cpu) in medians.items())
        if "before" in medians:
            wall, cpu = (new / old for new, old in zip(medians["now"], medians["before"], strict=True))
            line += f"  ratio {wall:.2f} ({cpu:.2f})"
        print(f"{command:17} {line}")


if __name__ == "__main__":
    main()
