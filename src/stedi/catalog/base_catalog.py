"""Base of both PyIceberg catalogs: metadata files with STEDI's suffix, and timestamps that never decrease."""

import re
from abc import abstractmethod

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.table import StagedTable, Table
from pyiceberg.table.update import AddSnapshotUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

from stedi.storage.own_files import own_uuid

_UUID = re.compile(r"[0-9a-f-]{36}(?=\.metadata\.json$)")


class BaseCatalog(MetastoreCatalog):
    """PyIceberg's catalog with two additions to every metadata file.

    - The file name has STEDI's suffix. A killed process leaves metadata files that are truncated or uncommitted.
      Maintenance recognises them as STEDI's by their names.
    - The timestamps never decrease, even if the clock was set back. Iceberg in Java (Spark, Athena, Trino) refuses a
      table whose metadata log goes back by more than a minute.
    """

    @abstractmethod
    def swap_metadata(self, namespace: str, name: str, before: str, after: str) -> None:
        """Make a metadata file the current one of a table, and forget the one before.

        Args:
            namespace: namespace of the table.
            name: the table.
            before: location of the current metadata file.
            after: location of the new one.

        Raises:
            CommitFailedException: another file is the current one.
        """

    def _update_and_stage_table(
        self,
        current_table: Table | None,
        table_identifier: Identifier,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> StagedTable:
        earliest_ms = current_table.metadata.last_updated_ms if current_table else 0
        updates = tuple(_not_before(earliest_ms, update) for update in updates)
        staged = super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        if staged.metadata.last_updated_ms < earliest_ms:
            staged.metadata = staged.metadata.model_copy(update={"last_updated_ms": earliest_ms})
        staged.metadata_location = _UUID.sub(str(own_uuid()), staged.metadata_location)
        return staged


def _not_before(earliest_ms: int, update: TableUpdate) -> TableUpdate:
    """Return the update, with the timestamp of its snapshot raised to `earliest_ms` (ms since the epoch)."""
    if isinstance(update, AddSnapshotUpdate) and update.snapshot.timestamp_ms < earliest_ms:
        return update.model_copy(update={"snapshot": update.snapshot.model_copy(update={"timestamp_ms": earliest_ms})})
    return update
