"""The program with other declarations: another feed, another table."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, reload
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from stedi.landing.feed import Feed
from stedi.table import Table
from tests.support.program import call


class Program(Protocol):
    """Calls the program's command line in a folder."""

    def __call__(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@contextmanager
def with_feed(feed: Feed) -> Iterator[Program]:
    """The program with one more feed."""

    def declare() -> None:
        feeds: Any = import_module("stedi.landing.feeds")
        feeds.FEEDS += (feed,)
        # These two were imported by the package, with the feeds as they were.
        for module in ("stedi.landing.quarantine", "stedi.landing"):
            reload(import_module(module))

    with _imported_anew(declare) as program:
        yield program


@contextmanager
def with_table(table: Table) -> Iterator[Program]:
    """The program with one more curated table."""

    def declare() -> None:
        curated: Any = import_module("stedi.curated")
        curated.TABLES += (table,)

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
