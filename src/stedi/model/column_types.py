"""Column types of tables, and their names in each engine. A new type is an entry in `ColumnType` and in `COLUMN_TYPES`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

# Named as in Iceberg, so PyIceberg takes them as they are.
ColumnType = Literal["string", "long", "int", "double", "boolean", "timestamptz"]


class TypeNames(NamedTuple):
    """Names of a column type in engines and formats other than Iceberg.

    Attributes:
        duckdb: SQL type in DuckDB's dialect, which all queries are written in.
        spark: Spark's type name as `StructType.add` takes it.
        athena: SQL type in Athena's DDL.
        arrow: function of `pyarrow` that makes the type, and its arguments.
        bound: `struct` format of a value in Iceberg's metadata (appendix D of its specification); None for UTF-8 text.
    """

    duckdb: str
    spark: str
    athena: str
    arrow: tuple[str, ...]
    bound: str | None


COLUMN_TYPES: Mapping[ColumnType, TypeNames] = {
    "string": TypeNames("VARCHAR", "string", "string", ("string",), None),
    "long": TypeNames("BIGINT", "long", "bigint", ("int64",), "<q"),
    "int": TypeNames("INTEGER", "integer", "int", ("int32",), "<i"),
    "double": TypeNames("DOUBLE", "double", "double", ("float64",), "<d"),
    "boolean": TypeNames("BOOLEAN", "boolean", "boolean", ("bool_",), "<?"),
    "timestamptz": TypeNames("TIMESTAMPTZ", "timestamp", "timestamp", ("timestamp", "us", "UTC"), "<q"),
}
