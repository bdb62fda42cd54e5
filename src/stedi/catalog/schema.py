"""Iceberg schema, partition spec, sort order and properties of a declared table."""

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, TruncateTransform
from pyiceberg.types import NestedField

from stedi.model.table import MILLISECONDS_A_DAY, Table

# Copy-on-write, so that Iceberg's other writers make no delete files.
PROPERTIES = {
    "format-version": "2",
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
    "write.parquet.compression-codec": "zstd",
    # A retry would put our commit on top of rows that the run did not read. Instead, the run plans the table again.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "5",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.delete-after-commit.enabled": "true",
}


def iceberg_schema(table: Table) -> Schema:
    """Return the schema. Field IDs number the declared columns from 1.

    Every field is optional, because DuckDB writes no required Parquet columns. A rule checks required columns before each
    commit.
    """
    fields = (
        NestedField(number, column.name, column.type, required=False, doc=column.meaning)
        for number, column in enumerate(table.columns, start=1)
    )
    return Schema(*fields)


def partition_spec(table: Table) -> PartitionSpec:
    """Return the partition spec: one partition per day (UTC) for tables of readings, none for the others."""
    if table.day is None:
        return PartitionSpec()
    source = table.column_names.index(table.day) + 1
    return PartitionSpec(PartitionField(source, 1000, TruncateTransform(MILLISECONDS_A_DAY), f"{table.day}_day"))


def sort_order(table: Table) -> SortOrder:
    """Return the order of the rows in each data file."""
    names = table.column_names
    return SortOrder(*(SortField(names.index(name) + 1, IdentityTransform()) for name in table.sort))
