"""Read landing files on Spark's executors, file by file, with the readers that every engine shares."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from stedi.engines.spark.types import spark_schema, spark_value
from stedi.landing.feed import Feed
from stedi.landing.files import LandingFile
from stedi.landing.quarantine import TABLE as QUARANTINE
from stedi.landing.records import read_records, row_of
from stedi.table import Column

# Files differ in size; several tasks a core even that out.
_TASKS_A_CORE = 2


@contextmanager
def staged(session: SparkSession, feed: Feed, files: Sequence[LandingFile]) -> Iterator[tuple[DataFrame, DataFrame]]:
    """The landed and the quarantined rows of some files; each file is read once for both, while this is open."""
    # A file is read from its start to its end; few tasks, because a small file costs less than one.
    context = session.sparkContext
    tasks = context.parallelize(files, max(1, min(len(files), _TASKS_A_CORE * context.defaultParallelism)))
    outcomes = tasks.flatMap(lambda file: _rows(feed, file)).persist()

    def frame(columns: Iterable[Column], is_landed: bool) -> DataFrame:
        rows = outcomes.filter(lambda outcome: outcome[0] is is_landed).map(lambda outcome: outcome[1])
        return session.createDataFrame(rows, spark_schema(columns), verifySchema=False)

    try:
        yield frame(feed.table.columns, True), frame(QUARANTINE.columns, False)
    finally:
        outcomes.unpersist()


def _rows(feed: Feed, file: LandingFile) -> Iterator[tuple[bool, tuple[object, ...]]]:
    for position, found in enumerate(read_records(Path(file.path)), start=1):
        is_landed, row = row_of(feed, file, position, found.text, found.pairs, found.reason)
        columns = feed.table.columns if is_landed else QUARANTINE.columns
        yield is_landed, tuple(spark_value(column.type, value) for column, value in zip(columns, row, strict=True))
