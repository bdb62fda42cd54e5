"""The Iceberg catalog of a warehouse. The only folder that imports PyIceberg."""

from stedi.catalog.catalog import Catalog
from stedi.catalog.snapshot import Commit, CommitMetadata, Fingerprint, Snapshot

__all__ = ["Catalog", "Commit", "CommitMetadata", "Fingerprint", "Snapshot"]
