"""Schemas of tables in Spark and Arrow."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyspark.sql.types import StructType

from stedi.model.column_types import COLUMN_TYPES, ColumnType
from stedi.model.table import Column

_EPOCH = datetime.fromtimestamp(0, UTC)


def spark_schema(columns: Iterable[Column]) -> StructType:
    """Make the Spark schema of a table's columns. All are nullable."""
    return struct_type((column.name, column.type) for column in columns)


def struct_type(columns: Iterable[tuple[str, ColumnType]]) -> StructType:
    """Make a Spark schema of column names and types. All columns are nullable."""
    schema = StructType()
    for name, column_type in columns:
        schema.add(name, COLUMN_TYPES[column_type].spark)
    return schema


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Make the Arrow schema of a table's columns."""
    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """Make the Arrow type of a column type."""
    function, *arguments = COLUMN_TYPES[column_type].arrow
    return getattr(pa, function)(*arguments)


def spark_value(column_type: ColumnType, value: object) -> object:
    """Convert a value to Spark's Python type. A time is given in microseconds since the epoch."""
    if column_type == "timestamptz" and isinstance(value, int):
        return _EPOCH + timedelta(microseconds=value)
    if column_type == "double" and isinstance(value, int):
        return float(value)
    return value
