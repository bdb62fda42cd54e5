"""Where the program starts, alone or as `python -m stedi`: ready to be stopped before anything is loaded."""

import os
import signal

from stedi.errors import INTERRUPTED

_ASKED = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Load the program and run it; who stops it meanwhile gets the line that a run stopped later gives."""
    # Libraries may take an interrupt that comes while they load for a missing part, and go on without it.
    for asked in _ASKED:
        signal.signal(asked, _stop)
    from stedi import cli

    try:
        cli.main()
    finally:
        # All is done and said, and what stops Python on its way out ends in a traceback.
        for asked in _ASKED:
            signal.signal(asked, signal.SIG_IGN)


def _stop(_number: int, _frame: object) -> None:
    os.write(2, b"stedi: interrupted; nothing had begun\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
