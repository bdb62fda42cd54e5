"""The embedded backend: one DuckDB session that reads and writes Parquet itself."""

from collections.abc import Sequence
from typing import Any

import duckdb

from stedi.compute.backend import Ingested
from stedi.compute.duckdb.landing_reader import LandingReader
from stedi.compute.duckdb.session import Session, first_line
from stedi.compute.duckdb.sql import bind_parameters, scan, scan_with_filename
from stedi.compute.duckdb.written_files import written_files
from stedi.compute.sql import typed_columns
from stedi.errors import REPAIR_ADVICE, WarehouseError
from stedi.ingest.landing_file import LandingFile
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.feed import Feed
from stedi.model.sql import literal, quoted
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.storage.own_files import OWN_SUFFIX, own_uuid

# Athena and Spark read files of a few hundred megabytes best.
_TARGET_FILE = "256MB"
# Parquet's second version is written twice as fast, but Iceberg's reader on Spark rejects its encodings.
# With a small limit, DuckDB sooner stops building a dictionary of values that hardly repeat: it writes 6 million landing
# rows in 0.96 s instead of 1.14 s, into files of the same size.
_PARQUET = "FORMAT parquet, WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 1000, RETURN_STATS"
# Landing rows are written once and read by STEDI only: snappy takes a third less time than zstd, for files twice as large.
# Athena bills scans of the other tables by size: zstd's first level takes a quarter less time than its third, for files 1.5
# times as large.
_COMPRESSION, _LANDING_COMPRESSION = "zstd, COMPRESSION_LEVEL 1", "snappy"
# A row group is read as a whole, even for one of its rows. Readings are sorted by person, so smaller groups mean fewer rows
# to read. Compared with groups of 122,880 rows, reading 137 people of 29 million landing rows takes half the CPU time, and
# 40 people of 13 million sorted rows 60%. Writing, and reading everything, take the same time.
_ROW_GROUP_ROWS, _LANDING_ROW_GROUP_ROWS = 40_960, 20_480


class DuckDBBackend(Session):
    """Implements `stedi.compute.backend.Backend` in one DuckDB session. Relations are temporary tables."""

    def sql(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """Run a statement as `Session.sql` does.

        Raises:
            WarehouseError: also if a data file is damaged.
        """
        try:
            return super().sql(sql, parameters)
        except duckdb.InvalidInputException as error:
            # DuckDB raises it for truncated files, but also with values of rows, which must not get into a message.
            if "parquet" not in str(error).lower():
                raise
            raise WarehouseError(f"a file of the tables is damaged: {first_line(error)}; {REPAIR_ADVICE}") from error

    def materialize(self, relation: str, query: str) -> None:
        """See `Backend`."""
        self.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(relation)} AS {bind_parameters(query)}")

    def checksum(self, columns: str) -> str:
        """See `Backend`."""
        return f"sum(hash({columns})::HUGEINT)"

    def repeat_rows(self, columns: str, source: str, times: str) -> str:
        """See `Backend`."""
        return f"SELECT {columns} FROM (SELECT {columns}, unnest(range({times})) FROM {source}) AS repeated"

    def scan(self, table: Table, files: DataFiles) -> str:
        """See `Backend`."""
        return scan(table, files)

    def scan_with_filename(self, table: Table, files: DataFiles) -> str:
        """See `Backend`."""
        return scan_with_filename(files)

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        """See `Backend`."""
        is_landing = table.zone == "landing"
        order = [] if is_landing else [f"q.{quoted(name)}" for name in sort_by or table.sort]
        ids = ", ".join(f"{quoted(c.name)}: {n}" for n, c in enumerate(table.columns, start=1))
        options = f"{_PARQUET}, COMPRESSION {_LANDING_COMPRESSION if is_landing else _COMPRESSION}, FIELD_IDS {{{ids}}}"
        options += f", ROW_GROUP_SIZE {_LANDING_ROW_GROUP_ROWS if is_landing else _ROW_GROUP_ROWS}"
        selected = typed_columns(table)
        if table.day:
            selected += f", q.{quoted(table.day)} - q.{quoted(table.day)} % {MILLISECONDS_A_DAY} AS day_ms"
            order.insert(0, "day_ms")
            options += (
                ", PARTITION_BY (day_ms), WRITE_PARTITION_COLUMNS false, APPEND, FILENAME_PATTERN '{uuid}" + f"{OWN_SUFFIX}'"
            )
            target = folder
        else:
            options += f", FILE_SIZE_BYTES '{_TARGET_FILE}'"
            target = f"{folder}/{own_uuid()}"
        rows = f"SELECT {selected} FROM ({bind_parameters(query)}) AS q"
        if order:
            rows += f" ORDER BY {', '.join(order)}"
        return written_files(table, self.sql(f"COPY ({rows}) TO {literal(target)} ({options})"))

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """See `Backend`."""
        return LandingReader(self, feed).read(files)

    def release(self, feed: Feed) -> None:
        """See `Backend`."""
        LandingReader(self, feed).release()
