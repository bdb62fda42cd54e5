"""The program with other declarations: another feed, another table."""

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
    """Calls the program's command line in a folder."""

    def __call__(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@contextmanager
def with_feed(feed: Feed) -> Iterator[Program]:
    """The program with one more feed."""

    def declare() -> None:
        feeds: Any = import_module("stedi.tables.landing.feeds")
        feeds.FEEDS += (feed,)

    with _imported_anew(declare) as program:
        yield program


@contextmanager
def with_table(table: Table) -> Iterator[Program]:
    """The program with one more module in the curated zone's folder, which declares the table."""

    with TemporaryDirectory() as folder:
        Path(folder, "added.py").touch()

        def declare() -> None:
            curated = import_module("stedi.tables.curated")
            curated.__path__.append(folder)
            added: Any = ModuleType("stedi.tables.curated.added")
            added.TABLE = table
            sys.modules[added.__name__] = added

        with _imported_anew(declare) as program:
            yield program


@contextmanager
def _imported_anew(declare: Callable[[], None]) -> Iterator[Program]:
    """Import the program a second time, under changed declarations, and drop it at the end."""
    ours = _take_out()
    try:
        declare()
        main = import_module("stedi.cli").main
        yield lambda folder, *arguments: call(main, folder, *arguments)
    finally:
        _take_out()
        sys.modules.update(ours)


def _take_out() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "stedi"}
