"""The record of which landing files a landing table holds, kept as a file that its commits name."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict

from stedi.landing.files import LedgerEntry


def encode(entries: Iterable[LedgerEntry]) -> bytes:
    """Entries as compressed JSON lines, sorted by file name."""
    lines = (json.dumps(asdict(entry)) for entry in sorted(entries, key=lambda e: e.name))
    return zlib.compress("\n".join(lines).encode())


def decode(content: bytes) -> dict[str, LedgerEntry]:
    """Entries by file name."""
    lines = zlib.decompress(content).decode().splitlines()
    return {entry.name: entry for entry in (LedgerEntry(**json.loads(line)) for line in lines)}
