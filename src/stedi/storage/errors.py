"""Translate errors of the disk, S3, SQLite and file formats to one-line errors with the next step."""

import errno
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from stedi.errors import REPAIR_ADVICE, WarehouseError

_NEXT_STEPS = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "; grant this user access to the warehouse's files, or work as their owner"
    ),
    errno.EROFS: "; mount the disk writable",
    errno.ENOSPC: "; make room on the disk, then run again",
}
_SQLITE_NEXT_STEPS = {
    # Reading needs no write access, unless a killed run left a commit to be rolled back.
    "readonly database": "; work as the owner of catalog.db, or have the owner start a run: it also repairs a killed run",
    "unable to open database": "; grant this user read access to the folder and its catalog.db",
}
_DAMAGE = (ValueError, TypeError, LookupError, EOFError, zlib.error)


@contextmanager
def translate_damage(what: str) -> Iterator[None]:
    """Turn what readers raise on a file that is cut off, or something else, into one clear line.

    Raises:
        WarehouseError: what is read is damaged.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, _DAMAGE) and not _is_a(error, "pyiceberg.exceptions", "ValidationError"):
            raise
        raise WarehouseError(f"the {what} can't be understood ({type(error).__name__}); {REPAIR_ADVICE}") from error


@contextmanager
def translate_storage_errors(what: str) -> Iterator[None]:
    """Turn the storage's own errors (no space, read only, damaged, denied) into one clear line."""
    try:
        yield
    except OSError as error:
        next_step = _NEXT_STEPS.get(error.errno or 0, "")
        raise WarehouseError(f"{what}: {error.strerror or error}{next_step}") from error
    except Exception as error:
        if _is_a(error, "sqlalchemy", "SQLAlchemyError") or _is_a(error, "sqlite3", "Error"):
            reason = str(getattr(error, "orig", None) or error)
            next_step = next((step for text, step in _SQLITE_NEXT_STEPS.items() if text in reason), "")
            raise WarehouseError(f"{what}: {reason}{next_step}") from error
        if not _is_a(error, "botocore"):
            raise
        from stedi.storage.aws_client import advice
        from stedi.storage.s3 import ADVICE

        raise WarehouseError(f"{what}: {advice(error, ADVICE)}") from error


def _is_a(error: Exception, package: str, name: str | None = None) -> bool:
    """Whether an error's class, or one that it derives from, is a package's. The package may not be imported."""
    return any(
        f"{kind.__module__}.".startswith(f"{package}.") and name in (None, kind.__name__) for kind in type(error).__mro__
    )
