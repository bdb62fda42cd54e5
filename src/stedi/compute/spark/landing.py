"""Read landing files on Spark's executors: each task has the embedded engine read a lot of files."""

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

# Files differ in size; several tasks a core even that out. A task keeps copies of its files in S3,
# so of very many files none gets too many.
_TASKS_A_CORE = 2
_FILES_A_TASK = 64
# What the engine takes beyond it goes to disk. A file of 471 MB (4.8 million readings) stays within it, and the
# process within 580 MB; with half of it, 89 MB go to disk, and it takes no longer.
_MEMORY_A_TASK = "512MB"
_ROWS_A_BATCH = 65_536


def columns_read(feed: Feed) -> tuple[Column, ...]:
    """What `read_lots` tells of each record: the columns of the landing table and those of quarantine."""
    landed = feed.table.columns
    names = {column.name for column in landed}
    return (*landed, *(column for column in QUARANTINE.columns if column.name not in names))


def read_lots(session: SparkSession, feed: Feed, files: Sequence[LandingFile]) -> DataFrame:
    """Every record of some files, each read once, in the columns of `columns_read`.

    Quarantined records have a reason. A row without a position says that a file was read whole, or
    its reason is the other format of the file; one that names no file gives the reason why a lot of files
    was not read.
    """
    cores = session.sparkContext.defaultParallelism
    tasks = max(1, min(len(files), _TASKS_A_CORE * cores), -(-len(files) // _FILES_A_TASK))
    lots = [files[first::tasks] for first in range(tasks)]

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in (number for batch in batches for number in batch.column(0).to_pylist()):
            yield from _read(feed, lots[number])

    return session.range(0, tasks, 1, tasks).mapInArrow(read, spark_schema(columns_read(feed)))


def _read(feed: Feed, files: Sequence[LandingFile]) -> Iterator[pa.RecordBatch]:
    """On an executor: the rows of a lot of files."""
    schema = arrow_schema(columns_read(feed))
    # Where Spark spills as well.
    spill = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).partition(",")[0]
    try:
        with Session(scratch=Path(spill), memory_limit=_MEMORY_A_TASK, threads=1) as session:
            taken = LandingReader(session, feed).read(files)
            both = f"FROM {quoted(taken.landed)} UNION ALL BY NAME FROM {quoted(taken.quarantined)}"
            columns = ", ".join(map(quoted, schema.names))
            records = session.connection.sql(f"SELECT {columns} FROM ({both}) AS records")
            for batch in records.to_arrow_reader(_ROWS_A_BATCH):
                yield batch.cast(schema)
            read = [{"source_file": name, "reason": taken.other_formats.get(name)} for name in taken.counts]
            yield pa.RecordBatch.from_pylist(read, schema)
    except StediError as error:
        yield pa.RecordBatch.from_pylist([{"reason": str(error)}], schema)
    except OSError as error:
        # Without the place, which is one of the executor's.
        why = f"an executor can't keep a copy of landing files: {error.strerror}; free some disk where Spark spills"
        yield pa.RecordBatch.from_pylist([{"reason": why}], schema)
