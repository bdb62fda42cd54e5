"""All tables, found in the modules of the zones' folders, in run order."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from stedi import tables
from stedi.model.table import Table, in_run_order
from stedi.tables.landing.feeds import FEEDS

ZONES = ("landing", "reference", "trusted", "curated", "operations")


def _declared(zone: str) -> Iterator[Table]:
    """Yield the `TABLE` of each module in a zone's folder."""
    folder = import_module(f"{tables.__name__}.{zone}")
    for module in iter_modules(folder.__path__, f"{folder.__name__}."):
        table = getattr(import_module(module.name), "TABLE", None)
        if table is not None:
            yield table


_OPERATIONS = tuple(_declared("operations"))
# The tables that a run refreshes.
REFRESHED: tuple[Table, ...] = in_run_order(
    (*(feed.table for feed in FEEDS), *(table for zone in ZONES if zone != "operations" for table in _declared(zone)))
)
# The tables that queries can read.
ALL: tuple[Table, ...] = (*REFRESHED, *_OPERATIONS)
BY_NAME: dict[str, Table] = {table.name: table for table in ALL}
