"""Refresh tables on Spark: translated SQL, Iceberg's own reading and writing."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from stedi.compute.backend import Engine, Ingested, values
from stedi.compute.spark.dialect import translated
from stedi.compute.spark.landing import read_lots
from stedi.compute.spark.plain_files import read_plain, write_plain
from stedi.compute.spark.session import spark_errors, start
from stedi.compute.spark.staging import Staging
from stedi.compute.spark.types import spark_value, struct_type
from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile
from stedi.model.column_types import ColumnType
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.feed import Feed
from stedi.model.sql import columns, no_rows, quoted
from stedi.model.table import Table
from stedi.storage import Warehouse
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import DATA, table_folder
from stedi.tables.landing.quarantine import TABLE as QUARANTINE


class SparkEngine(Engine):
    """Refreshes tables in one Spark session.

    Tables of the catalog are read at their snapshots and written by Iceberg; rows never come to
    the driver, figures and the names of files do.
    """

    def __init__(self, warehouse: Warehouse, *, scratch: Path) -> None:
        self.scratch, self._warehouse = scratch, warehouse
        self._is_guest = SparkSession.getActiveSession() is not None
        self._session = start(self._warehouse)
        self._staging = Staging(self._session, self._warehouse)
        self._parameters: dict[str, str | bytes] = {}
        self._kept: set[str] = set()
        self._named_files: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for relation in list(self._kept):
            self.drop(relation)
        self._staging.close()
        if not self._is_guest:
            self._session.stop()

    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        self._parameters = dict(values)

    def bound(self, query: str) -> str:
        return query

    def _frame(self, sql: str) -> DataFrame:
        materialized, query = translated(sql)
        with spark_errors():
            for name, text in materialized.items():
                self._query(text).localCheckpoint().createOrReplaceTempView(name)
            frame = self._query(query)
            for name in materialized:
                self.drop_view(name)
        return frame

    def _query(self, text: str) -> DataFrame:
        # Only those that it names: each given one is some calls to Java, and a rewriting of the whole query.
        named = {name: value for name, value in self._parameters.items() if f":{name}" in text}
        return self._session.sql(text, args=named)

    def select(self, sql: str) -> list[dict[str, Any]]:
        with spark_errors():
            return [row.asDict() for row in self._frame(sql).collect()]

    def materialize(self, relation: str, query: str) -> None:
        self._keep(relation, self._frame(query))

    def _keep(self, relation: str, frame: DataFrame) -> None:
        # Not only remembered but cut off from what it came of: relations come of relations, and a
        # run's last would carry the plans of all before it.
        self._kept.add(relation)
        with spark_errors():
            frame.localCheckpoint().createOrReplaceTempView(relation)

    def create_view(self, relation: str, query: str) -> None:
        self._frame(query).createOrReplaceTempView(relation)

    def hold(self, relation: str, columns: Iterable[tuple[str, ColumnType, Sequence[object]]]) -> None:
        listed = [(name, kind, list(each)) for name, kind, each in columns]
        schema = struct_type((name, kind) for name, kind, _ in listed)
        rows = zip(*([spark_value(kind, value) for value in each] for _, kind, each in listed), strict=True)
        self._keep(relation, self._session.createDataFrame(list(rows), schema))

    def drop(self, relation: str) -> None:
        if relation in self._kept:
            self._kept.remove(relation)
            self.drop_view(relation)

    def drop_view(self, relation: str) -> None:
        self._session.catalog.dropTempView(relation)

    def digest(self, names: str) -> str:
        return f"sum(CAST(xxhash64({names}) AS DECIMAL(38, 0)))"

    def repeated(self, names: str, source: str, times: str) -> str:
        return f"SELECT {names} FROM (SELECT {names}, explode(sequence(1, {times})) AS copy FROM {source}) AS repeated"

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        read, landed, quarantined = (f"{kind}_{feed.name}" for kind in ("read", "landed", "quarantined"))
        with spark_errors():
            self._keep(read, read_lots(self._session, feed, files))
        counts, other_formats = {}, {}
        for row in self.select(
            "SELECT source_file, count(source_position) FILTER (reason IS NULL) AS landed, "
            "count(source_position) FILTER (reason IS NOT NULL) AS quarantined, "
            f"max(reason) FILTER (source_position IS NULL) AS remark FROM {quoted(read)} GROUP BY source_file"
        ):
            if row["source_file"] is None:
                raise LandingError(row["remark"])
            if row["remark"] is not None:
                other_formats[row["source_file"]] = row["remark"]
            counts[row["source_file"]] = (row["landed"], row["quarantined"])
        records = f"FROM {quoted(read)} WHERE source_position IS NOT NULL"
        self.create_view(landed, f"SELECT {columns(feed.table)} {records} AND reason IS NULL")
        self.create_view(quarantined, f"SELECT {columns(QUARANTINE)} {records} AND reason IS NOT NULL")
        return Ingested(landed, quarantined, counts, other_formats)

    def release(self, feed: Feed) -> None:
        for kind in ("landed", "quarantined"):
            self.drop_view(f"{kind}_{feed.name}")
        self.drop(f"read_{feed.name}")

    def rows_of(self, table: Table, files: DataFiles) -> str:
        return f"SELECT {columns(table)} FROM {self.rows_with_file(table, files)}" if files else no_rows(table)

    def rows_with_file(self, table: Table, files: DataFiles) -> str:
        name = f"files_{sha256(repr((table.name, files)).encode()).hexdigest()[:16]}"
        if name not in self._named_files:
            self._named_files.add(name)
            with spark_errors():
                self._read(table, files).createOrReplaceTempView(name)
        return quoted(name)

    def _read(self, table: Table, files: DataFiles) -> DataFrame:
        """The rows of some files, and which they lie in: by the snapshot that names them, else as plain files."""
        if files.snapshot_id is None:
            return read_plain(self._session, self._warehouse, table, files.paths)
        if files.is_part:
            frame = self._staging.read(table, files)
        else:
            name = self._staging.table_name(table)
            frame = self._session.read.option("versionAsOf", files.snapshot_id).table(name)
        return frame.withColumn("filename", F.regexp_replace("_file", "^file:/+", "/"))

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        rows = self._frame(f"SELECT {values(table)} FROM ({query}) AS q")
        with spark_errors():
            if folder == self._warehouse.path(f"{table_folder(table.name)}/{DATA}"):
                return self._staging.write(table, rows)
            return write_plain(self._warehouse, table, rows, f"{folder}/{own_uuid()}")
