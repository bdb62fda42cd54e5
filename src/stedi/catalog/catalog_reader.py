"""Read a catalog's own entries: namespace properties and metadata locations. SQLite is read without PyIceberg."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

# PyIceberg's name for our catalog. One database can contain several catalogs.
CATALOG_NAME = "stedi"


class CatalogReader(Protocol):
    """Reads a catalog's own entries."""

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        """Return the properties of a namespace, or None if it does not exist."""

    def metadata_location(self, namespace: str, name: str) -> str | None:
        """Return the location of a table's current metadata file, or None if there is no such table."""

    def vacuum(self) -> None:
        """Overwrite what was deleted from the catalog's database."""


class SqliteCatalogReader:
    """Reads the database of PyIceberg's SQL catalog."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        """Return the properties of a namespace, or None if it does not exist."""
        rows = self._select("iceberg_namespace_properties", "namespace = ?", (namespace,))
        return {row["property_key"]: row["property_value"] for row in rows} or None

    def metadata_location(self, namespace: str, name: str) -> str | None:
        """Return the location of a table's current metadata file, or None if there is no such table."""
        for row in self._select("iceberg_tables", "table_namespace = ? AND table_name = ?", (namespace, name)):
            # Databases from earlier versions of PyIceberg lack the column. Views have another type.
            if "iceberg_type" not in row.keys() or row["iceberg_type"] in (None, "TABLE"):  # noqa: SIM118
                location: str | None = row["metadata_location"]
                return location or None
        return None

    def vacuum(self) -> None:
        """Write the database anew, without freed pages, and empty its write-ahead log. A killed call is rolled back."""
        with closing(sqlite3.connect(self._database, isolation_level=None)) as connection:
            # Pages that a later commit frees are overwritten only by connections that set this, too.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _select(self, table: str, condition: str, parameters: Sequence[str]) -> list[sqlite3.Row]:
        if not self._database.exists():
            return []
        # Not read-only: SQLite must be able to roll back the transaction of a killed process.
        with closing(sqlite3.connect(f"file:{quote(str(self._database))}?mode=rw", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
                return []
            query = f"SELECT * FROM {table} WHERE catalog_name = ? AND {condition}"
            return connection.execute(query, (CATALOG_NAME, *parameters)).fetchall()
