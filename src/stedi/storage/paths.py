"""Iceberg locations and the folders of a table."""

import re

# Folders of a table: data files in one, Iceberg metadata and side files in the other.
DATA, METADATA = "data", "metadata"
_LOCAL, _S3 = re.compile("^file:/+"), re.compile("^s3[an]://")


def location(path: str) -> str:
    """Convert a path to an Iceberg location. Not percent-encoded: Iceberg's readers take the text as it is."""
    return f"file://{path}" if path.startswith("/") else path


def plain_path(location: str) -> str:
    """Convert an Iceberg location to a path that engines open.

    Java writes one slash after `file:`, others write three. Hadoop calls S3 `s3a` or `s3n`.
    """
    return _S3.sub("s3://", _LOCAL.sub("/", location))


def table_folder(name: str) -> str:
    """Return the folder of a table, relative to the warehouse."""
    return f"stedi/{name}"
