"""Describe a written data file to Iceberg: size, partition, and statistics of its columns."""

from collections.abc import Callable
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.types import IcebergType, PrimitiveType
from pyiceberg.utils.truncate import truncate_upper_bound_text_string

from stedi.model.data_files import ColumnStatistics, Value, WrittenFile
from stedi.storage.paths import location

# Characters of text that a bound keeps: `truncate(16)`, the default of Iceberg's writers.
_BOUND_LENGTH = 16


def as_data_file(written: WrittenFile, metadata: TableMetadata) -> DataFile:
    """Return Iceberg's description of a written file.

    Args:
        written: the file.
        metadata: metadata of the table that the file is for.
    """
    schema = metadata.schema()
    columns = [(schema.find_field(name), statistics) for name, statistics in written.columns.items()]

    def by_field(statistic: Callable[[ColumnStatistics, IcebergType], Any]) -> dict[int, Any]:
        """Return one statistic by field ID, without the columns that lack it."""
        values = ((field.field_id, statistic(column, field.field_type)) for field, column in columns)
        return {field_id: value for field_id, value in values if value is not None}

    data_file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location(written.path),
        file_format=FileFormat.PARQUET,
        partition=Record() if written.day_ms is None else Record(written.day_ms),
        record_count=written.rows,
        file_size_in_bytes=written.bytes,
        column_sizes=by_field(lambda column, _: column.bytes),
        value_counts=by_field(lambda column, _: column.values),
        null_value_counts=by_field(lambda column, _: column.nulls),
        nan_value_counts=by_field(lambda column, _: column.nans),
        lower_bounds=by_field(lambda column, type_: _encoded(_lower_bound(column.lowest), type_)),
        upper_bounds=by_field(lambda column, type_: _encoded(_upper_bound(column.highest), type_)),
    )
    # Not stored in the manifest, but needed to remove the file.
    data_file.spec_id = metadata.default_spec_id
    return data_file


def _encoded(bound: Value | None, type_: IcebergType) -> bytes | None:
    assert isinstance(type_, PrimitiveType)
    return None if bound is None else to_bytes(type_, bound)


def _lower_bound(value: Value | None) -> Value | None:
    if isinstance(value, str):
        return value[:_BOUND_LENGTH]
    # Some readers sort -0.0 before 0.0, while writers may report either as the minimum.
    return -0.0 if isinstance(value, float) and value == 0 else value


def _upper_bound(value: Value | None) -> Value | None:
    if isinstance(value, str):
        return truncate_upper_bound_text_string(value, _BOUND_LENGTH)
    return 0.0 if isinstance(value, float) and value == 0 else value
