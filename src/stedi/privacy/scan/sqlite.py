"""Read all values of a SQLite database. Values of several pages are in pieces in its raw bytes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from stedi.model.sql import quoted
from stedi.privacy.scan.file_scan import Container

SQLITE_MAGIC = b"SQLite format 3\0"
# SQLite's file format, sections 1.3 and 4.1: parts of the header, and of the write-ahead log and its frames.
_VERSIONS, _FREED_PAGES = slice(18, 20), slice(36, 40)
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES, _PAGE_BYTES, _SALTS = 32, 24, slice(8, 12), slice(16, 24)
_ROWS = 1_000


def freed_pages(header: bytes) -> int:
    """Return the number of freed pages of a database, from its first 100 bytes."""
    return int.from_bytes(header[_FREED_PAGES], "big")


def read_rows(container: Container) -> Iterator[list[tuple[bytes, ...]]]:
    """Yield the rows of all tables, as tuples of bytes, some at a time.

    The database is read in memory, together with its write-ahead log: opening the file could change it.

    Raises:
        sqlite3.Error: the database is damaged or encrypted.
        OSError: a file can't be read.
    """
    container.file.seek(0)
    content = bytearray(container.file.read())
    if container.path is not None and (log := Path(f"{container.path}-wal")).is_file():
        _apply_log(content, log.read_bytes())
    # Version 1: a database in memory has no write-ahead log.
    content[_VERSIONS] = b"\1\1"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        connection.text_factory = bytes
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in ("sqlite_master", *(name.decode() for (name,) in names)):
            cursor = connection.execute(f"SELECT * FROM {quoted(table)}")
            while rows := cursor.fetchmany(_ROWS):
                yield [tuple(_as_bytes(value) for value in row) for row in rows]


def _apply_log(content: bytearray, log: bytes) -> None:
    """Put the pages of a write-ahead log in their places. Its raw bytes are searched as a file of its own."""
    size = int.from_bytes(log[_PAGE_BYTES], "big")
    if not size:
        return
    for start in range(_LOG_HEADER_BYTES, len(log) - size - _FRAME_HEADER_BYTES + 1, size + _FRAME_HEADER_BYTES):
        page = int.from_bytes(log[start : start + 4], "big")
        # Frames of an earlier log have other salts.
        if page and log[start + 8 : start + 16] == log[_SALTS]:
            end = page * size
            content.extend(bytes(max(0, end - len(content))))
            content[end - size : end] = log[start + _FRAME_HEADER_BYTES : start + _FRAME_HEADER_BYTES + size]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
