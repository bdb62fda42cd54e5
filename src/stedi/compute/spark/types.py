"""The project's column types as Spark has them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from stedi.model.table import Column, ColumnType

SPARK_TYPES: dict[ColumnType, DataType] = {
    "string": StringType(),
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "timestamptz": TimestampType(),
}
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", "UTC"),
}
_EPOCH = datetime.fromtimestamp(0, UTC)


def spark_schema(columns: Iterable[Column]) -> StructType:
    """A table's columns, all of which may be empty."""
    return StructType([StructField(column.name, SPARK_TYPES[column.type]) for column in columns])


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """The same in Arrow."""
    return pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])


def spark_value(kind: ColumnType, value: object) -> object:
    """A value as Spark takes it; moments come as microseconds since the epoch."""
    if kind == "timestamptz" and isinstance(value, int):
        return _EPOCH + timedelta(microseconds=value)
    if kind == "double" and isinstance(value, int):
        return float(value)
    return value
