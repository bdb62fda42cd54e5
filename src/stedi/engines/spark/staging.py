"""Iceberg's own writer on Spark's executors: files by the table's partitions and order, for somebody else to commit."""

import uuid
from typing import Any

from py4j.java_gateway import JavaMember
from pyspark.sql import DataFrame, SparkSession

from stedi.catalog.storage import plain_path
from stedi.engines.spark.session import CATALOG
from stedi.table import ColumnStatistics, Table, Value, WrittenFile
from stedi.warehouse import Warehouse


def table_name(warehouse: Warehouse, table: Table) -> str:
    """The table's name in Spark."""
    return f"{CATALOG}.{warehouse.database}.{table.name}"


def stage(session: SparkSession, warehouse: Warehouse, table: Table, rows: DataFrame) -> list[WrittenFile]:
    """Write rows as data files of a table that exists, and commit nothing; only the files' figures come to the driver.

    This is how Iceberg rewrites data files: a group's name stands for the table, and a
    coordinator keeps what was written for whoever asks for the group.
    """
    jvm: Any = session._jvm
    iceberg = jvm.org.apache.iceberg
    written_to = iceberg.spark.Spark3Util.loadIcebergTable(session._jsparkSession, table_name(warehouse, table))
    group, coordinator = str(uuid.uuid4()), iceberg.spark.FileRewriteCoordinator.get()
    # By address: there is another `get`, with an argument, that Python's side takes it for.
    gateway: Any = session.sparkContext._gateway
    names: Any = JavaMember("get", None, "z:org.apache.iceberg.spark.SparkTableCache", gateway._gateway_client)()
    names.add(group, written_to)
    try:
        rows.write.format("iceberg").mode("append").option("distribution-mode", "hash").save(group)
        files = list(coordinator.fetchNewFiles(written_to, group))
        return [_written(jvm, table, written_to.schema(), file) for file in files]
    finally:
        names.remove(group)
        coordinator.clearRewrite(written_to, group)


def _written(jvm: Any, table: Table, schema: Any, file: Any) -> WrittenFile:
    def figures(by_column: Any) -> dict[int, Any]:
        return {} if by_column is None else {int(number): by_column[number] for number in by_column}

    sizes, counts, nulls, nans, lowest, highest = (
        figures(each)
        for each in (
            file.columnSizes(),
            file.valueCounts(),
            file.nullValueCounts(),
            file.nanValueCounts(),
            file.lowerBounds(),
            file.upperBounds(),
        )
    )

    def value(bounds: dict[int, Any], number: int) -> Value | None:
        if number not in bounds:
            return None
        kind = schema.findField(number).type()
        found = jvm.org.apache.iceberg.types.Conversions.fromByteBuffer(kind, bounds[number])
        return found if isinstance(found, int | float | bool | str) else str(found.toString())

    columns = {
        column.name: ColumnStatistics(
            sizes.get(number, 0),
            counts.get(number, 0),
            nulls.get(number, 0),
            nans.get(number),
            value(lowest, number),
            value(highest, number),
        )
        for number, column in enumerate(table.columns, start=1)
    }
    any_class = jvm.java.lang.Class.forName("java.lang.Object")
    day_ms = int(file.partition().get(0, any_class)) if table.day else None
    return WrittenFile(plain_path(file.location()), int(file.recordCount()), int(file.fileSizeInBytes()), columns, day_ms)
