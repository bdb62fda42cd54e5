"""Start the engine that the settings ask for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stedi.compute.backend import Engine
from stedi.config import Settings
from stedi.installation import not_installed
from stedi.storage import Warehouse

if TYPE_CHECKING:
    from stedi.compute.duckdb import EmbeddedEngine


@contextmanager
def engine_on_demand(
    settings: Settings, warehouse: Warehouse, scratch: Path, parameters: Mapping[str, str | bytes]
) -> Iterator[Callable[[], Engine]]:
    """A function that starts the engine on its first call and returns the same engine on every other.

    A run with nothing new needs no engine. Loading one takes a tenth of a second, and Spark half a minute.
    """
    with ExitStack() as stack:

        @cache
        def engine() -> Engine:
            started = stack.enter_context(start_engine(settings, warehouse, scratch))
            started.set_parameters(parameters)
            return started

        yield engine


def start_engine(settings: Settings, warehouse: Warehouse, scratch: Path) -> Engine:
    """The engine, which works below a folder for what is not kept.

    Raises:
        UsageError: the engine is not installed.
        WarehouseError: it does not start.
    """
    if settings.engine == "embedded":
        return start_embedded(settings, warehouse, scratch)
    try:
        from stedi.compute.spark import SparkEngine
    except ImportError as error:
        raise not_installed("the Spark engine", "spark", error) from None
    return SparkEngine(warehouse, scratch=scratch)


def start_embedded(settings: Settings, warehouse: Warehouse, scratch: Path) -> "EmbeddedEngine":
    """The embedded engine, whatever computes the tables.

    Raises:
        WarehouseError: it refuses a setting.
    """
    from stedi.compute.duckdb import EmbeddedEngine

    return EmbeddedEngine(warehouse, scratch=scratch, memory_limit=settings.memory_limit, threads=settings.threads)
