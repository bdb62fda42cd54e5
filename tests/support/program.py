"""Call the command line, in this process or in a new one."""

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from stedi.cli import main

PROGRAM = Path(sys.executable).with_name("stedi")


def stedi(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line in a folder, in this process. A new process takes a second or two to start."""
    return call(main, folder, *arguments)


def call(program: Callable[[Sequence[str]], int], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call a `main` function in a folder, with standard output and error captured."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True) for _ in range(2)
    )
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        code = program(arguments)
    said, errors = (text.buffer.getvalue().decode() for text in (out, err))
    return subprocess.CompletedProcess(arguments, code, said, errors)


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line in a folder, in a new process."""
    return subprocess.run([PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
