"""The public landing set: its counts under both policies, and the same tables from every layout of its files."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stedi.tables.registry import REFRESHED
from tests.support.lake import PUBLIC_COUNTS, Lake

Layout = Callable[[Sequence[bytes]], bytes]


def _as_strings(lines: Sequence[bytes]) -> bytes:
    records = (json.loads(line) for line in lines)
    return b"".join(json.dumps({key: str(value) for key, value in record.items()}).encode() + b"\n" for record in records)


def _keys(lines: Sequence[bytes], spell: Callable[[str], str]) -> bytes:
    records = (json.loads(line) for line in lines)
    return b"".join(json.dumps({spell(key): value for key, value in record.items()}).encode() + b"\n" for record in records)


LAYOUTS: dict[str, tuple[str, Layout]] = {
    "back to back": ("json", b"".join),
    "several on some lines": ("json", lambda lines: b"".join(line + b"\n" * (n % 3 == 0) for n, line in enumerate(lines))),
    "trailing commas": ("ndjson", lambda lines: b",\n".join(lines) + b",\n"),
    "one array": ("json", lambda lines: b"[" + b",\n".join(lines) + b"]"),
    "CRLF": ("jsonl", lambda lines: b"\r\n".join(lines) + b"\r\n"),
    "byte-order mark": ("json", lambda lines: b"\xef\xbb\xbf" + b"\n".join(lines)),
    "gzip": ("json.gz", lambda lines: gzip.compress(b"\n".join(lines), compresslevel=1)),
    "blank lines": ("JSON", lambda lines: b"\n\n".join(lines)),
    "numbers as strings": ("json", _as_strings),
    "lower-case keys": ("json", lambda lines: _keys(lines, str.lower)),
}


def _tables(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Rows of every table but for which file they came in."""
    found = {}
    for table in REFRESHED:
        columns = [c.name for c in table.columns if c.name not in ("source_file", "source_position", "arrived_at")]
        names = ", ".join(f'"{name}"' for name in columns)
        found[table.name] = lake.rows(f"SELECT {names}, count(*) FROM {table.name} GROUP BY ALL ORDER BY ALL")
    return found


def _rewritten(source: Path, lake: Lake, layout: str) -> Lake:
    ending, write = LAYOUTS[layout]
    for file in sorted(source.glob("*/*")):
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
        lake.land(f"{file.parent.name}/{file.stem}.{ending}", write(lines))
    return lake


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    source = Path(__file__).parents[3] / "shared/data/landing"
    if not source.is_dir():
        pytest.skip("the public landing set is not here (../shared/data/landing)")
    lake = Lake(tmp_path_factory.mktemp("as-published"))
    lake.settings = lake.settings.model_copy(update={"landing": str(source)})
    lake.run()
    return _tables(lake)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_files_gives_the_same_tables(
    public_landing_set: Path, expected: dict[str, list[tuple[object, ...]]], lake: Lake, layout: str
) -> None:
    report = _rewritten(public_landing_set, lake, layout).run()
    assert sum(report.quarantined.values()) == 0
    assert {name: report.tables[name].rows for name in PUBLIC_COUNTS["customer"]} == PUBLIC_COUNTS["customer"]
    assert _tables(lake) == expected
