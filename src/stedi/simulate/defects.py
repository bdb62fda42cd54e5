"""Write files with format defects: records repeated in each layout, encoding and damage that occurs in real feeds."""

import gzip
import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_RECORDS_PER_FILE = 400
_RECORDS_PER_LINE = 3


def write_defects(folder: Path, feed: str) -> None:
    """Write a copy of a feed's first file, and of its first records in each layout, to `retries/` in the feed's folder.

    Each record is also in an intact file, so the defects do not change the ground truth.
    """
    source = min((file for file in folder.glob("*.json") if file.stat().st_size), default=None)
    if source is None:
        return
    retries = folder / "retries"
    retries.mkdir()
    shutil.copyfile(source, retries / f"{feed}-again.json")
    with source.open("rb") as file:
        lines = [line.rstrip(b"\n") for line in islice(file, _RECORDS_PER_FILE)]
    for name, content in _layouts(lines):
        (retries / f"{feed}-{name}").write_bytes(content)


def _layouts(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of a file in each layout, from records of one line each."""
    plain = _join(lines)
    records = [json.loads(line) for line in lines]
    middle = len(lines) // 2
    yield "crlf.json", plain.replace(b"\n", b"\r\n")
    yield "byte-order-mark.jsonl", b"\xef\xbb\xbf" + plain
    yield "array.json", b"[" + b",\n".join(lines) + b"]"
    yield "back-to-back.ndjson", b"".join(lines)
    shared_lines = [b"".join(lines[at : at + _RECORDS_PER_LINE]) for at in range(0, middle, _RECORDS_PER_LINE)]
    yield "some-lines-full.json", _join([*shared_lines, *lines[middle:]])
    yield "trailing-commas.json", b",\n".join(lines) + b",\n"
    yield "blank-lines.json", b"\n" + plain.replace(b"\n", b"\n \n\n")
    yield "zipped.json.gz", gzip.compress(plain, mtime=0)
    yield "unfinished.json", plain[: len(plain) - len(lines[-1]) // 2 - 1]
    yield "empty.json", b""
    yield "garbled.json", _join([*lines[:middle], b'{"garbled": \xff\xfe', *lines[middle + 1 :]])
    yield "unknown-key.json", _join([_line(record | {"appVersion": "2.1"}) for record in records])
    lower = [_line({key.lower(): value for key, value in record.items()}) for record in records]
    yield "lower-case-keys.json", _join(lower)
    yield "mixed-case-keys.json", _join([*lines[:middle], *lower[middle:]])
    texts = [_line({key: str(value) for key, value in record.items()}) for record in records]
    yield "numbers-as-strings.json", _join(texts)


def _join(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode()
