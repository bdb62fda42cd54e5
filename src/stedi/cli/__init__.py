"""The command line: arguments, one call into the library, a report."""

import sys
import traceback
from collections.abc import Sequence

from typer.exceptions import TyperException

# Importing them gives the program its commands, in the order in which help lists them.
from stedi.cli import work, look, train, detect, aws  # isort: skip
from stedi.cli.program import OPTIONS, app
from stedi.config import PYDANTICS_OWN_WORDS
from stedi.errors import StediError

__all__ = ["app", "aws", "detect", "look", "main", "train", "work"]


def main(arguments: Sequence[str]) -> int:
    """Run the program; what went wrong becomes one line and an exit code: 2 for wrong usage, else 1.

    Raises:
        KeyboardInterrupt: somebody asked it to stop; where typer took that, the exit code says so.
    """
    try:
        code: int = app(list(arguments) or ["--help"], standalone_mode=False) or 0
    except TyperException as error:
        # Where only the command is missing its help has been shown, and there is nothing to say.
        message = error.format_message().replace(PYDANTICS_OWN_WORDS, "")
        code = _fail(f"{message} (see `stedi --help`)", error.exit_code) if message else error.exit_code
    except StediError as error:
        if OPTIONS.trace:
            traceback.print_exc()
        code = _fail(str(error), error.exit_code)
    except Exception as error:
        if OPTIONS.trace:
            raise
        # Its text may quote data, so only its kind is named.
        code = _fail(f"unexpected {type(error).__name__}; run with --trace to see where", 1)
    return code


def _fail(message: str, code: int) -> int:
    print(f"stedi: {message}", file=sys.stderr)
    return code
