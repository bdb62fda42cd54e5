"""The program, its global options, and the decorator that makes a function a command."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from stedi import __version__
from stedi.cli.terminal import output
from stedi.errors import StediError, UsageError

if TYPE_CHECKING:
    from stedi.config import Settings
    from stedi.storage import Warehouse

GLOBAL_PANEL = "Options of every command"
P = ParamSpec("P")

app = typer.Typer(
    help="Turn landing files into curated Iceberg tables that contain only what customers agreed to share.\n\n"
    "Example: stedi demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@dataclass
class Call:
    """The global options of one call. Options after the command override those before it."""

    landing: str | None = None
    warehouse: str | None = None
    config: Path | None = None
    as_json: bool = False
    trace: bool = False

    def add(self, given: dict[str, Any]) -> None:
        """Set the options that were given. An option that is None or False was not given."""
        for name, value in given.items():
            if value:
                setattr(self, name, value)

    def settings(self, **options: object) -> "Settings":
        """Load the settings: file, environment, global options, and the given options of a command.

        Args:
            options: settings by name; None for an option that was not given.

        Raises:
            UsageError: a setting is unknown or invalid.
        """
        # Importing pydantic takes a quarter of a second, and `--help` needs no settings.
        from stedi.config import load_settings

        return load_settings(self.config, {"landing": self.landing, "warehouse": self.warehouse} | options)

    def open_warehouse(self) -> "Warehouse":
        """Open the warehouse of the settings, after a check that all erasures were applied to it."""
        from stedi.ingest.applied_erasures import open_current_warehouse

        return open_current_warehouse(self.settings())


def _global_options(
    *,
    landing: Annotated[
        str | None, typer.Option(help="folder with one folder per feed (default: ./landing)", rich_help_panel=GLOBAL_PANEL)
    ] = None,
    warehouse: Annotated[
        str | None,
        typer.Option(help="folder or s3:// prefix of the tables (default: ./lakehouse)", rich_help_panel=GLOBAL_PANEL),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="settings file (default: ./stedi.toml)", rich_help_panel=GLOBAL_PANEL)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object instead of tables", rich_help_panel=GLOBAL_PANEL)
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="print the traceback of an error", rich_help_panel=GLOBAL_PANEL)
    ] = False,
) -> None:
    """Declare the global options. Every command and group takes them, so they may come before or after its name."""


_GLOBAL_OPTIONS = tuple(inspect.signature(_global_options).parameters.values())


def _parsed_by_typer(call: Callable[..., None], own: tuple[inspect.Parameter, ...]) -> Callable[..., None]:
    """Give a function the signature that typer reads: context, own parameters, global options."""
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = inspect.Signature([context, *own, *_GLOBAL_OPTIONS])
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    return call


def _take_global_options(context: typer.Context, given: dict[str, Any]) -> Call:
    """Move the global options from a command's arguments to the call, which the context passes on to inner commands."""
    call = context.ensure_object(Call)
    call.add({parameter.name: given.pop(parameter.name) for parameter in _GLOBAL_OPTIONS})
    return call


def command(
    group: typer.Typer, panel: str | None = None, parameters: tuple[inspect.Parameter, ...] = ()
) -> Callable[[Callable[Concatenate[Call, P], None]], Callable[Concatenate[Call, P], None]]:
    """Make a function a command of a group, under the function's name. Its first argument is the `Call`.

    Args:
        group: the program or a group of its commands.
        panel: heading of the command in the help.
        parameters: further options, passed to the function as keyword arguments.
    """

    def add(function: Callable[Concatenate[Call, P], None]) -> Callable[Concatenate[Call, P], None]:
        @wraps(function)
        def parse(context: typer.Context, **given: Any) -> None:
            call = _take_global_options(context, given)
            _check_working_folder()
            # Report a misspelled setting even if this command does not use it.
            call.settings()
            function(call, **given)  # type: ignore[call-arg]

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        named = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        group.command(rich_help_panel=panel)(_parsed_by_typer(parse, (*named, *parameters)))
        return function

    return add


def group(name: str, text: str, panel: str) -> typer.Typer:
    """Add a group of commands to the program.

    Args:
        name: what users type before the command.
        text: the group's help.
        panel: heading of the group in the help.
    """
    commands = typer.Typer(no_args_is_help=True)

    def parse(context: typer.Context, **given: Any) -> None:
        _take_global_options(context, given)

    commands.callback()(_parsed_by_typer(parse, ()))
    app.add_typer(commands, name=name, help=text, rich_help_panel=panel)
    return commands


def _print_version(requested: bool) -> None:
    if requested:
        with output():
            print(__version__)
        raise typer.Exit


def _parse_program(context: typer.Context, **given: Any) -> None:
    del given["version"]
    _take_global_options(context, given)


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the program's version")
    ],
)
app.callback()(_parsed_by_typer(_parse_program, (_VERSION,)))


def _check_working_folder() -> None:
    """Raise an error if the working folder was deleted. Libraries need it even if all paths are absolute."""
    try:
        Path.cwd()
    except OSError as error:
        raise StediError(
            f"the working folder can't be used ({error.strerror}); it may have been deleted: change to another folder"
        ) from None


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


def check_folder_name(folder: Path) -> None:
    """Check that the name of an output folder is UTF-8, before anything is written.

    Raises:
        UsageError: it is not UTF-8.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UsageError(f"the name of folder {folder} is not valid UTF-8; choose another, in a UTF-8 locale") from None
