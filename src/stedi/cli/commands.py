"""All commands as one program; its errors become one line and an exit code."""

import traceback
from collections.abc import Sequence

from typer.exceptions import TyperException

# Each import adds its commands to the program. The help lists them in this order.
from stedi.cli import work, look, devices, train, detect, aws  # isort: skip
from stedi.cli.help import load_help_renderer
from stedi.cli.output import fail, output
from stedi.cli.program import OPTIONS, app
from stedi.errors import OutputError, StediError

__all__ = ["app", "aws", "call", "detect", "devices", "look", "train", "work"]


def call(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; returns the exit code.

    Raises:
        KeyboardInterrupt: the user interrupted; where typer caught that, the exit code says so.
    """
    arguments = list(arguments) or ["--help"]
    if "--help" in arguments:
        load_help_renderer()
    try:
        code: int = app(arguments, standalone_mode=False) or 0
    except TyperException as error:
        from stedi.config import PYDANTICS_OWN_WORDS

        # Without a command typer has shown the help. There is no message then.
        message = error.format_message().replace(PYDANTICS_OWN_WORDS, "")
        code = fail(f"{message} (see `stedi --help`)", error.exit_code) if message else error.exit_code
    except StediError as error:
        if OPTIONS.trace:
            traceback.print_exc()
        code = fail(str(error), error.exit_code)
    except OSError as error:
        if OPTIONS.trace:
            traceback.print_exc()
        code = _refused(error)
    except UnicodeEncodeError:
        if OPTIONS.trace:
            traceback.print_exc()
        code = fail("a text can't be encoded in this locale; set LC_ALL=C.UTF-8, and give texts as UTF-8", 1)
    except Exception as error:
        if OPTIONS.trace:
            raise
        # The error's text may quote data. Print its type only.
        code = fail(f"unexpected {type(error).__name__}; run with --trace to see where", 1)
    return code


def _refused(error: OSError) -> int:
    """Print what the operating system refused; returns the exit code."""
    # Typer prints the help itself.
    if any(frame.f_code.co_name == "rich_format_help" for frame, _ in traceback.walk_tb(error.__traceback__)):
        try:
            with output():
                raise error
        except OutputError as refused:
            return fail(str(refused), refused.exit_code)
        return 0
    reason = error.strerror or type(error).__name__
    if "usable temporary directory" in reason:
        return fail("there is no folder for temporary files; set TMPDIR to a folder that can be written", 1)
    where = f"{error.filename} can't be used: " if error.filename else ""
    return fail(f"{where}{reason}; check that it exists, its permissions and the free space (--trace shows more)", 1)
