"""The same records in every layout and compression of landing files, and files with unreadable text."""

import bz2
import gzip
import json

import zstandard

from tests.support.lake import reading

ZSTD = zstandard.ZstdCompressor().compress
RECORDS = [reading("ada@x.org", 1000 + i, x=i / 4) for i in range(5)]
LINES = [json.dumps(record).encode() for record in RECORDS]
PLAIN = b"\n".join(LINES) + b"\n"
LAYOUTS = {
    "lines.json": PLAIN,
    "no-last-newline.json": PLAIN[:-1],
    "crlf.jsonl": PLAIN.replace(b"\n", b"\r\n"),
    "byte-order-mark.ndjson": b"\xef\xbb\xbf" + PLAIN,
    "array.json": b"[" + b",".join(LINES) + b"]",
    "array-of-lines.json": b"[\n" + b",\n".join(LINES) + b"\n]\n",
    "pretty.json": json.dumps(RECORDS, indent=2).encode(),
    "back-to-back.json": b"".join(LINES),
    "some-back-to-back.json": LINES[0] + LINES[1] + b"\n" + LINES[2] + b"\n" + LINES[3] + LINES[4],
    "trailing-commas.json": b",\n".join(LINES) + b",\n",
    "blank-lines.json": b"\n\n".join(LINES) + b"\n\n",
    "zipped.json.gz": gzip.compress(PLAIN),
    "zipped-array.json.gz": gzip.compress(b"[" + b",".join(LINES) + b"]"),
    "bzipped.json.bz2": bz2.compress(PLAIN),
    "zstandard.jsonl.zst": ZSTD(PLAIN),
    "zipped-without-ending.gz": gzip.compress(PLAIN),
    "no-ending": PLAIN,
    "a.stream-1-2026-11-27-19-00-00-0b1c9a52-7d3e-4a7c-8f00-5f6d1c2b3a49": PLAIN,
    "other-case.json": PLAIN.replace(b"timeStamp", b"TIMESTAMP").replace(b'"x"', b'"X"'),
    "mixed-case.json": LINES[0] + b"\n" + PLAIN[len(LINES[0]) + 1 :].replace(b"timeStamp", b"timestamp"),
    "numbers-as-strings.json": "".join(
        json.dumps({k: str(v) if k != "user" else v for k, v in record.items()}) + "\n" for record in RECORDS
    ).encode(),
}


def deep(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return LINES[0][:-1] + f', "app": {opening * levels}1{closing * levels}}}'.encode()


def with_app(text: str) -> bytes:
    return json.dumps(RECORDS[0] | {"app": text}).encode()


GOOD = "landed"
TWO = LINES[0] + b"\n%s\n" + LINES[1] + b"\n"
UNUSUAL = {
    "two-byte-order-marks.json": (b"\xef\xbb\xbf" * 2 + PLAIN, [GOOD] * 5),
    "carriage-returns.json": (PLAIN.replace(b"\n", b"\r"), [GOOD] * 5),
    "UPPER.JSON": (PLAIN, [GOOD] * 5),
    "UPPER.JSONL.GZ": (gzip.compress(PLAIN), [GOOD] * 5),
    "plain-called.json.gz": (PLAIN, [GOOD] * 5),
    "zipped-called.json": (gzip.compress(PLAIN), [GOOD] * 5),
    "plain-called.bz2": (PLAIN, [GOOD] * 5),
    "zstandard-called.json.gz": (ZSTD(PLAIN), [GOOD] * 5),
    "bzipped-called.ndjson": (bz2.compress(PLAIN), [GOOD] * 5),
    "bzipped-array.json.bz2": (bz2.compress(b"[" + b",".join(LINES) + b"]"), [GOOD] * 5),
    "bzipped-nothing.bz2": (bz2.compress(b""), []),
    "bzipped-and-more.bz2": (bz2.compress(PLAIN) + b"more", [GOOD] * 5 + ["broken_bzip2"]),
    "zstandard-and-more.zst": (ZSTD(PLAIN) + b"more", [GOOD] * 5 + ["broken_zstd"]),
    "padded.zst": (ZSTD(PLAIN) + bytes(9), [GOOD] * 5),
    "first-byte-damaged.json.gz": (
        b"\0" + gzip.compress(PLAIN)[1:] + gzip.compress(LINES[0]),
        ["broken_gzip", GOOD],
    ),
    "joined.json.gz": (gzip.compress(LINES[0] + b"\n") + b"\0" * 70_000 + gzip.compress(LINES[1]), [GOOD] * 2),
    "zipped-and-more.json.gz": (gzip.compress(PLAIN) + b"more", [GOOD] * 5 + ["broken_gzip"]),
    "zipped-wrong-sum.json": (gzip.compress(PLAIN)[:-8] + bytes(8), [GOOD] * 5 + ["broken_gzip"]),
    "zipped-nothing.json.gz": (gzip.compress(b""), []),
    "utf-16.json": (PLAIN.decode().encode("utf-16"), ["not_an_object", "unfinished_record"]),
    "utf-32.json": (PLAIN.decode().encode("utf-32-le"), ["unfinished_record"]),
    "zeros.json": (bytes(5000), ["not_an_object"]),
    "nothing-but-brackets.json": (b"[[], []]\n", []),
    "numbers.json": (b"1\n2\n", ["not_an_object"] * 2),
    "two-megabytes.json": (TWO % with_app("x" * 2_000_000), [GOOD] * 3),
    "two-megabytes-broken.json": (TWO % with_app("x" * 2_000_000)[:-1], [GOOD, "not_json", GOOD]),
    "two-megabytes-of-records-in-a-broken-one.json": (
        TWO % (b'{"user": NaN, "old": [' + b", ".join(LINES[:1] * 30_000) + b"]}"),
        [GOOD, "not_json", GOOD],
    ),
    "two-megabytes-of-records-in-one-that-breaks-off.json": (
        LINES[0] + b'\n{"user": "a", "old": [\n' + b",\n".join(LINES[:1] * 30_000),
        [GOOD, "unfinished_record"],
    ),
    "nested.json": (TWO % deep(99), [GOOD] * 3),
    "nested-a-little-too-deep.json": (TWO % deep(100), [GOOD, "nested_too_deep", GOOD]),
    "nested-objects.json": (TWO % deep(700, '{"a":', "}"), [GOOD, "nested_too_deep", GOOD]),
    "nested-far-too-deep.json": (TWO % deep(100_000), [GOOD, "nested_too_deep", GOOD]),
    "half-a-character.json": (TWO % LINES[0].replace(b"ada", b"\\ud800"), [GOOD, "not_utf8", GOOD]),
    "zero-character.json": (TWO % LINES[0].replace(b"ada", b"\\u0000"), [GOOD] * 3),
    "bare-zero-character.json": (TWO % LINES[0].replace(b"ada", b"\0"), [GOOD, "not_json", GOOD]),
    "line-break-in-text.json": (TWO % LINES[0].replace(b"ada", b"\\n"), [GOOD] * 3),
    "broken-record-ends-an-array.json": (b"[" + LINES[0] + b', {"user": NaN}]\n', [GOOD, "not_json"]),
    "number-of-5000-digits.json": (TWO % LINES[0].replace(b"1640995201000", b"1" * 5000), [GOOD, "not_json", GOOD]),
}


# Unreadable records with lists of objects in them, as (text, is a record) one after the other.
INNER = '{"user": "ada", "timeStamp": 1640995200001, "x": 0, "y": 0, "z": 0}'
LISTED: dict[str, list[tuple[str, bool | None]]] = {
    "a list": [(f'{{"x": NaN, "old": [{INNER}, {INNER}, {INNER}]}}', False), ("\n", None), (INNER, True)],
    "an array on one line": [("[", None), (f'{{"x": NaN, "old": [{INNER},{INNER}]}}', False), (",", None), (INNER, True)],
    "back to back": [
        (f'{{"x": NaN, "old": [{INNER},{INNER}]}}', False),
        (INNER, True),
        ('{"x": NaN}', False),
        (INNER, True),
    ],
    "spread over lines": [
        ("[\n  ", None),
        (f'{{"x": NaN,\n   "old": [\n    {INNER},\n    {INNER}\n  ],\n   "new":\n    {INNER}}}', False),
        (",\n  ", None),
        (INNER, True),
        ("\n]\n", None),
    ],
    "a line that breaks off": [
        (f'{{"old": [{INNER}, {{"user": "a', False),
        ("\n", None),
        (INNER, True),
        ("\n", None),
    ],
    "a file that breaks off": [(INNER, True), ("\n", None), (f'{{"old": [{INNER}, {INNER}, {{"us', False)],
    "a file that begins inside": [(f'r": "a", "old": [{INNER}, {INNER}]}}', False), ("\n", None), (INNER, True)],
}
