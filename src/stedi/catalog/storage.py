"""Paths as Iceberg writes them, and the storage's own errors in our words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from stedi.errors import WarehouseError

NAMESPACE = "stedi"
DATA, METADATA = "data", "metadata"
_LOCAL = re.compile("^file:/+")


def location(path: Path) -> str:
    """A path as Iceberg writes it. Not percent-encoded: its readers take the text as it stands."""
    return f"file://{path}"


def local_path(location: str) -> str:
    """A plain path from a location as Iceberg writes it; in Java it puts one slash where others put three."""
    return _LOCAL.sub("/", location)


def table_folder(warehouse: Path, name: str) -> Path:
    """Where a table's files lie in a warehouse: data files in one folder, metadata in another."""
    return warehouse / NAMESPACE / name


@contextmanager
def warehouse_errors(what: str) -> Iterator[None]:
    """Turn the storage's own errors (no space, read only, damaged) into one clear line."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{what}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        raise WarehouseError(f"{what}: {getattr(error, 'orig', None) or error}") from error
