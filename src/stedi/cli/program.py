"""What all commands share: the global options, and how results are shown."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text
from typer.core import TyperGroup, TyperOption

from stedi import __version__
from stedi.cli import render
from stedi.cli.output import output
from stedi.errors import StediError, UsageError

if TYPE_CHECKING:
    from stedi.config import Settings
    from stedi.storage import Warehouse


class GlobalOptionsAnywhere(TyperGroup):
    """Commands whose global options may also stand behind the command, where people put them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, global options first wherever they stand; after `--` nothing is an option."""
        takes_value = {
            name: not option.is_flag
            for option in self.params
            if isinstance(option, TyperOption) and not option.is_eager
            for name in option.opts
        }
        ahead: list[str] = []
        behind: list[str] = []
        rest = iter(args)
        for argument in rest:
            name, _, value = argument.partition("=")
            if argument == "--":
                behind += [argument, *rest]
            elif name not in takes_value:
                behind.append(argument)
            elif value or not takes_value[name]:
                ahead.append(argument)
            elif (following := next(rest, None)) is not None:
                ahead.append(f"{name}={following}")
            else:
                # Only what needs a value that is not there: for the message.
                behind = [argument]
        return super().parse_args(ctx, ahead + behind)


app = typer.Typer(
    cls=GlobalOptionsAnywhere,
    help="A consent-first sensor lakehouse: landing files to curated Iceberg tables.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
ERROR_CONSOLE = Console(stderr=True)
_PIPE_WIDTH = 200


class Options:
    """The global options of one call."""

    settings: "Settings"
    as_json: bool = False
    trace: bool = False


OPTIONS = Options()
_GIVEN: dict[str, Any] = {}


def _print_version(wanted: bool) -> None:
    if wanted:
        with output():
            print(__version__)
        raise typer.Exit


@app.callback()
def _globals(
    landing: Annotated[str | None, typer.Option(help="folder with one folder a feed [default: ./landing]")] = None,
    warehouse: Annotated[
        str | None, typer.Option(help="folder or s3:// prefix of the tables [default: ./lakehouse]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="settings file [default: ./stedi.toml]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="show where an error came from")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the program's version")
    ] = False,
) -> None:
    OPTIONS.as_json = as_json
    OPTIONS.trace = trace
    _refuse_deleted_folder()
    _GIVEN.update(config=config, landing=landing, warehouse=warehouse)
    OPTIONS.settings = settings_with()


def _refuse_deleted_folder() -> None:
    """Refuse to work in a folder that was deleted: libraries ask for it, also where all paths are absolute."""
    try:
        Path.cwd()
    except OSError as error:
        raise StediError(
            f"the working folder can't be used ({error.strerror}); it may have been deleted: change to another folder"
        ) from None


def settings_with(**more: object) -> "Settings":
    """The settings of this call, with more options of a command (those that are None were not given)."""
    # Pydantic takes a quarter of a second to import, and `--help` needs no settings.
    from stedi.config import load_settings

    options = {key: value for key, value in _GIVEN.items() if key != "config"}
    return load_settings(_GIVEN["config"], options | more)


def opened_warehouse() -> "Warehouse":
    """Open the warehouse of this call."""
    from stedi.storage import open_warehouse

    return open_warehouse(OPTIONS.settings.warehouse, OPTIONS.settings.database)


def as_utf8(what: str, text: str) -> str:
    """Decode an argument as UTF-8, whatever the locale.

    Raises:
        UsageError: it is not UTF-8.
    """
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        pass
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not valid UTF-8; write it in UTF-8") from None
    return text


def refuse_bytes(folder: Path) -> None:
    """Refuse a folder to write whose name is not UTF-8, before anything is written.

    Raises:
        UsageError: it is not UTF-8.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UsageError(f"folder {folder} is not valid UTF-8; name another, in a UTF-8 locale") from None


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console() -> Console:
    # A file or a pipe has no width; narrow columns would cut names in two there.
    return _Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def show_grids(
    grids: list[Grid],
    as_json: object,
    svg: Path | None = None,
    title: str = "stedi",
    *,
    first: Sequence[str] = (),
    last: str = "",
) -> None:
    """Print results as tables or, where asked for, as JSON.

    `svg` gets a picture of the tables too. The lines in `first` are printed above the tables, `last` below.
    """
    if svg is not None:
        render.write_picture(grids, svg, title)
    with output():
        if OPTIONS.as_json:
            render.print_json(as_json)
            return
        for line in first:
            _console().print(Text(line, style="bold red"), soft_wrap=True)
        for each in grids:
            _console().print(each)
        if last:
            _console().print(last, soft_wrap=True, markup=False, highlight=False)
