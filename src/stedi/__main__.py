"""Where the program starts, alone or as `python -m stedi`: ready to be stopped before anything is loaded."""

import os
import signal

from stedi.errors import INTERRUPTED


def main() -> None:
    """Load the program and run it; who stops it meanwhile gets the line that a run stopped later gives."""
    # Libraries may take an interrupt that comes while they load for a missing part, and go on without it.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, _stop)
    from stedi import cli

    cli.main()


def _stop(_number: int, _frame: object) -> None:
    os.write(2, b"stedi: interrupted; nothing had begun\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
