"""How a declared table stands in the catalog: schema, partitions, sort order, properties."""

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, TruncateTransform
from pyiceberg.types import NestedField

from stedi.model.table import MILLISECONDS_A_DAY, Table

# Copy-on-write, so that every reader sees plain data files.
PROPERTIES = {
    "format-version": "2",
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
    "write.parquet.compression-codec": "zstd",
    # A commit on top of another writer's would rest on rows that we have not seen: the run
    # looks again and decides anew instead.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "5",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.delete-after-commit.enabled": "true",
}


def iceberg_schema(table: Table) -> Schema:
    """The table's columns as an Iceberg schema; field numbers follow the declaration.

    Every field is optional: DuckDB writes no required Parquet columns, and a rule checks before
    each commit that what must be filled is.
    """
    fields = (
        NestedField(number, column.name, column.type, required=False, doc=column.meaning)
        for number, column in enumerate(table.columns, start=1)
    )
    return Schema(*fields)


def partition_spec(table: Table) -> PartitionSpec:
    """One partition a day (UTC) for tables of readings, none for the others."""
    if table.day is None:
        return PartitionSpec()
    source = table.column_names.index(table.day) + 1
    return PartitionSpec(PartitionField(source, 1000, TruncateTransform(MILLISECONDS_A_DAY), f"{table.day}_day"))


def sort_order(table: Table) -> SortOrder:
    """How the rows of each of the table's files are sorted."""
    names = table.column_names
    return SortOrder(*(SortField(names.index(name) + 1, IdentityTransform()) for name in table.sort))
