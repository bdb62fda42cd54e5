"""The command that prints the program's version."""

from stedi import __version__
from stedi.cli.program import Call, app, command
from stedi.cli.terminal import output


@command(app, "Look at tables")
def version(call: Call) -> None:
    """Print the program's version.

    Example: stedi version
    """
    with output():
        print(__version__)
