"""What is wrong with the format of real files: records delivered again in every layout that writers use."""

import gzip
import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_RECORDS_A_FILE = 400
_RECORDS_A_LINE = 3


def spoil(folder: Path, feed: str) -> None:
    """Deliver a feed's first file with records once more, and its first records once more in every layout.

    Everything lies in `retries/` below the feed's folder. Each record is also in a sound file, so
    that a broken one takes nothing away from the truth.
    """
    source = min((file for file in folder.glob("*.json") if file.stat().st_size), default=None)
    if source is None:
        return
    retries = folder / "retries"
    retries.mkdir()
    shutil.copyfile(source, retries / f"{feed}-again.json")
    with source.open("rb") as file:
        lines = [line.rstrip(b"\n") for line in islice(file, _RECORDS_A_FILE)]
    for name, content in _layouts(lines):
        (retries / f"{feed}-{name}").write_bytes(content)


def _layouts(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of a file in each layout, from records of one line each."""
    plain = _joined(lines)
    records = [json.loads(line) for line in lines]
    middle = len(lines) // 2
    yield "crlf.json", plain.replace(b"\n", b"\r\n")
    yield "byte-order-mark.jsonl", b"\xef\xbb\xbf" + plain
    yield "array.json", b"[" + b",\n".join(lines) + b"]"
    yield "back-to-back.ndjson", b"".join(lines)
    full_lines = [b"".join(lines[at : at + _RECORDS_A_LINE]) for at in range(0, middle, _RECORDS_A_LINE)]
    yield "some-lines-full.json", _joined([*full_lines, *lines[middle:]])
    yield "trailing-commas.json", b",\n".join(lines) + b",\n"
    yield "blank-lines.json", b"\n" + plain.replace(b"\n", b"\n \n\n")
    yield "zipped.json.gz", gzip.compress(plain, mtime=0)
    yield "unfinished.json", plain[: len(plain) - len(lines[-1]) // 2 - 1]
    yield "empty.json", b""
    yield "garbled.json", _joined([*lines[:middle], b'{"garbled": \xff\xfe', *lines[middle + 1 :]])
    yield "unknown-key.json", _joined([_line(record | {"appVersion": "2.1"}) for record in records])
    lower = [_line({key.lower(): value for key, value in record.items()}) for record in records]
    yield "lower-case-keys.json", _joined(lower)
    yield "mixed-case-keys.json", _joined([*lines[:middle], *lower[middle:]])
    texts = [_line({key: str(value) for key, value in record.items()}) for record in records]
    yield "numbers-as-strings.json", _joined(texts)


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode()
