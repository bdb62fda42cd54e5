"""All commands as one program. An error becomes one line and an exit code."""

import traceback
from collections.abc import Sequence
from copy import copy

import typer
from typer.exceptions import TyperException

# Each import adds its commands to the program. The help lists them in this order.
from stedi.cli import runs, verification, maintenance, simulation  # isort: skip
from stedi.cli import queries, tables, rules, quarantine, devices, people, erasure, keys, withdrawals, version  # isort: skip
from stedi.cli import models, detection, aws  # isort: skip
from stedi.cli.help import load_help_renderer
from stedi.cli.program import Call, app
from stedi.cli.terminal import fail, output, print_trace
from stedi.errors import OutputError, StediError

__all__ = [
    "app",
    "aws",
    "detection",
    "devices",
    "erasure",
    "keys",
    "maintenance",
    "models",
    "people",
    "quarantine",
    "queries",
    "rules",
    "run_command",
    "runs",
    "simulation",
    "tables",
    "verification",
    "version",
    "withdrawals",
]


def run_command(arguments: Sequence[str]) -> int:
    """Run the command in the arguments; returns the exit code.

    Raises:
        KeyboardInterrupt: the user interrupted. Where typer caught the interrupt, the exit code is 130 instead.
    """
    arguments = list(arguments) or ["--help"]
    # For completions, the shell calls the program without arguments.
    if "--help" in arguments:
        load_help_renderer()
    call = Call()
    try:
        return _program_for(arguments[0])(arguments, prog_name="stedi", standalone_mode=False, obj=call) or 0
    except SystemExit as end:
        # Typer exits this way after it printed or installed the completion.
        return int(end.code or 0)
    except Exception as error:
        if call.trace:
            print_trace(error)
        return _fail_with(error)


def _program_for(first: str) -> typer.Typer:
    """The program with only the named command, or with all commands if the first argument is no command.

    Typer evaluates the parameters of every command at each start, which takes 12 of 250 ms.
    """
    program = copy(app)
    named = [info for info in app.registered_commands if info.callback is not None and info.callback.__name__ == first]
    groups = [info for info in app.registered_groups if info.name == first]
    if named or groups:
        program.registered_commands, program.registered_groups = named, groups
    return program


def _fail_with(error: Exception) -> int:
    """Print an error in one line; returns the exit code."""
    if isinstance(error, TyperException):
        from stedi.config import PYDANTIC_PREFIX

        # Without a command, typer has shown the help and the message is empty.
        message = error.format_message().replace(PYDANTIC_PREFIX, "")
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "stedi"
        return fail(f"{message} (see `{command} --help`)", error.exit_code) if message else error.exit_code
    if isinstance(error, StediError):
        return fail(str(error), error.exit_code)
    if isinstance(error, OSError):
        return _fail_with_os_error(error)
    if isinstance(error, UnicodeEncodeError):
        return fail("a text can't be encoded in this locale; set LC_ALL=C.UTF-8, and give arguments as UTF-8", 1)
    # The error's text may quote data. Print its type only.
    return fail(f"unexpected {type(error).__name__}; run with --trace to see where", 1)


def _fail_with_os_error(error: OSError) -> int:
    """Print an error of the operating system in one line; returns the exit code."""
    # Typer prints the help, so `output` did not translate this error.
    if any(frame.f_code.co_name == "rich_format_help" for frame, _ in traceback.walk_tb(error.__traceback__)):
        try:
            with output():
                raise error
        except OutputError as failed_output:
            return fail(str(failed_output), failed_output.exit_code)
        return 0
    reason = error.strerror or type(error).__name__
    if "usable temporary directory" in reason:
        return fail("there is no folder for temporary files; set TMPDIR to a folder that can be written", 1)
    from stedi.ingest.skipped_files import shown_name

    where = f"{shown_name(str(error.filename))} can't be used: " if error.filename else ""
    return fail(f"{where}{reason}; check that it exists, its permissions and the free space (--trace shows more)", 1)
