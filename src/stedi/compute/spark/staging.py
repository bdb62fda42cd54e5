"""Read some files of a snapshot, and write data files without a commit, through Iceberg's internal classes on Spark.

Iceberg's own rewrite of files works this way: tasks or files are staged under a group ID, which Spark then reads or writes
like a table's name (`SparkTableCache`).
"""

import json
import struct
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from py4j.java_gateway import JavaMember
from pyspark.sql import DataFrame, SparkSession

from stedi.compute.spark.session import CATALOG
from stedi.model.column_types import COLUMN_TYPES, ColumnType
from stedi.model.data_files import ColumnStatistics, DataFiles, Value, WrittenFile
from stedi.model.table import Table
from stedi.storage import Warehouse
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import DATA, location, plain_path, table_folder

# Iceberg's names of the statistics, in the order of `ColumnStatistics`.
_STATISTICS = ("column-sizes", "value-counts", "null-value-counts", "nan-value-counts", "lower-bounds", "upper-bounds")


class Staging:
    """Reads and writes data files of a warehouse's tables in one session."""

    def __init__(self, session: SparkSession, warehouse: Warehouse) -> None:
        """Look up Iceberg's classes in Java. Call `close` at the end."""
        self._session, self._warehouse = session, warehouse
        jvm: Any = session._jvm
        self._jvm, self._iceberg = jvm, jvm.org.apache.iceberg
        # Py4J confuses `get()` with the method of that name that has an argument, so it is called by its address.
        gateway: Any = session.sparkContext._gateway
        self._staged_tables: Any = JavaMember(
            "get", None, "z:org.apache.iceberg.spark.SparkTableCache", gateway._gateway_client
        )()
        self._reads: list[tuple[str, Any]] = []

    def table_name(self, table: Table) -> str:
        """The table's name in Spark."""
        return f"{CATALOG}.{self._warehouse.database}.{table.name}"

    def _load(self, table: Table) -> Any:
        return self._iceberg.spark.Spark3Util.loadIcebergTable(self._session._jsparkSession, self.table_name(table))

    def read(self, table: Table, files: DataFiles) -> DataFrame:
        """Read some files of a snapshot, without deleted rows. Spark opens no other files. Readable until `close`."""
        read_from, group = self._load(table), str(uuid.uuid4())
        tasks = self._jvm.java.util.ArrayList()
        for task in _tasks(read_from.newScan().useSnapshot(files.snapshot_id), files.paths):
            tasks.add(task)
        self._iceberg.spark.ScanTaskSetManager.get().stageTasks(read_from, group, tasks)
        self._staged_tables.add(group, read_from)
        self._reads.append((group, read_from))
        return self._session.read.format("iceberg").load(group)

    def write(self, table: Table, rows: DataFrame) -> list[WrittenFile]:
        """Write rows as data files of an existing table, without a commit. The driver receives statistics only."""
        # Iceberg names the files, so the folder's name marks them as STEDI's. The transaction that sets the folder is
        # never committed.
        folder = location(self._warehouse.path(f"{table_folder(table.name)}/{DATA}/{own_uuid()}"))
        change = self._load(table).newTransaction()
        change.updateProperties().set("write.data.path", folder).commit()
        written_to, group = change.table(), str(uuid.uuid4())
        coordinator = self._iceberg.spark.FileRewriteCoordinator.get()
        self._staged_tables.add(group, written_to)
        try:
            rows.write.format("iceberg").mode("append").option("distribution-mode", "hash").save(group)
            # One call to Java per file. Reading the statistics one by one would take a hundred.
            to_json, spec = self._iceberg.ContentFileParser.toJson, written_to.spec()
            files = coordinator.fetchNewFiles(written_to, group).toArray()
            return [_written_file(table, json.loads(to_json(file, spec))) for file in files]
        finally:
            self._staged_tables.remove(group)
            coordinator.clearRewrite(written_to, group)

    def close(self) -> None:
        """Remove all staged reads. Iceberg would keep them until the process ends."""
        for group, read_from in self._reads:
            self._staged_tables.remove(group)
            self._iceberg.spark.ScanTaskSetManager.get().removeTasks(read_from, group)


def _tasks(scan: Any, paths: Iterable[str]) -> list[Any]:
    """Return the tasks of a scan that read some files. Stops when all are found, since each task costs calls to Java."""
    missing, selected = set(paths), []
    planned = scan.planFiles()
    try:
        tasks = planned.iterator()
        while missing and tasks.hasNext():
            task = tasks.next()
            path = plain_path(task.file().location())
            if path in missing:
                missing.remove(path)
                selected.append(task)
    finally:
        planned.close()
    return selected


def _written_file(table: Table, description: Mapping[str, Any]) -> WrittenFile:
    """Parse Iceberg's JSON description of a data file."""

    def by_column(name: str) -> dict[int, Any]:
        entries = description.get(name, {"keys": (), "values": ()})
        return dict(zip(entries["keys"], entries["values"], strict=True))

    sizes, counts, nulls, nans, lowest, highest = map(by_column, _STATISTICS)
    columns = {
        column.name: ColumnStatistics(
            sizes.get(number, 0),
            counts.get(number, 0),
            nulls.get(number, 0),
            nans.get(number),
            _bound(lowest.get(number), column.type),
            _bound(highest.get(number), column.type),
        )
        for number, column in enumerate(table.columns, start=1)
    }
    day_ms = description["partition"][0] if table.day else None
    return WrittenFile(
        plain_path(description["file-path"]), description["record-count"], description["file-size-in-bytes"], columns, day_ms
    )


def _bound(hexadecimal: str | None, column_type: ColumnType) -> Value | None:
    """Parse a bound in Iceberg's single-value serialisation (appendix D of its specification)."""
    if hexadecimal is None:
        return None
    content = bytes.fromhex(hexadecimal)
    layout = COLUMN_TYPES[column_type].bound
    if layout is None:
        return content.decode()
    value: Value
    [value] = struct.unpack(layout, content)
    return value
