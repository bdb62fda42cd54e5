"""Names that users type: tables and feeds, checked and completed."""

from stedi.errors import unknown_name
from stedi.model.table import Table
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL, BY_NAME

FEED_NAMES = tuple(feed.name for feed in FEEDS)


def complete_table(incomplete: str) -> list[str]:
    """Return the names of tables that begin with a text, for the shell."""
    return [table.name for table in ALL if table.name.startswith(incomplete)]


def complete_feed(incomplete: str) -> list[str]:
    """Return the names of feeds that begin with a text, for the shell."""
    return [name for name in FEED_NAMES if name.startswith(incomplete)]


def table_called(name: str) -> Table:
    """Return the table of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in BY_NAME:
        raise unknown_name("table", name, BY_NAME)
    return BY_NAME[name]
