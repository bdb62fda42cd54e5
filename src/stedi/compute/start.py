"""Start the backend that the setting `engine` selects."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stedi.compute.backend import Backend
from stedi.config import Settings
from stedi.installation import not_installed
from stedi.storage import Warehouse

if TYPE_CHECKING:
    from stedi.compute.duckdb import DuckDBBackend


@contextmanager
def backend_on_demand(
    settings: Settings, warehouse: Warehouse, scratch: Path, parameters: Mapping[str, str | bytes]
) -> Iterator[Callable[[], Backend]]:
    """Return a function that starts the backend on its first call, and returns the same backend on later calls.

    A run with no new data needs no backend: loading DuckDB takes 0.1 s, starting Spark 30 s.

    Args:
        settings: the engine and its limits.
        warehouse: the warehouse whose tables it reads and writes.
        scratch: folder for temporary files.
        parameters: see `Backend.set_parameters`.
    """
    with ExitStack() as stack:

        @cache
        def backend() -> Backend:
            started = stack.enter_context(start_backend(settings, warehouse, scratch))
            started.set_parameters(parameters)
            return started

        yield backend


def start_backend(settings: Settings, warehouse: Warehouse, scratch: Path) -> Backend:
    """Start the backend of `settings.engine`, with a folder for temporary files.

    Raises:
        UsageError: the engine is not installed.
        WarehouseError: the engine does not start.
    """
    if settings.engine == "embedded":
        return start_duckdb(settings, warehouse, scratch)
    try:
        from stedi.compute.spark import SparkBackend
    except ImportError as error:
        raise not_installed("the Spark engine", "spark", error) from None
    return SparkBackend(warehouse, scratch=scratch)


def start_duckdb(settings: Settings, warehouse: Warehouse, scratch: Path) -> "DuckDBBackend":
    """Start DuckDB, whichever engine the settings select.

    Raises:
        WarehouseError: DuckDB rejects a setting.
    """
    from stedi.compute.duckdb import DuckDBBackend

    return DuckDBBackend(warehouse, scratch=scratch, memory_limit=settings.memory_limit, threads=settings.threads)
