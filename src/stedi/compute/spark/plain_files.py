"""Read and write Parquet files that no catalog lists: drafts of tables, and quarantined records."""

import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from stedi.compute.spark.types import arrow_type, spark_schema
from stedi.model.data_files import WrittenFile
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.storage import Warehouse
from stedi.storage.own_files import own_uuid

_PATTERN = re.compile(r"[*?{}\[\]\\]")
# Files in S3 contain quarantined records only. They are small enough to read and write each in one piece.
_ROWS_PER_BATCH = 65_536


def read_plain(session: SparkSession, warehouse: Warehouse, table: Table, paths: Sequence[str]) -> DataFrame:
    """Read the rows of files (at least one), with the path of each row's file in the column `filename`."""
    if paths[0].startswith("/"):
        plain = session.read.schema(spark_schema(table.columns)).parquet(*map(_local, paths))
        location = F.expr("url_decode(replace(_metadata.file_path, '+', '%2B'))")
        return plain.withColumn("filename", F.regexp_replace(location, "^file:/+", "/"))
    # Spark can't read from S3 without extra jars, and Iceberg's S3FileIO serves Iceberg tables only.
    columns = [(column.name, arrow_type(column.type)) for column in table.columns]
    schema = spark_schema(table.columns).add("filename", "string")
    listed = session.createDataFrame([(path,) for path in paths], "filename string").repartition(len(paths))
    return listed.mapInArrow(lambda batches: _read_task(warehouse, columns, batches), schema)


def write_plain(warehouse: Warehouse, table: Table, rows: DataFrame, folder: str) -> list[WrittenFile]:
    """Write rows as Parquet files in a new folder, on disk or in S3."""
    if folder.startswith("/"):
        return _write_local(table, rows, Path(folder))
    written = rows.mapInArrow(lambda batches: _write_task(warehouse, folder, batches), "path string, rows long, bytes long")
    return [WrittenFile(file.path, file.rows, file.bytes, {}) for file in written.collect()]


def _write_local(table: Table, rows: DataFrame, folder: Path) -> list[WrittenFile]:
    writer = rows.write
    if table.day:
        day = F.col(table.day)
        writer = rows.withColumn("day_ms", day - F.pmod(day, F.lit(MILLISECONDS_A_DAY))).write.partitionBy("day_ms")
    writer.parquet(f"file://{folder}")
    files = ((path, pq.read_metadata(path).num_rows) for path in sorted(folder.rglob("*.parquet")))
    return [WrittenFile(str(path), rows, path.stat().st_size, {}) for path, rows in files if rows]


def _read_task(
    warehouse: Warehouse, columns: Sequence[tuple[str, pa.DataType]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Read the files whose paths the batches contain, on an executor."""
    schema = pa.schema([*columns, ("filename", pa.string())])
    for path in (path for batch in batches for path in batch.column(0).to_pylist()):
        file = pq.ParquetFile(BytesIO(warehouse.read(warehouse.name_of(path))))
        for part in file.iter_batches(_ROWS_PER_BATCH, columns=[name for name, _ in columns]):
            values = [part.column(name).cast(kind) for name, kind in columns]
            yield pa.RecordBatch.from_arrays([*values, pa.repeat(path, part.num_rows)], schema=schema)


def _write_task(warehouse: Warehouse, folder: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write the rows of one task as one file, on an executor. Without rows no file is written."""
    content, writer, rows = BytesIO(), None, 0
    for batch in batches:
        writer = writer or pq.ParquetWriter(content, batch.schema, compression="snappy")
        writer.write_batch(batch)
        rows += batch.num_rows
    if writer is not None and rows:
        writer.close()
        path = f"{folder}/{own_uuid()}.parquet"
        warehouse.create(warehouse.name_of(path), content.getvalue())
        yield pa.RecordBatch.from_pydict({"path": [path], "rows": [rows], "bytes": [content.tell()]})


def _local(path: str) -> str:
    """The URL of a local file, with the characters of glob patterns escaped."""
    return "file://" + _PATTERN.sub(r"\\\g<0>", path)
