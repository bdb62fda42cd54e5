"""The program with one more feed or table declared."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Protocol

from stedi.model.feed import Feed
from stedi.model.table import Table
from tests.support.program import call


class Program(Protocol):
    """Calls the command line in a folder."""

    def __call__(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@contextmanager
def with_feed(feed: Feed) -> Iterator[Program]:
    """Declare one more feed, and yield the program."""

    def declare() -> None:
        feeds: Any = import_module("stedi.tables.landing.feeds")
        feeds.FEEDS += (feed,)

    with _reimported(declare) as program:
        yield program


@contextmanager
def with_table(table: Table) -> Iterator[Program]:
    """Declare one more table in a new module of the curated zone, and yield the program."""

    with TemporaryDirectory() as folder:
        Path(folder, "added.py").touch()

        def declare() -> None:
            curated = import_module("stedi.tables.curated")
            curated.__path__.append(folder)
            added: Any = ModuleType("stedi.tables.curated.added")
            added.TABLE = table
            sys.modules[added.__name__] = added

        with _reimported(declare) as program:
            yield program


@contextmanager
def _reimported(declare: Callable[[], None]) -> Iterator[Program]:
    """Import the program again with changed declarations, and restore the original modules at the end."""
    ours = _remove_modules()
    try:
        declare()
        main = import_module("stedi.cli").main
        yield lambda folder, *arguments: call(main, folder, *arguments)
    finally:
        _remove_modules()
        sys.modules.update(ours)


def _remove_modules() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "stedi"}
