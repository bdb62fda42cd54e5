"""Entry point of `stedi` and `python -m stedi`.

Ctrl-C and SIGTERM can interrupt the program at any time. It then prints one line and exits with code 130.
"""

import atexit
import gc
import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

from stedi.errors import INTERRUPTED

_REQUESTS = (signal.SIGINT, signal.SIGTERM)
# Library modules whose calls end before the interrupt is raised; see `_is_interruptible`.
_UNINTERRUPTIBLE = frozenset({"importlib._bootstrap", "fsspec.spec", "concurrent.futures.thread", "tempfile"})
_RETRY_SECONDS = 0.01
# Libraries create a million permanent objects. With Python's default, the garbage collector would scan them 300 times.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> int:
    """Load and run the program; returns the exit code."""
    # Container images set PYTHONDONTWRITEBYTECODE, and uv does not compile when it installs a tool. Without this line, every
    # start would compile every module again.
    sys.dont_write_bytecode = False
    _prepare_streams()
    exit_codes: list[int] = []
    # Exit handlers run in reverse order, so this one runs last.
    atexit.register(_exit_quickly, exit_codes)
    interrupts = _Interrupts()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from stedi import cli

    try:
        interrupts.are_raised = True
        code = cli.main(sys.argv[1:])
        # The work is finished. An interrupt of Python's shutdown would print a traceback.
        for request in (*_REQUESTS, signal.SIGALRM):
            signal.signal(request, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("stedi: interrupted. No table is half-written. Run the same command again to continue.", file=sys.stderr)
    exit_codes.append(code)
    return code


def _prepare_streams() -> None:
    """Open closed standard streams on /dev/null, and write results as UTF-8.

    Otherwise the next file that is opened would get the file descriptor of a closed standard stream.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode))
    # Programs that read results expect UTF-8, and some locales lack letters of names.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _exit_quickly(exit_codes: list[int]) -> None:
    """Flush the streams and exit without Python's shutdown, which takes a quarter of a short command's time."""
    if not exit_codes:
        return
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        # Python's shutdown reports the error.
        return
    os._exit(exit_codes[0])


class _Interrupts:
    """Signal handlers for SIGINT and SIGTERM.

    Before the command starts, a signal ends the program at once. Later it raises KeyboardInterrupt, so that the command
    releases its resources: temporary folders, a lease in S3, a query in Athena. A second signal ends the program without
    waiting for that.
    """

    def __init__(self) -> None:
        self.are_raised = False
        self._is_requested = False
        signal.signal(signal.SIGALRM, self._handle)
        for request in _REQUESTS:
            signal.signal(request, self._handle)

    def _handle(self, request: int, frame: FrameType | None) -> None:
        if not self.are_raised:
            _exit_with("interrupted before the command started; nothing was changed")
        if self._is_requested and request != signal.SIGALRM:
            _exit_with("interrupted again; temporary files may be left")
        self._is_requested = True
        if _is_interruptible(frame):
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, _RETRY_SECONDS)


def _is_interruptible(frame: FrameType | None) -> bool:
    """Whether an exception may be raised at this point of the main thread.

    It may not while one of these calls is on the stack:

    - An import. DuckDB aborts the process if it is interrupted while it loads, and pydantic builds a wrong class.
    - A file system that DuckDB calls: fsspec, and modules that set `CALLED_BY_NATIVE_CODE`. If the call fails, DuckDB
      treats the file as missing.
    - The start of a pool's thread. At exit Python would wait for a thread that is started but not registered.
    - The creation of a temporary folder, which would never be deleted.
    """
    while frame is not None:
        module = frame.f_globals
        if module.get("__name__") in _UNINTERRUPTIBLE or module.get("CALLED_BY_NATIVE_CODE"):
            return False
        frame = frame.f_back
    return True


def _exit_with(line: str) -> NoReturn:
    os.write(2, f"stedi: {line}\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
