"""The Spark backend: SQL translated by sqlglot, tables read and written by Iceberg."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from stedi.compute.backend import Ingested
from stedi.compute.spark.dialect import translate
from stedi.compute.spark.landing import read_records
from stedi.compute.spark.plain_files import read_plain, write_plain
from stedi.compute.spark.session import spark_errors, start
from stedi.compute.spark.staging import Staging
from stedi.compute.spark.types import spark_value, struct_type
from stedi.compute.sql import typed_columns
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


class SparkBackend:
    """Implements `stedi.compute.backend.Backend` in one Spark session. Relations are checkpointed temporary views.

    Tables of the catalog are read at their snapshots, and written by Iceberg. Rows stay on the executors: the driver
    receives statistics, file names and the results of `select`.
    """

    def __init__(self, warehouse: Warehouse, *, scratch: Path) -> None:
        """Start Spark, or a session in the Spark that runs in this process.

        Args:
            warehouse: the warehouse whose tables are read and written.
            scratch: folder for temporary files.

        Raises:
            WarehouseError: Spark does not start, or lacks jars.
        """
        self.scratch, self._warehouse = scratch, warehouse
        self._is_guest = SparkSession.getActiveSession() is not None
        self._session = start(self._warehouse)
        self._staging = Staging(self._session, self._warehouse)
        self._parameters: dict[str, str | bytes] = {}
        self._relations: set[str] = set()
        self._scans: set[str] = set()

    def __enter__(self) -> Self:
        """See `Backend`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """See `Backend`. Does not stop a Spark that ran before."""
        for relation in list(self._relations):
            self.drop(relation)
        self._staging.close()
        if not self._is_guest:
            self._session.stop()

    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        """See `Backend`."""
        self._parameters = dict(values)

    def select(self, query: str) -> list[dict[str, Any]]:
        """See `Backend`."""
        with spark_errors():
            return [row.asDict() for row in self._frame(query).collect()]

    def materialize(self, relation: str, query: str) -> None:
        """See `Backend`."""
        self._checkpoint(relation, self._frame(query))

    def materialize_values(self, relation: str, columns: Iterable[tuple[str, ColumnType, Sequence[object]]]) -> None:
        """See `Backend`."""
        listed = [(name, column_type, list(values)) for name, column_type, values in columns]
        schema = struct_type((name, column_type) for name, column_type, _ in listed)
        converted = ([spark_value(column_type, value) for value in values] for _, column_type, values in listed)
        self._checkpoint(relation, self._session.createDataFrame(list(zip(*converted, strict=True)), schema))

    def drop(self, relation: str) -> None:
        """See `Backend`."""
        if relation in self._relations:
            self._relations.remove(relation)
            self._drop_view(relation)

    def checksum(self, columns: str) -> str:
        """See `Backend`."""
        return f"sum(CAST(xxhash64({columns}) AS DECIMAL(38, 0)))"

    def repeat_rows(self, columns: str, source: str, times: str) -> str:
        """See `Backend`."""
        return f"SELECT {columns} FROM (SELECT {columns}, explode(sequence(1, {times})) AS copy FROM {source}) AS repeated"

    def scan(self, table: Table, files: DataFiles) -> str:
        """See `Backend`."""
        return f"SELECT {columns(table)} FROM {self._scanned(table, files)}" if files else no_rows(table)

    def scan_with_filename(self, table: Table, files: DataFiles) -> str:
        """See `Backend`."""
        return f"SELECT * FROM {self._scanned(table, files)}"

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        """See `Backend`. Iceberg sorts by the table's own order and ignores `sort_by`."""
        rows = self._frame(f"SELECT {typed_columns(table)} FROM ({query}) AS q")
        with spark_errors():
            if folder == self._warehouse.path(f"{table_folder(table.name)}/{DATA}"):
                return self._staging.write(table, rows)
            return write_plain(self._warehouse, table, rows, f"{folder}/{own_uuid()}")

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """See `Backend`. The executors read the files with DuckDB."""
        records, landed, quarantined = _ingest_names(feed)
        with spark_errors():
            self._checkpoint(records, read_records(self._session, feed, files))
        counts, other_formats = {}, {}
        for row in self.select(
            "SELECT source_file, count(source_position) FILTER (reason IS NULL) AS landed, "
            "count(source_position) FILTER (reason IS NOT NULL) AS quarantined, "
            f"max(reason) FILTER (source_position IS NULL) AS remark FROM {quoted(records)} GROUP BY source_file"
        ):
            if row["source_file"] is None:
                raise LandingError(row["remark"])
            if row["remark"] is not None:
                other_formats[row["source_file"]] = row["remark"]
            counts[row["source_file"]] = (row["landed"], row["quarantined"])
        source = f"FROM {quoted(records)} WHERE source_position IS NOT NULL"
        self._create_view(landed, f"SELECT {columns(feed.table)} {source} AND reason IS NULL")
        self._create_view(quarantined, f"SELECT {columns(QUARANTINE)} {source} AND reason IS NOT NULL")
        return Ingested(landed, quarantined, counts, other_formats)

    def release(self, feed: Feed) -> None:
        """See `Backend`."""
        records, landed, quarantined = _ingest_names(feed)
        self._drop_view(landed)
        self._drop_view(quarantined)
        self.drop(records)

    def _frame(self, query: str) -> DataFrame:
        """Translate and plan a query; its materialized common table expressions are computed first."""
        materialized, text = translate(query)
        with spark_errors():
            for name, cte in materialized.items():
                self._plan(cte).localCheckpoint().createOrReplaceTempView(name)
            frame = self._plan(text)
            for name in materialized:
                self._drop_view(name)
        return frame

    def _plan(self, text: str) -> DataFrame:
        # Each parameter costs several calls to Java and a rewrite of the whole query, so only those in the query are passed.
        used = {name: value for name, value in self._parameters.items() if f":{name}" in text}
        return self._session.sql(text, args=used)

    def _checkpoint(self, relation: str, frame: DataFrame) -> None:
        """Compute a relation now, and drop its plan. Otherwise later plans would contain those of all earlier relations."""
        self._relations.add(relation)
        with spark_errors():
            frame.localCheckpoint().createOrReplaceTempView(relation)

    def _create_view(self, name: str, query: str) -> None:
        self._frame(query).createOrReplaceTempView(name)

    def _drop_view(self, name: str) -> None:
        self._session.catalog.dropTempView(name)

    def _scanned(self, table: Table, files: DataFiles) -> str:
        """Quoted name of a temporary view of the rows of some files, with `filename`. Created on the first call."""
        name = f"files_{sha256(repr((table.name, files)).encode()).hexdigest()[:16]}"
        if name not in self._scans:
            with spark_errors():
                self._read(table, files).createOrReplaceTempView(name)
            self._scans.add(name)
        return quoted(name)

    def _read(self, table: Table, files: DataFiles) -> DataFrame:
        """Read files with `filename`: those of a snapshot by Iceberg, others as plain Parquet."""
        if files.snapshot_id is None:
            return read_plain(self._session, self._warehouse, table, files.paths)
        if files.is_part:
            frame = self._staging.read(table, files)
        else:
            name = self._staging.table_name(table)
            frame = self._session.read.option("versionAsOf", files.snapshot_id).table(name)
        return frame.withColumn("filename", F.regexp_replace("_file", "^file:/+", "/"))


def _ingest_names(feed: Feed) -> tuple[str, str, str]:
    """Names of the relations of a feed's records: all, landed and quarantined."""
    return f"records_{feed.name}", f"landed_{feed.name}", f"quarantined_{feed.name}"
