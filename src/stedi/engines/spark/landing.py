"""Read landing files on Spark's executors, file by file, with the readers that every engine shares."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import IntegerType, StructField, StructType

from stedi.engines.spark.types import spark_schema, spark_value
from stedi.landing.feed import Feed
from stedi.landing.files import LandingFile
from stedi.landing.quarantine import TABLE as QUARANTINE
from stedi.landing.records import read_records, row_of
from stedi.table import Column

STAGED = StructField("file_number", IntegerType())


def staged(session: SparkSession, feed: Feed, files: Sequence[LandingFile]) -> tuple[DataFrame, DataFrame]:
    """The landed and the quarantined rows of some files, each with the number of its file."""
    numbered = list(enumerate(files))
    # A file is read from its start to its end, so each is one task.
    tasks = session.sparkContext.parallelize(numbered, max(1, len(numbered)))
    outcomes = tasks.flatMap(lambda file: _rows(feed, *file)).persist()

    def frame(columns: Iterable[Column], is_landed: bool) -> DataFrame:
        schema = StructType([STAGED, *spark_schema(columns).fields])
        rows = outcomes.filter(lambda outcome: outcome[0] is is_landed).map(lambda outcome: outcome[1])
        return session.createDataFrame(rows, schema, verifySchema=False)

    return frame(feed.table.columns, True), frame(QUARANTINE.columns, False)


def _rows(feed: Feed, number: int, file: LandingFile) -> Iterator[tuple[bool, tuple[object, ...]]]:
    for position, found in enumerate(read_records(Path(file.path)), start=1):
        is_landed, row = row_of(feed, file, position, found.text, found.pairs, found.reason)
        columns = feed.table.columns if is_landed else QUARANTINE.columns
        values = (spark_value(column.type, value) for column, value in zip(columns, row, strict=True))
        yield is_landed, (number, *values)


def kept(numbers: Iterable[int]) -> str:
    """SQL condition for the rows of some files."""
    return f"file_number IN ({', '.join(map(str, numbers))})"
