"""Time the SQL condition for clean records: its shortcuts, its direct tests alone, and no condition at all.

Usage: clean_records.py [--megabytes N]. Reads one clean file of accelerometer readings in each way, three times in turn,
and prints the least CPU seconds per MB.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bad_files import CLEAN, FEED, FILES

from stedi.compute.duckdb import DuckDBBackend, clean_records, landing_reader
from stedi.ingest.listing import list_files
from stedi.model.feed import Feed
from stedi.model.sql import literal, literals, quoted


def has_known_keys_once(feed: Feed, keys: Sequence[str]) -> str:
    """List the keys of each record."""
    present = " + ".join(f"({quoted(field.name)} IS NOT NULL)::INTEGER" for field in feed.fields)
    places = f"[{literals('$.' + key for key in keys)}]"
    return (
        f"list_has_all([{literals(keys)}], json_keys(json)) AND list_unique(json_keys(json)) = len(json_keys(json)) "
        f"AND len(json_keys(json)) = {present} + len(list_filter(json_type(json, {places}), lambda kind: kind = 'NULL')) "
        "AND NOT suffix(rtrim(left(json, -1), ' \t\r'), ',')"
    )


def spells_values_as_json_does(feed: Feed, keys: Sequence[str]) -> list[str]:
    """Ask for the type of each value, and look at the text of each number."""
    numbers = [f"$.{key}" for key, field in zip(keys, feed.fields, strict=True) if field.kind != "text"]
    texts = f"json_extract_string(json, [{literals(numbers)}])"
    return [
        f"NOT list_contains(json_type(json, [{literals('$.' + key for key in keys)}]), 'BOOLEAN')",
        f"len(list_filter({texts}, lambda text: contains(text, '_') OR contains(text, '+-'))) = 0",
    ]


def is_plain_text(key: str, value: str) -> str:
    """Ask for the type of a text, and trim it."""
    return (
        f"(json_type(json, {literal('$.' + key)}) = 'VARCHAR' AND trim({value}) <> '' "
        f"AND NOT starts_with({value}, '[') AND NOT starts_with({value}, '{{'))"
    )


def main() -> None:
    """Write the file, read it in each way, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50)
    megabytes = parser.parse_args().megabytes
    shortcuts = {
        name: getattr(clean_records, name)
        for name in ("_has_known_keys_once", "_spells_values_as_json_does", "_is_plain_text")
    }
    direct = dict(zip(shortcuts, (has_known_keys_once, spells_values_as_json_does, is_plain_text), strict=True))
    conditions: dict[str, tuple[dict[str, Callable[..., object]], Callable[..., str]]] = {
        "with shortcuts": (shortcuts, clean_records.is_clean),
        "direct tests alone": (direct, clean_records.is_clean),
        "no condition": (shortcuts, lambda *_: "true"),
    }
    times: dict[str, list[float]] = {name: [] for name in conditions}
    with TemporaryDirectory() as folder, DuckDBBackend(scratch=Path(folder), threads=1) as backend:
        path = Path(folder) / FEED.folders[0] / "a.json"
        path.parent.mkdir()
        path.write_text(FILES[CLEAN](int(megabytes * 1e6)))
        files = list_files(folder, FEED)
        for _ in range(3):
            for name, (parts, condition) in conditions.items():
                for part, function in parts.items():
                    setattr(clean_records, part, function)
                landing_reader.is_clean = condition  # type: ignore[assignment]
                before = time.process_time()
                backend.ingest(FEED, files)
                times[name].append((time.process_time() - before) / megabytes)
    for name, seconds in times.items():
        print(f"{name:20}{min(seconds):.4f} s/MB")


if __name__ == "__main__":
    main()
