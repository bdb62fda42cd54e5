"""The command line: arguments, one call into the library, a report."""

from collections.abc import Sequence

from stedi import __version__
from stedi.cli.output import fail, output
from stedi.errors import OutputError


def main(arguments: Sequence[str]) -> int:
    """Run the program; an error becomes one line and its exit code (see `stedi.errors`).

    Raises:
        KeyboardInterrupt: the user interrupted; where typer caught that, the exit code says so.
    """
    if list(arguments) == ["--version"]:
        # Deployment scripts ask for the version often. It needs none of the libraries.
        return print_version()
    from stedi.cli.commands import call

    return call(arguments)


def print_version() -> int:
    """Print the program's version; returns the exit code."""
    try:
        with output():
            print(__version__)
    except OutputError as error:
        return fail(str(error), error.exit_code)
    return 0
