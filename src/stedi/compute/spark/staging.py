"""How Iceberg rewrites files on Spark: it reads some files of a snapshot, and writes others for somebody else to commit.

A name stands for the table and what is to be done with it; a rewrite of files is Iceberg's own use of this.
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

# In the order of `ColumnStatistics`, as Iceberg names them.
_FIGURES = ("column-sizes", "value-counts", "null-value-counts", "nan-value-counts", "lower-bounds", "upper-bounds")


class Staging:
    """Reads and writes data files of a warehouse's tables in one session."""

    def __init__(self, session: SparkSession, warehouse: Warehouse) -> None:
        self._session, self._warehouse = session, warehouse
        jvm: Any = session._jvm
        self._jvm, self._iceberg = jvm, jvm.org.apache.iceberg
        # By address: there is another `get`, with an argument, that Python's side takes it for.
        gateway: Any = session.sparkContext._gateway
        self._names: Any = JavaMember("get", None, "z:org.apache.iceberg.spark.SparkTableCache", gateway._gateway_client)()
        self._read: list[tuple[str, Any]] = []

    def table_name(self, table: Table) -> str:
        """The table's name in Spark."""
        return f"{CATALOG}.{self._warehouse.database}.{table.name}"

    def _load(self, table: Table) -> Any:
        return self._iceberg.spark.Spark3Util.loadIcebergTable(self._session._jsparkSession, self.table_name(table))

    def read(self, table: Table, files: DataFiles) -> DataFrame:
        """The rows of some files of a snapshot, less deleted ones; Spark opens no others. Can be read until `close`."""
        read_from, group = self._load(table), str(uuid.uuid4())
        tasks = self._jvm.java.util.ArrayList()
        for task in _tasks(read_from.newScan().useSnapshot(files.snapshot_id), files.paths):
            tasks.add(task)
        self._iceberg.spark.ScanTaskSetManager.get().stageTasks(read_from, group, tasks)
        self._names.add(group, read_from)
        self._read.append((group, read_from))
        return self._session.read.format("iceberg").load(group)

    def write(self, table: Table, rows: DataFrame) -> list[WrittenFile]:
        """Write rows as data files of a table that exists, and commit nothing; only figures come to the driver."""
        # Iceberg names the files itself, so their folder says that they are ours. The change of the
        # table that has it write there is never committed.
        folder = location(self._warehouse.path(f"{table_folder(table.name)}/{DATA}/{own_uuid()}"))
        change = self._load(table).newTransaction()
        change.updateProperties().set("write.data.path", folder).commit()
        written_to, group = change.table(), str(uuid.uuid4())
        coordinator = self._iceberg.spark.FileRewriteCoordinator.get()
        self._names.add(group, written_to)
        try:
            rows.write.format("iceberg").mode("append").option("distribution-mode", "hash").save(group)
            # A file in one piece: each figure asked for by itself is a call to Java, and there are a hundred.
            described, spec = self._iceberg.ContentFileParser.toJson, written_to.spec()
            files = coordinator.fetchNewFiles(written_to, group).toArray()
            return [_written(table, json.loads(described(file, spec))) for file in files]
        finally:
            self._names.remove(group)
            coordinator.clearRewrite(written_to, group)

    def close(self) -> None:
        """Forget what was to be read; Iceberg keeps it for all sessions of the process."""
        for group, read_from in self._read:
            self._names.remove(group)
            self._iceberg.spark.ScanTaskSetManager.get().removeTasks(read_from, group)


def _tasks(scan: Any, paths: Iterable[str]) -> list[Any]:
    """What a scan has to do for some of its files; each look is a call to Java."""
    wanted, found = set(paths), []
    planned = scan.planFiles()
    try:
        tasks = planned.iterator()
        while wanted and tasks.hasNext():
            task = tasks.next()
            path = plain_path(task.file().location())
            if path in wanted:
                wanted.remove(path)
                found.append(task)
    finally:
        planned.close()
    return found


def _written(table: Table, told: Mapping[str, Any]) -> WrittenFile:
    """A file as Iceberg describes it in JSON."""

    def figures(name: str) -> dict[int, Any]:
        by_column = told.get(name, {"keys": (), "values": ()})
        return dict(zip(by_column["keys"], by_column["values"], strict=True))

    sizes, counts, nulls, nans, lowest, highest = map(figures, _FIGURES)
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
    day_ms = told["partition"][0] if table.day else None
    return WrittenFile(plain_path(told["file-path"]), told["record-count"], told["file-size-in-bytes"], columns, day_ms)


def _bound(written: str | None, kind: ColumnType) -> Value | None:
    """A bound out of Iceberg's single-value serialisation (appendix D of its specification), written in hexadecimal."""
    if written is None:
        return None
    content = bytes.fromhex(written)
    layout = COLUMN_TYPES[kind].bound
    if layout is None:
        return content.decode()
    value: Value
    [value] = struct.unpack(layout, content)
    return value
