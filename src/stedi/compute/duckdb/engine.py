"""Refresh tables in DuckDB: its SQL as it is, files by their paths, Parquet by COPY."""

from collections.abc import Sequence
from typing import Any

import duckdb

from stedi.compute.backend import Engine, Ingested, values
from stedi.compute.duckdb.landing_reader import LandingReader
from stedi.compute.duckdb.session import Session, first_line
from stedi.compute.duckdb.sql import bound, rows, rows_with_file
from stedi.compute.duckdb.written import written_files
from stedi.errors import REPAIR_ADVICE, WarehouseError
from stedi.ingest.landing_file import LandingFile
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.feed import Feed
from stedi.model.sql import literal, quoted
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.storage.own_files import OWN_SUFFIX, own_uuid

# Athena and Spark read files of a few hundred megabytes best.
_TARGET_FILE = "256MB"
# Parquet's second version writes twice as fast, but Iceberg's reader on Spark refuses its encodings.
# A smaller dictionary than the engine's own is given up sooner where values hardly repeat: 6 million
# landing rows are written in 0.96 s instead of 1.14 s, into files of the same size.
_PARQUET = "FORMAT parquet, WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 1000, RETURN_STATS"
# Landing rows are written once and read by us; snappy takes a third less time for files twice as
# large. What people query, and pay Athena for by size, is zstd, whose first level takes a quarter
# less time than the third for files half as large again.
_COMPRESSION, _LANDING_COMPRESSION = "zstd, COMPRESSION_LEVEL 1", "snappy"
# A row group is read whole for one row of it. Readings lie together by person, so fewer of smaller groups
# are read: of 137 people among 29 million landing rows in half the CPU time that groups of 122,880
# rows take, of 40 people among 13 million sorted ones in 60%. Writing and reading all take the same.
_ROW_GROUP_ROWS, _LANDING_ROW_GROUP_ROWS = 40_960, 20_480


class EmbeddedEngine(Session, Engine):
    """Refreshes tables in one DuckDB session."""

    def sql(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        try:
            return super().sql(sql, parameters)
        except duckdb.InvalidInputException as error:
            # Of a data file that is cut off, or none; it may say so of values, too, and they stay unsaid.
            if "parquet" not in str(error).lower():
                raise
            raise WarehouseError(f"a file of the tables is damaged: {first_line(error)}; {REPAIR_ADVICE}") from error

    def bound(self, query: str) -> str:
        return bound(query)

    def materialize(self, relation: str, query: str) -> None:
        self.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(relation)} AS {query}")

    def create_view(self, relation: str, query: str) -> None:
        self.sql(f"CREATE OR REPLACE TEMP VIEW {quoted(relation)} AS {query}")

    def drop_view(self, relation: str) -> None:
        self.sql(f"DROP VIEW IF EXISTS {quoted(relation)}")

    def digest(self, names: str) -> str:
        return f"sum(hash({names})::HUGEINT)"

    def repeated(self, names: str, source: str, times: str) -> str:
        return f"SELECT {names} FROM (SELECT {names}, unnest(range({times})) FROM {source}) AS repeated"

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        return LandingReader(self, feed).read(files)

    def release(self, feed: Feed) -> None:
        LandingReader(self, feed).release()

    def rows_of(self, table: Table, files: DataFiles) -> str:
        return rows(table, files)

    def rows_with_file(self, table: Table, files: DataFiles) -> str:
        return rows_with_file(files)

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        is_landing = table.zone == "landing"
        order = [] if is_landing else [f"q.{quoted(name)}" for name in sort_by or table.sort]
        ids = ", ".join(f"{quoted(c.name)}: {n}" for n, c in enumerate(table.columns, start=1))
        options = f"{_PARQUET}, COMPRESSION {_LANDING_COMPRESSION if is_landing else _COMPRESSION}, FIELD_IDS {{{ids}}}"
        options += f", ROW_GROUP_SIZE {_LANDING_ROW_GROUP_ROWS if is_landing else _ROW_GROUP_ROWS}"
        shown = values(table)
        if table.day:
            shown += f", q.{quoted(table.day)} - q.{quoted(table.day)} % {MILLISECONDS_A_DAY} AS day_ms"
            order.insert(0, "day_ms")
            options += (
                ", PARTITION_BY (day_ms), WRITE_PARTITION_COLUMNS false, APPEND, FILENAME_PATTERN '{uuid}" + f"{OWN_SUFFIX}'"
            )
            target = folder
        else:
            options += f", FILE_SIZE_BYTES '{_TARGET_FILE}'"
            target = f"{folder}/{own_uuid()}"
        query = f"SELECT {shown} FROM ({query}) AS q" + (f" ORDER BY {', '.join(order)}" if order else "")
        return written_files(table, self.sql(f"COPY ({query}) TO {literal(target)} ({options})"))
