"""Standard output and standard error: results, and one line for an error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stedi.errors import OutputError


@contextmanager
def output() -> Iterator[None]:
    """Write to standard output. When the reader closes the pipe, as `head` does, drop the rest.

    Raises:
        OutputError: a write failed, such as on a full disk.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Don't write the buffer's rest again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or type(error).__name__
            raise OutputError(f"standard output can't be written: {why}; send it elsewhere, or make room") from error


def fail(message: str, code: int) -> int:
    """Print an error in one line; returns the exit code."""
    print(f"stedi: {message}", file=sys.stderr)
    return code
