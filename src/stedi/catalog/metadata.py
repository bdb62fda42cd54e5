"""Read a table's metadata file without PyIceberg: its snapshots and its columns.

Importing PyIceberg and SQLAlchemy would take longer than the rest of most commands. Only commits and file lists need them.
"""

import datetime
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from stedi.catalog.snapshot import METADATA_KEY, CommitMetadata, Snapshot

_FORMAT_VERSIONS = (1, 2, 3)
# The value of `wbits` for content with a gzip header.
_GZIP_WBITS = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class TableMetadata:
    """One version of a table's metadata.

    Attributes:
        location: location of the metadata file.
        text: JSON text of the metadata file.
        current_id: ID of the current snapshot. Before the first commit None, or -1 from old writers.
        snapshots: the unexpired snapshots by ID.
        columns: the names of the columns.
    """

    location: str
    text: str
    current_id: int | None
    snapshots: Mapping[int, Snapshot]
    columns: frozenset[str]

    @classmethod
    def decode(cls, location: str, content: bytes) -> Self:
        """Parse a metadata file, which other writers may have compressed.

        Raises:
            LookupError, TypeError, ValueError, zlib.error: the file is damaged.
        """
        if location.endswith(".gz.metadata.json"):
            content = zlib.decompress(content, _GZIP_WBITS)
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
        """The current snapshot, or None before the first commit."""
        return None if self.current_id is None else self.snapshots.get(self.current_id)

    def history(self) -> Iterator[Snapshot]:
        """Yield the current snapshot and its ancestors, newest first."""
        snapshot = self.current
        while snapshot is not None:
            yield snapshot
            snapshot = self._predecessor(snapshot)

    def _predecessor(self, snapshot: Snapshot) -> Snapshot | None:
        """Return the parent of a snapshot or, if the parent has expired, the newest older snapshot."""
        if snapshot.parent_id is None:
            return None
        if parent := self.snapshots.get(snapshot.parent_id):
            return parent
        older = [other for other in self.snapshots.values() if other.sequence_number < snapshot.sequence_number]
        return max(older, key=lambda other: other.sequence_number, default=None)


def _schema(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the current schema. Format version 1 allows a single schema under another key."""
    schemas: list[Mapping[str, Any]] = document.get("schemas") or [document["schema"]]
    current_id = document.get("current-schema-id", 0)
    return next(schema for schema in schemas if schema.get("schema-id", 0) == current_id)


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
