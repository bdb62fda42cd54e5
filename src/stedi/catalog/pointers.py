"""Where the current metadata file of each table lies: the catalog's pointers, read from SQLite without PyIceberg."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

# The name under which PyIceberg keeps our tables. A database can hold several catalogs.
CATALOG_NAME = "stedi"


class Pointers(Protocol):
    """What a catalog keeps itself: properties of namespaces, and the location of each table's metadata file."""

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        """The properties of a namespace, or None when it does not exist."""

    def metadata_location(self, namespace: str, name: str) -> str | None:
        """The location of a table's current metadata file, or None when there is no such table."""


class SqlitePointers:
    """The pointers in the database that PyIceberg's SQL catalog writes."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        rows = self._select("iceberg_namespace_properties", "namespace = ?", (namespace,))
        return {row["property_key"]: row["property_value"] for row in rows} or None

    def metadata_location(self, namespace: str, name: str) -> str | None:
        for row in self._select("iceberg_tables", "table_namespace = ? AND table_name = ?", (namespace, name)):
            # Databases made by earlier versions of PyIceberg don't have the type. Views have another.
            if "iceberg_type" not in row.keys() or row["iceberg_type"] in (None, "TABLE"):  # noqa: SIM118
                location: str | None = row["metadata_location"]
                return location or None
        return None

    def _select(self, table: str, condition: str, parameters: Sequence[str]) -> list[sqlite3.Row]:
        if not self._database.exists():
            return []
        # Not read-only: SQLite must roll back what a killed process left half-written.
        with closing(sqlite3.connect(f"file:{quote(str(self._database))}?mode=rw", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
                return []
            query = f"SELECT * FROM {table} WHERE catalog_name = ? AND {condition}"
            return connection.execute(query, (CATALOG_NAME, *parameters)).fetchall()
