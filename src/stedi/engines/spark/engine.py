"""Refresh tables on Spark: translated SQL, Iceberg's own reading and writing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from stedi.engines.engine import Engine, Ingested, values
from stedi.engines.spark.dialect import translated
from stedi.engines.spark.landing import kept, staged
from stedi.engines.spark.session import spark_errors, start
from stedi.engines.spark.staging import stage, table_name
from stedi.engines.spark.types import SPARK_TYPES, spark_schema, spark_value
from stedi.engines.sql import SQL_TYPES, columns, quoted
from stedi.landing.feed import Feed
from stedi.landing.files import LandingFile
from stedi.landing.quarantine import TABLE as QUARANTINE
from stedi.own_files import own_uuid
from stedi.table import MILLISECONDS_A_DAY, ColumnType, DataFiles, Table, WrittenFile

_PATTERN = re.compile(r"[*?{}\[\]\\]")


class SparkEngine(Engine):
    """Refreshes tables in one Spark session.

    Tables of the catalog are read at their snapshots and written by Iceberg; rows never come to
    the driver, figures and the names of files do.
    """

    def __init__(self, *, warehouse: Path, scratch: Path) -> None:
        self.scratch, self._warehouse = scratch, warehouse.resolve()
        self._is_guest = SparkSession.getActiveSession() is not None
        self._session = start(self._warehouse)
        self._parameters: dict[str, str | bytes] = {}
        self._kept: set[str] = set()
        self._files: dict[str, list[LandingFile]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for relation in list(self._kept):
            self.drop(relation)
        if not self._is_guest:
            self._session.stop()

    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        self._parameters = dict(values)

    def bound(self, query: str) -> str:
        return query

    def _frame(self, sql: str) -> DataFrame:
        with spark_errors():
            return self._session.sql(translated(sql), args=self._parameters)

    def select(self, sql: str) -> list[dict[str, Any]]:
        with spark_errors():
            return [row.asDict() for row in self._frame(sql).collect()]

    def keep(self, relation: str, query: str) -> None:
        self._keep(relation, self._frame(query))

    def _keep(self, relation: str, frame: DataFrame) -> None:
        # Not only remembered but cut off from what it came of: relations come of relations, and a
        # run's last would carry the plans of all before it.
        self._kept.add(relation)
        with spark_errors():
            frame.localCheckpoint().createOrReplaceTempView(relation)

    def name(self, relation: str, query: str) -> None:
        self._frame(query).createOrReplaceTempView(relation)

    def hold(self, relation: str, columns: Iterable[tuple[str, ColumnType, Sequence[object]]]) -> None:
        listed = [(name, kind, list(each)) for name, kind, each in columns]
        schema = StructType([StructField(name, SPARK_TYPES[kind]) for name, kind, _ in listed])
        rows = zip(*([spark_value(kind, value) for value in each] for _, kind, each in listed), strict=True)
        self._keep(relation, self._session.createDataFrame(list(rows), schema))

    def drop(self, relation: str) -> None:
        if relation in self._kept:
            self._kept.remove(relation)
            self.unname(relation)

    def unname(self, relation: str) -> None:
        self._session.catalog.dropTempView(relation)

    def digest(self, names: str) -> str:
        return f"sum(CAST(xxhash64({names}) AS DECIMAL(38, 0)))"

    def repeated(self, names: str, source: str, times: str) -> str:
        # Hardly a row differs by more than one; numbers for all that do come from the rows themselves.
        return f"SELECT {names} FROM (SELECT {names}, explode(sequence(1, {times})) AS copy FROM {source}) AS repeated"

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        self._files[feed.name] = list(files)
        landed, quarantined = staged(self._session, feed, files)
        self._keep(f"staged_landed_{feed.name}", landed)
        self._keep(f"staged_quarantined_{feed.name}", quarantined)
        taken = self._show_staged(feed, range(len(files)))
        counts = {file.name: [0, 0] for file in files}
        for place, relation in enumerate((taken.landed, taken.quarantined)):
            for row in self.select(f"SELECT source_file, count(*) AS n FROM {quoted(relation)} GROUP BY source_file"):
                counts[row["source_file"]][place] = row["n"]
        return Ingested(taken.landed, taken.quarantined, {name: (n, m) for name, (n, m) in counts.items()})

    def leave_out(self, feed: Feed, files: Iterable[LandingFile]) -> None:
        gone = {file.name for file in files}
        self._show_staged(feed, [n for n, file in enumerate(self._files[feed.name]) if file.name not in gone])

    def _show_staged(self, feed: Feed, numbers: Iterable[int]) -> Ingested:
        chosen, shown = list(numbers), []
        for kind, table in (("landed", feed.table), ("quarantined", QUARANTINE)):
            source = f"SELECT {columns(table)} FROM {quoted(f'staged_{kind}_{feed.name}')}"
            self.name(f"{kind}_{feed.name}", f"{source} WHERE {kept(chosen) if chosen else 'false'}")
            shown.append(f"{kind}_{feed.name}")
        return Ingested(shown[0], shown[1], {})

    def forget(self, feed: Feed) -> None:
        self._files.pop(feed.name, None)
        for kind in ("landed", "quarantined"):
            self.unname(f"{kind}_{feed.name}")
            self.drop(f"staged_{kind}_{feed.name}")

    def rows_of(self, table: Table, files: DataFiles) -> str:
        if files:
            return f"SELECT {columns(table)} FROM {self.rows_with_file(table, files)}"
        nulls = ", ".join(f"NULL::{SQL_TYPES[c.type]} AS {quoted(c.name)}" for c in table.columns)
        return f"SELECT {nulls} WHERE false"

    def rows_with_file(self, table: Table, files: DataFiles) -> str:
        name = f"files_{sha256(repr((table.name, files)).encode()).hexdigest()[:16]}"
        with spark_errors():
            if files.snapshot_id is not None:
                at = self._session.read.option("versionAsOf", files.snapshot_id).table(table_name(table))
                frame = at.withColumn("filename", F.regexp_replace("_file", "^file:/+", "/"))
                if files.is_part:
                    frame = frame.where(F.col("filename").isin(*files.paths))
            else:
                plain = self._session.read.schema(spark_schema(table.columns)).parquet(*map(_plain, files.paths))
                path = F.expr("url_decode(replace(_metadata.file_path, '+', '%2B'))")
                frame = plain.withColumn("filename", F.regexp_replace(path, "^file:/+", "/"))
            frame.createOrReplaceTempView(name)
        return quoted(name)

    def write(self, table: Table, query: str, folder: Path, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        rows = self._frame(f"SELECT {values(table)} FROM ({query}) AS q")
        with spark_errors():
            if folder == self._warehouse / "stedi" / table.name / "data":
                return stage(self._session, table, rows)
            return self._write_plain(table, rows, folder / str(own_uuid()))

    def _write_plain(self, table: Table, rows: DataFrame, folder: Path) -> list[WrittenFile]:
        """Write files that no catalog will list."""
        writer = rows.write
        if table.day:
            day = F.col(table.day)
            writer = rows.withColumn("day_ms", day - F.pmod(day, F.lit(MILLISECONDS_A_DAY))).write.partitionBy("day_ms")
        writer.parquet(f"file://{folder}")
        files = ((path, pq.read_metadata(path).num_rows) for path in sorted(folder.rglob("*.parquet")))
        return [WrittenFile(str(path), rows, path.stat().st_size, {}) for path, rows in files if rows]


def _plain(path: str) -> str:
    """A file's path in which the characters of patterns stand for themselves."""
    return "file://" + _PATTERN.sub(r"\\\g<0>", path)
