"""Read all values of a SQLite database. Values of several pages are in pieces in its raw bytes."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from stedi.model.sql import quoted
from stedi.privacy.scan.file_scan import Container

SQLITE_MAGIC = b"SQLite format 3\0"
# Bytes 36 to 39 of the header: the number of freed pages (SQLite's file format, section 1.3).
_FREED_PAGES = slice(36, 40)
_ROWS = 1_000


def freed_pages(header: bytes) -> int:
    """Return the number of freed pages of a database, from its first 100 bytes."""
    return int.from_bytes(header[_FREED_PAGES], "big")


def read_rows(container: Container) -> Iterator[list[tuple[bytes, ...]]]:
    """Yield the rows of all tables, as tuples of bytes, some at a time.

    A copy is read, together with its write-ahead log: reading would change the files.

    Raises:
        sqlite3.Error: the database is damaged or encrypted.
        OSError: there is no room for the copy.
    """
    with TemporaryDirectory(prefix="stedi-") as folder:
        copy = Path(folder, "database")
        container.file.seek(0)
        with copy.open("wb") as file:
            shutil.copyfileobj(container.file, file)
        if container.path is not None:
            for ending in ("-wal", "-journal"):
                if (beside := Path(container.path + ending)).is_file():
                    shutil.copyfile(beside, f"{copy}{ending}")
        with closing(sqlite3.connect(f"file:{quote(str(copy))}", uri=True)) as connection:
            connection.text_factory = bytes
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for table in ("sqlite_master", *(name.decode() for (name,) in names)):
                cursor = connection.execute(f"SELECT * FROM {quoted(table)}")
                while rows := cursor.fetchmany(_ROWS):
                    yield [tuple(_as_bytes(value) for value in row) for row in rows]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
