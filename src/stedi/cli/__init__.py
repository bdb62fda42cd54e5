"""The command line: a command parses its arguments, calls one function and renders the result."""

from collections.abc import Sequence

from stedi import __version__
from stedi.cli.terminal import fail, output
from stedi.errors import OutputError


def main(arguments: Sequence[str]) -> int:
    """Run the program; an error becomes one line and its exit code (see `stedi.errors`).

    Raises:
        KeyboardInterrupt: the user interrupted. Where typer caught the interrupt, the exit code is 130 instead.
    """
    if list(arguments) == ["--version"]:
        # Scripts call `--version` often, and it needs no library.
        return print_version()
    from stedi.cli.commands import run_command
    from stedi.storage.disk import private_files

    # What a command writes may contain personal data, wherever it is.
    with private_files():
        return run_command(arguments)


def print_version() -> int:
    """Print the program's version; returns the exit code."""
    try:
        with output():
            print(__version__)
    except OutputError as error:
        return fail(str(error), error.exit_code)
    return 0
