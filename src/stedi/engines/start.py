"""Start the engine that the settings ask for."""

from pathlib import Path

from stedi.config import Settings
from stedi.engines.embedded import EmbeddedEngine
from stedi.engines.engine import Engine
from stedi.installation import not_installed


def start_engine(settings: Settings, scratch: Path) -> Engine:
    """The engine, which works below a folder for what is not kept.

    Raises:
        UsageError: the engine is not installed.
        WarehouseError: it does not start.
    """
    if settings.engine == "embedded":
        return start_embedded(settings, scratch)
    try:
        from stedi.engines.spark import SparkEngine
    except ImportError as error:
        raise not_installed("the Spark engine", "spark", error) from None
    return SparkEngine(settings.warehouse, scratch=scratch)


def start_embedded(settings: Settings, scratch: Path) -> EmbeddedEngine:
    """The embedded engine, whatever computes the tables.

    Raises:
        WarehouseError: it refuses a setting.
    """
    return EmbeddedEngine(settings.warehouse, scratch=scratch, memory_limit=settings.memory_limit, threads=settings.threads)
