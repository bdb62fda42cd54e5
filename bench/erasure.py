"""Time `stedi erase` of one person and of many against a full run. Print ratios, and the speed of the scan.

Usage: erasure.py [--customers N] [--readings N] [--people N]. Works in `bench/work`.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE / "work"
STEDI = Path(sys.executable).with_name("stedi")
# Addresses of people with devices, who have most to erase.
PEOPLE = "SELECT email FROM customers_curated ORDER BY hash(email) LIMIT {}"


def measure(command: list[str | Path]) -> tuple[float, float, str]:
    """Run a command; return its wall time and CPU time in seconds, and its standard output."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu, done.stdout


def main() -> None:
    """Simulate once; then run, erase one person, restore, and erase many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=24_000)
    parser.add_argument("--readings", type=int, default=2_000_000)
    parser.add_argument("--people", type=int, default=1_000)
    options = parser.parse_args()
    simulated = WORK / f"landing-{options.customers}-{options.readings}"
    if not simulated.exists():
        size = ["--customers", str(options.customers), "--readings", str(options.readings), "--days", "14", "--seed", "1"]
        subprocess.run([STEDI, "simulate", simulated, *size, "--clean"], check=True)
    landing, lakehouse = WORK / "landing-erased", WORK / "lakehouse-erased"
    common: list[str | Path] = [STEDI, "--landing", landing, "--warehouse", lakehouse]
    rows = []
    for people in (1, options.people):
        for folder in (landing, lakehouse, lakehouse.with_name(f"{lakehouse.name}-privacy")):
            shutil.rmtree(folder, ignore_errors=True)
        # Without the simulator's ground truth, which is in a folder of no feed.
        shutil.copytree(simulated, landing, ignore=shutil.ignore_patterns("ground_truth"))
        run_wall, run_cpu, _ = measure([*common, "run"])
        addresses = WORK / "addresses.txt"
        _, _, printed = measure([*common, "query", PEOPLE.format(people), "--json"])
        addresses.write_text("\n".join(row[0] for row in json.loads(printed)["rows"]))
        wall, cpu, printed = measure([*common, "erase", "--file", addresses, "--yes", "--json"])
        certificate = Path(json.loads(printed)["certificate"]).with_suffix(".json")
        scan = json.loads(certificate.read_text())["certificate"]["scan"]
        rows.append((people, run_wall, run_cpu, wall, cpu, scan))
    for people, run_wall, run_cpu, wall, cpu, scan in rows:
        speed = scan["bytes_unpacked"] / 1e6 / (scan["milliseconds"] / 1000)
        print(
            f"erase {people:5,}: {wall:7.1f} s, {wall / run_wall:5.2f} of a full run; CPU {cpu:7.1f} s, {cpu / run_cpu:5.2f}"
        )
        print(f"  scan: {scan['bytes_read'] / 1e6:,.0f} MB read, {speed:,.0f} MB/s unpacked, {len(scan['hits'])} hits")


if __name__ == "__main__":
    main()
