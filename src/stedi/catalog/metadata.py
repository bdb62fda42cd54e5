"""Read the metadata file of a table: its current snapshot and those before, without PyIceberg.

Importing PyIceberg and SQLAlchemy takes longer than most commands do otherwise. Only commits and lists of data files
need them.
"""

import datetime
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from stedi.catalog.snapshot import METADATA_KEY, CommitMetadata, Snapshot

_FORMAT_VERSIONS = (1, 2, 3)
# Makes zlib expect the header of a gzip file.
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class TableMetadata:
    """A version of a table's metadata: location, JSON text, unexpired snapshots, and column names."""

    location: str
    text: str
    current_id: int | None
    snapshots: Mapping[int, Snapshot]
    columns: frozenset[str]

    @classmethod
    def decode(cls, location: str, content: bytes) -> Self:
        """Parse a metadata file. Other writers may have compressed it.

        Raises:
            LookupError, TypeError, ValueError, zlib.error: the file is damaged.
        """
        if location.endswith(".gz.metadata.json"):
            content = zlib.decompress(content, _GZIP)
        return cls.parse(location, content.decode())

    @classmethod
    def parse(cls, location: str, text: str) -> Self:
        """Parse the JSON text of a table's metadata.

        Raises:
            LookupError, TypeError, ValueError: the text is not a table's metadata.
        """
        document = json.loads(text)
        if document["format-version"] not in _FORMAT_VERSIONS:
            raise ValueError(f"unknown format version {document['format-version']}")
        snapshots = (_snapshot(entry) for entry in document.get("snapshots") or ())
        return cls(
            location,
            text,
            document.get("current-snapshot-id"),
            {snapshot.id: snapshot for snapshot in snapshots},
            frozenset(field["name"] for field in _schema(document)["fields"]),
        )

    @property
    def current(self) -> Snapshot | None:
        """The current snapshot, or None before the first commit. Old writers give the ID -1 then."""
        return None if self.current_id is None else self.snapshots.get(self.current_id)

    def history(self) -> Iterator[Snapshot]:
        """The current snapshot and its ancestors, newest first."""
        snapshot = self.current
        while snapshot is not None:
            yield snapshot
            snapshot = self._before(snapshot)

    def _before(self, snapshot: Snapshot) -> Snapshot | None:
        """The parent of a snapshot. When the parent has expired, the newest older snapshot."""
        if snapshot.parent_id is None:
            return None
        if parent := self.snapshots.get(snapshot.parent_id):
            return parent
        older = [other for other in self.snapshots.values() if other.sequence_number < snapshot.sequence_number]
        return max(older, key=lambda other: other.sequence_number, default=None)


def _schema(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The current schema. Writers of the first format version may give it alone, under another key."""
    schemas = document.get("schemas") or [document["schema"]]
    current = document.get("current-schema-id", 0)
    found: Mapping[str, Any] = next(schema for schema in schemas if schema.get("schema-id", 0) == current)
    return found


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    summary = entry.get("summary") or {}
    recorded = summary.get(METADATA_KEY)
    return Snapshot(
        entry["snapshot-id"],
        entry.get("parent-snapshot-id"),
        datetime.datetime.fromtimestamp(entry["timestamp-ms"] / 1000, datetime.UTC),
        summary.get("operation", ""),
        None if recorded is None else CommitMetadata.decode(recorded),
        int(summary.get("total-records", 0)) - int(summary.get("total-position-deletes", 0)),
        entry.get("sequence-number") or 0,
    )
