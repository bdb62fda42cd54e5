"""Paths as Iceberg writes them, and the storage's own errors in our words."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.exceptions import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from stedi.errors import DAMAGED, WarehouseError

# Data files lie in one folder of a table, metadata and side files in another.
DATA, METADATA = "data", "metadata"
_LOCAL = re.compile("^file:/+")


def location(path: str) -> str:
    """A path as Iceberg writes it. Not percent-encoded: its readers take the text as it stands."""
    return f"file://{path}" if path.startswith("/") else path


def plain_path(location: str) -> str:
    """A path as engines open it from a location as Iceberg writes it; in Java it puts one slash where others put three."""
    return _LOCAL.sub("/", location)


def table_folder(name: str) -> str:
    """Where a table's files lie in a warehouse."""
    return f"stedi/{name}"


@contextmanager
def intact(what: str) -> Iterator[None]:
    """Turn what readers raise on a file that is cut off, or something else, into one clear line.

    Raises:
        WarehouseError: what is read is damaged.
    """
    try:
        yield
    except (ValidationError, ValueError, TypeError, LookupError, EOFError, zlib.error) as error:
        raise WarehouseError(f"the {what} can't be understood ({type(error).__name__}); {DAMAGED}") from error


@contextmanager
def warehouse_errors(what: str) -> Iterator[None]:
    """Turn the storage's own errors (no space, read only, damaged, denied) into one clear line."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{what}: {error.strerror or error}") from error
    except SQLAlchemyError as error:
        raise WarehouseError(f"{what}: {getattr(error, 'orig', None) or error}") from error
    except Exception as error:
        # Known by name: where nothing lies in AWS, its client is not loaded.
        if not any(kind.__module__.startswith("botocore") for kind in type(error).__mro__):
            raise
        from stedi.aws_client import advice
        from stedi.warehouse.s3 import ADVICE

        raise WarehouseError(f"{what}: {advice(error, ADVICE)}") from error
