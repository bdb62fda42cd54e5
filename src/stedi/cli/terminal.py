"""Write to standard output and standard error: results, notes, and one line for an error."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from stedi.errors import OutputError, StediError

# A file or a pipe has no width. Long lines are better than broken words.
_PIPE_WIDTH = 200


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
        # Do not write the rest of the buffer at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or type(error).__name__
            raise OutputError(f"standard output can't be written: {why}; send it elsewhere, or make room") from error


def fail(message: str, code: int) -> int:
    """Print an error in one line; returns the exit code."""
    print(f"stedi: {message}", file=sys.stderr)
    return code


def print_trace(error: BaseException) -> None:
    """Print the tracebacks of an error and of those that led to it.

    The texts of libraries' errors may quote data, so only those of STEDI's errors and of the operating system are printed.
    """
    previous = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if previous is not None:
        print_trace(previous)
        print("\nThe error above led to this one:\n", file=sys.stderr)
    text = str(error) if isinstance(error, StediError) else getattr(error, "strerror", None)
    print(
        f"Traceback (most recent call last):\n{''.join(traceback.format_tb(error.__traceback__))}", end="", file=sys.stderr
    )
    print(f"{type(error).__qualname__}: {text or '(text left out, because it may quote data)'}", file=sys.stderr)


def note(text: str) -> None:
    """Print a remark on the result to standard error, so that it is not in pipes and files."""
    print(text, file=sys.stderr)


def print_json(value: object) -> None:
    """Print one JSON value in a line on standard output."""
    print(json.dumps(value, default=str, ensure_ascii=False))


def output_width() -> int | None:
    """Return the line width for standard output; None means the width of the terminal."""
    return None if sys.stdout.isatty() else _PIPE_WIDTH
