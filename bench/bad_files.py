"""Time the scanner on damaged landing files and on a clean one, at two sizes each, in CPU seconds per MB.

Usage: bad_files.py [--megabytes N]. The clean file is also read by the engine's fast path. Time per MB that grows with
the size is a defect.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.compute.duckdb import DuckDBBackend
from stedi.ingest.listing import list_files
from stedi.ingest.records import to_row
from stedi.ingest.scanner import scan_records
from stedi.tables.landing.feeds import FEEDS

FEED = next(feed for feed in FEEDS if feed.name == "accelerometer")
READING = json.dumps({"user": "ann@x.org", "timeStamp": 1655563258079, "x": 0.25, "y": -1.0, "z": 9.75})
CHANGE = json.dumps({"email": "ann@x.org", "lastUpdateDate": 1655563258079, "shareWithResearchAsOfDate": 1655563258079})
LONG = json.dumps({"email": "ann@x.org", "previous": [json.loads(CHANGE)] * 11_000})


def lines(line: str) -> Callable[[int], str]:
    """Return a function that repeats a line up to a number of characters."""
    return lambda size: f"{line}\n" * max(1, size // (len(line) + 1))


def envelope(before: str, between: str = ", ", after: str = "]}") -> Callable[[int], str]:
    """Return a function that puts readings into a list of one record, up to a number of characters."""
    return lambda size: before + between.join([READING] * (size // len(READING + between))) + after


def pretty(size: int) -> str:
    """Return a pretty-printed array of customers with an error in each record, truncated at its end."""
    customer = json.dumps({"email": "ann@x.org", "name": "NAME", "previous": [json.loads(CHANGE)] * 5}, indent=0)
    return "[\n" + ",\n".join([customer.replace("NAME", 'O"Neill')] * (size // len(customer))) + ',\n{\n"email'


CLEAN = "clean, one record a line"
FILES: dict[str, Callable[[int], str]] = {
    CLEAN: lines(READING),
    "lines cut in a list, behind a colon": lines('{"user":"a@b.c","timestamp":1,"tags":[{"k":1},{"k":'),
    "lines cut in a list, behind a comma": lines('{"user":"a@b.c","timestamp":1,"tags":[{"k":1},'),
    "lines cut between fields": lines('{"user":"a@b.c","timestamp":1,"x":'),
    "strings without end": lines('{"user":"a@b.c","timestamp":1,"x":"1'),
    "an envelope of readings": envelope('{"data": ['),
    "an envelope behind a short record": envelope(f'{READING}\n{{"data": [', ",\n"),
    "an envelope that breaks off": envelope('{"data": [\n', ",\n", ""),
    "pretty-printed, with errors, cut": pretty,
    "long records with lists of changes": lines(LONG),
    "the same, each with an error": lines(LONG.replace("1655563258079", "NaN", 1)),
    "one endless line": lambda size: '{"user": "' + "x" * size,
    "nested deeply": lambda size: '{"user": ' + "[" * size,
    "binary": lambda size: random.Random(7).randbytes(size).decode("latin-1"),
}


def seconds(work: Callable[[], None]) -> float:
    """Return the CPU seconds of a call."""
    before = time.process_time()
    work()
    return time.process_time() - before


def scan(path: Path) -> None:
    """Scan and type all records of a file."""
    [file] = [file for file in list_files(str(path.parents[1]), FEED) if file.path == str(path)]
    for position, record in enumerate(scan_records(path), start=1):
        to_row(FEED, file, position, record)


def main() -> None:
    """Write each file at two sizes, scan it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=5, help="size of the larger files")
    options = parser.parse_args()
    sizes = [int(options.megabytes * 1e6) // 3, int(options.megabytes * 1e6)]
    times: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / FEED.folders[0] / "a.json"
        path.parent.mkdir()
        for name, make in FILES.items():
            times[name] = []
            for size in sizes:
                path.write_bytes(make(size).encode("latin-1"))
                times[name].append(seconds(lambda: scan(path)) / path.stat().st_size * 1e6)
        path.write_bytes(FILES[CLEAN](sizes[1] * 10).encode())
        with DuckDBBackend(scratch=Path(folder), threads=1) as engine:
            files = list_files(folder, FEED)
            engine.ingest(FEED, files)
            fast = seconds(lambda: engine.ingest(FEED, files) and None) / path.stat().st_size * 1e6
    small, large = (f"{size / 1e6:g} MB" for size in sizes)
    print(f"CPU seconds per MB; the clean file takes {fast:.3f} on the fast path")
    print(f"{'':38}{small:>8}{large:>8}{'growth':>8}{'to clean':>10}{'to fast':>9}")
    for name, (first, second) in times.items():
        print(f"{name:38}{first:8.3f}{second:8.3f}{second / first:8.1f}{second / times[CLEAN][1]:10.1f}{second / fast:9.0f}")


if __name__ == "__main__":
    main()
