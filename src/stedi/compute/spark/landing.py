"""Read landing files on Spark's executors: each task reads some of the files with DuckDB."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from stedi.compute.duckdb.landing_reader import LandingReader
from stedi.compute.duckdb.session import Session
from stedi.compute.spark.types import arrow_schema, spark_schema
from stedi.errors import StediError
from stedi.ingest.landing_file import LandingFile
from stedi.model.feed import Feed
from stedi.model.sql import quoted
from stedi.model.table import Column
from stedi.tables.landing.quarantine import TABLE as QUARANTINE

# Files differ in size. Several tasks per core balance the load.
_TASKS_PER_CORE = 2
# A task copies all its files from S3 to its disk first, so their number is limited.
_FILES_PER_TASK = 64
# Above this limit DuckDB spills to disk. A file of 471 MB (4.8 million readings) fits, in a process of 580 MB. With half the
# limit, DuckDB spills 89 MB and is as fast.
_MEMORY_PER_TASK = "512MB"
_ROWS_PER_BATCH = 65_536


def record_columns(feed: Feed) -> tuple[Column, ...]:
    """Return the columns of `read_records`: those of the landing table, and those that only quarantine has."""
    landed = feed.table.columns
    names = {column.name for column in landed}
    return (*landed, *(column for column in QUARANTINE.columns if column.name not in names))


def read_records(session: SparkSession, feed: Feed, files: Sequence[LandingFile]) -> DataFrame:
    """Read landing files, each once.

    Returns:
        Rows with the columns of `record_columns`, of three kinds.
        A record has a `source_position`; a quarantined one has a `reason`.
        A file that was read has no `source_position`; its `reason` is the format, if the file contains no JSON.
        A failed task has no `source_file`; its `reason` is the error message.
    """
    cores = session.sparkContext.defaultParallelism
    tasks = max(1, min(len(files), _TASKS_PER_CORE * cores), -(-len(files) // _FILES_PER_TASK))
    parts = [files[first::tasks] for first in range(tasks)]

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in (number for batch in batches for number in batch.column(0).to_pylist()):
            yield from _read_part(feed, parts[number])

    return session.range(0, tasks, 1, tasks).mapInArrow(read, spark_schema(record_columns(feed)))


def _read_part(feed: Feed, files: Sequence[LandingFile]) -> Iterator[pa.RecordBatch]:
    """Read the files of one task, on an executor."""
    schema = arrow_schema(record_columns(feed))
    # Spark spills to this folder, too.
    spill = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).partition(",")[0]
    try:
        with Session(scratch=Path(spill), memory_limit=_MEMORY_PER_TASK, threads=1) as session:
            ingested = LandingReader(session, feed).read(files)
            both = f"FROM {quoted(ingested.landed)} UNION ALL BY NAME FROM {quoted(ingested.quarantined)}"
            columns = ", ".join(map(quoted, schema.names))
            records = session.connection.sql(f"SELECT {columns} FROM ({both}) AS records")
            for batch in records.to_arrow_reader(_ROWS_PER_BATCH):
                yield batch.cast(schema)
            files_read = [{"source_file": name, "reason": ingested.other_formats.get(name)} for name in ingested.counts]
            yield pa.RecordBatch.from_pylist(files_read, schema)
    except StediError as error:
        yield pa.RecordBatch.from_pylist([{"reason": str(error)}], schema)
    except OSError as error:
        # The path is left out: it is on the executor's disk.
        message = f"an executor can't copy landing files: {error.strerror}; free disk space in the folder where Spark spills"
        yield pa.RecordBatch.from_pylist([{"reason": message}], schema)
