"""Paths as Iceberg writes them."""

import re

# Data files lie in one folder of a table, metadata and side files in another.
DATA, METADATA = "data", "metadata"
_LOCAL = re.compile("^file:/+")


def location(path: str) -> str:
    """A path as Iceberg writes it. Not percent-encoded: its readers take the text as it stands."""
    return f"file://{path}" if path.startswith("/") else path


def plain_path(location: str) -> str:
    """A path as engines open it from a location as Iceberg writes it; in Java it puts one slash where others put three."""
    return _LOCAL.sub("/", location)


def table_folder(name: str) -> str:
    """Where a table's files lie in a warehouse."""
    return f"stedi/{name}"
