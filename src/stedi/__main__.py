"""Where the program starts, alone or as `python -m stedi`: it can be asked to stop at any moment.

Ctrl-C and a scheduler's SIGTERM end it in the same way, with a line and exit code 130.
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
# Modules whose calls are not interrupted but left to end. Native code goes wrong when what it calls fails: DuckDB
# aborts the process where it is being loaded and takes a file that it asks for as missing, and pydantic takes the
# class that is being made for a wrong one. A pool's thread that has begun and is not yet on its list would be
# waited for at the end, for ever; a temporary folder that nobody knows of yet would stay.
_LEFT_TO_END = frozenset(
    {"importlib._bootstrap", "fsspec.spec", "stedi.compute.duckdb.s3_filesystem", "concurrent.futures.thread", "tempfile"}
)
_AGAIN_S = 0.01
# Libraries make a million objects that stay; Python would look through them three hundred times for some to free.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> int:
    """Load the program and run it; returns the exit code."""
    # Container images set PYTHONDONTWRITEBYTECODE, and uv compiles nothing when it installs a tool. Together they would
    # make every start compile every module, so the first start that imports a module keeps its bytecode.
    sys.dont_write_bytecode = False
    _prepare_streams()
    done: list[int] = []
    # Registered first, it comes last.
    atexit.register(_leave, done)
    stop = _Stop()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from stedi import cli

    try:
        stop.by_interrupting = True
        code = cli.main(sys.argv[1:])
        # All is done and said, and what stops Python on its way out ends in a traceback.
        for request in (*_REQUESTS, signal.SIGALRM):
            signal.signal(request, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("stedi: interrupted. No table is half-written. Run the same command again to continue.", file=sys.stderr)
    done.append(code)
    return code


def _prepare_streams() -> None:
    """Lead closed standard streams nowhere, or the next file to be opened would be taken for one; results are UTF-8."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode))
    # Whoever reads results in a file expects it, and names hold letters that not every locale has.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _leave(done: list[int]) -> None:
    """Leave when all is said and put away: a quarter of a short command's time would go into taking Python apart."""
    if not done:
        return
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        # Python says so in its own way.
        return
    os._exit(done[0])


class _Stop:
    """What a request to stop does.

    Before the work begins it ends the program at once. Later it interrupts the work, which then frees what it
    holds: temporary folders, a lease in S3, a query in Athena. Who asks once more doesn't wait for that.
    """

    def __init__(self) -> None:
        self.by_interrupting = False
        self._asked = False
        signal.signal(signal.SIGALRM, self._ask)
        for request in _REQUESTS:
            signal.signal(request, self._ask)

    def _ask(self, request: int, frame: FrameType | None) -> None:
        if not self.by_interrupting:
            _end("interrupted; nothing had begun")
        if self._asked and request != signal.SIGALRM:
            _end("interrupted again; temporary files may be left")
        self._asked = True
        if _is_left_to_end(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            raise KeyboardInterrupt


def _is_left_to_end(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") in _LEFT_TO_END:
            return True
        frame = frame.f_back
    return False


def _end(line: str) -> NoReturn:
    os.write(2, f"stedi: {line}\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
