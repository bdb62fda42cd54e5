"""What the catalog says about a data file: its size, its partition, and what its columns hold at most and at least."""

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

# How much of a text a bound keeps; `truncate(16)` is what Iceberg's writers do unless told otherwise.
_BOUND_LENGTH = 16


def as_data_file(written: WrittenFile, metadata: TableMetadata) -> DataFile:
    """Describe a written file to the table whose metadata these are."""
    schema = metadata.schema()
    columns = [(schema.find_field(name), statistics) for name, statistics in written.columns.items()]

    def of_columns(figure: Callable[[ColumnStatistics, IcebergType], Any]) -> dict[int, Any]:
        found = ((field.field_id, figure(statistics, field.field_type)) for field, statistics in columns)
        return {field_id: value for field_id, value in found if value is not None}

    described = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location(written.path),
        file_format=FileFormat.PARQUET,
        partition=Record() if written.day_ms is None else Record(written.day_ms),
        record_count=written.rows,
        file_size_in_bytes=written.bytes,
        column_sizes=of_columns(lambda column, _: column.bytes),
        value_counts=of_columns(lambda column, _: column.values),
        null_value_counts=of_columns(lambda column, _: column.nulls),
        nan_value_counts=of_columns(lambda column, _: column.nans),
        lower_bounds=of_columns(lambda column, kind: _bound(_at_least(column.lowest), kind)),
        upper_bounds=of_columns(lambda column, kind: _bound(_at_most(column.highest), kind)),
    )
    # No part of what is stored, and needed to remove the file.
    described.spec_id = metadata.default_spec_id
    return described


def _bound(value: Value | None, kind: IcebergType) -> bytes | None:
    assert isinstance(kind, PrimitiveType)
    return None if value is None else to_bytes(kind, value)


def _at_least(value: Value | None) -> Value | None:
    if isinstance(value, str):
        return value[:_BOUND_LENGTH]
    # Readers that tell the zeros apart put the negative one first; writers may not tell.
    return -0.0 if isinstance(value, float) and value == 0 else value


def _at_most(value: Value | None) -> Value | None:
    if isinstance(value, str):
        return truncate_upper_bound_text_string(value, _BOUND_LENGTH)
    return 0.0 if isinstance(value, float) and value == 0 else value
