"""Check and complete the names of tables and feeds that users type."""

from stedi.errors import unknown_name
from stedi.model.table import Table
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL, BY_NAME

FEED_NAMES = tuple(feed.name for feed in FEEDS)


def complete_table(incomplete: str) -> list[str]:
    """Complete the name of a table for the shell: all names with this prefix."""
    return [table.name for table in ALL if table.name.startswith(incomplete)]


def complete_feed(incomplete: str) -> list[str]:
    """Complete the name of a feed for the shell: all names with this prefix."""
    return [name for name in FEED_NAMES if name.startswith(incomplete)]


def table_called(name: str) -> Table:
    """Return the table with a name.

    Raises:
        UsageError: there is none.
    """
    if name not in BY_NAME:
        raise unknown_name("table", name, BY_NAME)
    return BY_NAME[name]
