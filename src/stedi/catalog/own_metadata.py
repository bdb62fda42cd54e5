"""What the tables' other readers and our upkeep ask of metadata files, in whichever catalog."""

import re

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.table import StagedTable, Table
from pyiceberg.table.update import AddSnapshotUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

from stedi.storage.own_files import own_uuid

_UNIQUE_PART = re.compile(r"[0-9a-f-]{36}(?=\.metadata\.json$)")


class OwnMetadata(MetastoreCatalog):
    """A catalog whose metadata files tell by their names who made them, and whose times never go back.

    A killed process leaves such files torn or uncommitted: their names are then all there is. And
    Iceberg in Java (Spark, Athena, Trino) refuses a table whose log goes back by more than a
    minute, as it would after the clock did.
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
        staged.metadata_location = _UNIQUE_PART.sub(str(own_uuid()), staged.metadata_location)
        return staged


def _not_before(earliest_ms: int, update: TableUpdate) -> TableUpdate:
    if isinstance(update, AddSnapshotUpdate) and update.snapshot.timestamp_ms < earliest_ms:
        return update.model_copy(update={"snapshot": update.snapshot.model_copy(update={"timestamp_ms": earliest_ms})})
    return update
