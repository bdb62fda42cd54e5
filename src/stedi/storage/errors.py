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
    "readonly database": "; work as the owner of catalog.db, or have the owner start a run, which rolls back a killed one",
    "unable to open database": "; grant this user read access to the folder and its catalog.db",
}
_DAMAGE = (ValueError, TypeError, LookupError, EOFError, zlib.error)


@contextmanager
def translate_damage(what: str) -> Iterator[None]:
    """Replace errors that parsers raise on a truncated or damaged file by one line.

    Args:
        what: what is parsed, such as `metadata of quarantine`.

    Raises:
        WarehouseError: the file is damaged.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, _DAMAGE) and not _is_from(error, "pyiceberg.exceptions", "ValidationError"):
            raise
        raise WarehouseError(f"the {what} can't be parsed ({type(error).__name__}); {REPAIR_ADVICE}") from error


@contextmanager
def translate_storage_errors(what: str) -> Iterator[None]:
    """Replace errors of the disk (full, read-only, denied), SQLite and S3 by one line.

    Args:
        what: what failed, such as `warehouse lakehouse can't be read`.

    Raises:
        WarehouseError: the storage failed.
    """
    try:
        yield
    except OSError as error:
        next_step = _NEXT_STEPS.get(error.errno or 0, "")
        raise WarehouseError(f"{what}: {error.strerror or error}{next_step}") from error
    except Exception as error:
        if _is_from(error, "sqlalchemy", "SQLAlchemyError") or _is_from(error, "sqlite3", "Error"):
            reason = str(getattr(error, "orig", None) or error)
            next_step = next((step for text, step in _SQLITE_NEXT_STEPS.items() if text in reason), "")
            raise WarehouseError(f"{what}: {reason}{next_step}") from error
        if not _is_from(error, "botocore"):
            raise
        from stedi.storage.aws_errors import WAREHOUSE_HINTS, explain

        raise WarehouseError(f"{what}: {explain(error, WAREHOUSE_HINTS)}") from error


def _is_from(error: Exception, package: str, name: str | None = None) -> bool:
    """Whether an error's class or one of its bases is from a package, which need not be imported or installed."""
    return any(
        f"{base.__module__}.".startswith(f"{package}.") and name in (None, base.__name__) for base in type(error).__mro__
    )
