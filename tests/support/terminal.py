"""The program on a terminal of its own."""

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.support.program import PROGRAM


def on_terminal(folder: Path, *arguments: str, width: int = 80, environment: Mapping[str, str] | None = None) -> str:
    """Run the program on a terminal and return all that it prints there, escape sequences included."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        os.execve(PROGRAM, [str(PROGRAM), *arguments], variables | {"TERM": "xterm"} | dict(environment or {}))
    printed = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:
            # Linux reports the end of the other side as an error.
            break
        if not part:
            break
        printed += part
    os.close(terminal)
    os.waitpid(process, 0)
    return printed.decode().replace("\r\n", "\n")
