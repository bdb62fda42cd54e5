"""Read accelerometer readings from JSON, CSV and Parquet files, sort them out of core, and resample them to 50 Hz."""

import codecs
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import Literal

import duckdb
import pyarrow as pa

from stedi.compute.duckdb.landing_reader import LandingReader
from stedi.compute.duckdb.session import Session
from stedi.compute.duckdb.sql import paths
from stedi.errors import LandingError, WarehouseError
from stedi.ingest.landing_file import has_json_ending, safe_name, stat_file
from stedi.model.feed import Field
from stedi.model.resampling import MAX_VALUE, resample_sql
from stedi.model.sql import literal, quoted
from stedi.tables.landing.accelerometer import FEED

Form = Literal["json", "csv", "parquet"]

# More of a file is not read to detect its format.
_SNIFFED_BYTES = 1 << 16
_BATCH_ROWS = 50_000
_STANDARD_INPUT = Path("/dev/stdin")
# Counting lines is fastest in chunks that fit the processor's cache.
_CHUNK_BYTES = 1 << 18
# The last millisecond of the year 9999. Times before 2000 are valid here, because they may count from another epoch.
_LAST_MILLISECOND = 253_402_300_799_999
# DuckDB's trim removes spaces only, unless the other white space is listed.
_WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# No phone takes 2,000 readings per second. If a user has more, the times are in seconds. A hundred at one time may be
# retries.
_MAX_READINGS_PER_MS, _MIN_CROWDED = 2, 100
# Times at 64 or 400 Hz have fractions of milliseconds, which the landing feed refuses. So times are plain numbers here.
_FEED_WITH_FRACTIONS = replace(
    FEED, fields=tuple(replace(field, kind="number") if field.kind == "milliseconds" else field for field in FEED.fields)
)
_NAMES = tuple(field.name for field in FEED.fields)
_QUOTED_NAMES = ", ".join(map(quoted, _NAMES))
# Reason for each rejected line of a CSV file. A line may have several errors.
_REJECTED_LINES = (
    "SELECT CASE WHEN bool_or(error_type = 'INVALID ENCODING') THEN 'not_utf8' ELSE 'not_csv' END AS reason "
    "FROM reject_errors GROUP BY line"
)


class ReadingFiles:
    """Readings of any number of files, in DuckDB, which spills to disk if they do not fit into memory.

    Call `add` for each file, then `number_people`, then `users` and `samples`.

    Attributes:
        rows: number of rows in the files.
        left_out: number of rows that are no valid readings, by reason.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.rows = 0
        self.left_out: Counter[str] = Counter()
        # Not temporary: `users` and `samples` read it at the same time, each through its own connection.
        session.sql(
            'CREATE TABLE readings ("user" VARCHAR, "timeStamp" DOUBLE, x DOUBLE, y DOUBLE, z DOUBLE, reason VARCHAR)'
        )

    def add(self, path: Path) -> None:
        """Read a file. Times are rounded to milliseconds.

        Args:
            path: JSON in any layout of landing files, CSV with a header, or Parquet, compressed or not. `-` is standard
                input.

        Raises:
            LandingError: the file can't be read, lacks a column, or has rows and no reading.
            WarehouseError: memory or disk ran out.
        """
        name = safe_name(str(path))
        try:
            with self._regular_file(path) as file:
                form = _detect_form(file, name)
                rows, left_out = self._add_json(file, name) if form == "json" else self._add_table(file, name, form)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise LandingError(f"file {name} can't be decompressed; send it again") from None
        except OSError as error:
            raise LandingError(f"file {name} can't be read: {error.strerror or 'it is damaged'}") from None
        except duckdb.Error as error:
            # DuckDB's message may quote values of the file.
            raise LandingError(f"file {name} can't be read as {form}: {_explain(form, error)}; write it again") from None
        if rows and rows == left_out.total():
            raise LandingError(
                f"none of the {rows:,} rows of {name} is a reading ({format_reasons(left_out)}); "
                f"a reading has {', '.join(_NAMES)} (ms since the epoch, UTC)"
            )
        self.rows += rows
        self.left_out += left_out

    @contextmanager
    def _regular_file(self, path: Path) -> Iterator[Path]:
        """Provide the file, or a copy if it can be read only once, such as a pipe."""
        source = _STANDARD_INPUT if str(path) == "-" else path
        if source.is_file() or source.is_dir() or not source.exists():
            yield source
            return
        with NamedTemporaryFile(prefix="stream-", dir=self._session.scratch) as copy:
            with source.open("rb") as stream:
                copyfileobj(stream, copy)
            copy.flush()
            yield Path(copy.name)

    def _add_json(self, path: Path, name: str) -> tuple[int, Counter[str]]:
        reader = LandingReader(self._session, _FEED_WITH_FRACTIONS)
        ingested = reader.read([stat_file(path, str(path))])
        if not ingested.counts:
            raise LandingError(f"file {name} changed while it was read; try again")
        rows, left_out = self._insert(
            f"SELECT {_QUOTED_NAMES} FROM {quoted(ingested.landed)}", dict.fromkeys(_NAMES, "DOUBLE")
        )
        quarantined = self._count_by_reason(quoted(ingested.quarantined))
        reader.release()
        return rows + quarantined.total(), left_out + quarantined

    def _add_table(self, path: Path, name: str, form: Form) -> tuple[int, Counter[str]]:
        file = f"{paths([str(path)])}, hive_partitioning=false"
        source = f"read_parquet({file})"
        if form == "csv":
            lines, has_quotes = _count_lines(path)
            compression = "gzip" if _is_gzip(path) else "none"
            # parallel=false: in parallel, DuckDB reported only 19,647 of 32,081 rejected rows at the end of a file. It costs
            # nothing: 4.3 million rows take 2.2 to 3.0 s of CPU time, and 3.1 s in parallel.
            source = (
                f"read_csv({file}, all_varchar=true, header=true, quote='\"', escape='\"', ignore_errors=true, "
                f"store_rejects=true, parallel=false, compression={literal(compression)})"
            )
        described = self._session.sql(f"DESCRIBE FROM {source}")
        columns = {name.strip().lower(): (name, sql_type) for name, sql_type, *_ in described}
        # The message does not quote the first line: without a header it is data.
        if missing := [name for name in _NAMES if name.lower() not in columns]:
            raise LandingError(
                f"file {name} has no column {missing[0]}; its columns, or its first line, must name {', '.join(_NAMES)}"
            )
        selected = ", ".join(f"{quoted(columns[name.lower()][0])} AS {quoted(name)}" for name in _NAMES)
        sql_types = {name: columns[name.lower()][1] for name in _NAMES}
        rows, left_out = self._insert(f"SELECT {selected} FROM {source}", sql_types)
        if form == "csv":
            rejected = self._count_by_reason(f"({_REJECTED_LINES})")
            for table in ("reject_errors", "reject_scans"):
                self._session.drop(table)
            # A quote that is never closed takes all lines after it into its cell, which DuckDB does not report.
            within_quotes = lines - 1 - rows - rejected.total()
            if has_quotes and within_quotes > 0:
                rejected["within_quotes"] = within_quotes
            rows, left_out = rows + rejected.total(), left_out + rejected
        return rows, +left_out

    def _insert(self, query: str, sql_types: Mapping[str, str]) -> tuple[int, Counter[str]]:
        """Insert the rows of a query. A row that is no valid reading gets the reason.

        Args:
            query: gives the columns of `_NAMES`.
            sql_types: DuckDB's type of each of these columns.

        Returns:
            The number of rows, and the number of rows that are no valid readings, by reason.
        """
        converted = ", ".join(
            f"{_convert(field, sql_types[field.name])} AS {quoted(f'{field.name}_value')}" for field in FEED.fields
        )
        values = ", ".join(quoted(f"{name}_value") for name in _NAMES)
        [(rows_before,)] = self._session.sql("SELECT count(*) FROM readings")
        self._session.sql(
            f"INSERT INTO readings SELECT {values}, "
            f"CASE WHEN {' AND '.join(map(_is_valid, FEED.fields))} THEN NULL ELSE {_reason()} END "
            f"FROM (SELECT *, {converted} FROM ({query}) AS source) AS converted"
        )
        counts = self._count_by_reason(f"(FROM readings WHERE rowid >= {rows_before})")
        return counts.total(), Counter({reason: rows for reason, rows in counts.items() if reason})

    def _count_by_reason(self, source: str) -> Counter[str]:
        return Counter(dict(self._session.sql(f"SELECT reason, count(*) FROM {source} AS source GROUP BY 1")))

    def number_people(self) -> None:
        """Group users by person, and number the people in the order of their names.

        Users whose names normalise to the same address are one person, under the first spelling. Call this after all files
        are read.

        Raises:
            LandingError: a user has so many readings per second that the times can't be milliseconds.
        """
        self._session.create_identities("resolved", "person", 'SELECT "user" FROM readings WHERE reason IS NULL')
        # 1. One row per spelling: its first row, and its person. A name that is not one address is a person of its own.
        self._session.sql(
            'CREATE TABLE spellings AS SELECT "user", min(r.rowid) AS first, coalesce(identity, "user") AS person '
            'FROM readings AS r JOIN resolved ON spelling = "user" WHERE reason IS NULL GROUP BY ALL'
        )
        self._session.drop("resolved")
        # 2. One row per person: the first spelling, and a number.
        self._session.sql(
            'CREATE TABLE people AS SELECT person, "user", row_number() OVER (ORDER BY "user") - 1 AS number '
            'FROM (SELECT person, arg_min("user", first) AS "user" FROM spellings GROUP BY person) AS first_spellings'
        )
        # 3. Readings with the number of their person.
        self._session.sql(
            'CREATE VIEW numbered_readings AS SELECT number, "timeStamp"::BIGINT AS t, x, y, z FROM readings '
            'JOIN (SELECT s."user", number FROM spellings AS s JOIN people USING (person)) AS numbered USING ("user") '
            "WHERE reason IS NULL"
        )
        [(users, crowded)] = self._session.sql(
            f"SELECT count(*), count(*) FILTER (n > {_MIN_CROWDED} AND n > {_MAX_READINGS_PER_MS} * (took_ms + 1)) "
            "FROM (SELECT count(*) AS n, max(t) - min(t) AS took_ms FROM numbered_readings GROUP BY number) AS spans"
        )
        if crowded:
            raise LandingError(
                f"{crowded:,} of {users:,} users have more than {1000 * _MAX_READINGS_PER_MS:,} readings per second; "
                "check whether the times are in seconds: timeStamp is ms since the epoch, UTC"
            )

    def users(self) -> Iterator[str]:
        """Return the people in the order of their numbers, each under the first spelling."""
        for batch in self._batches('SELECT "user" FROM people ORDER BY number'):
            yield from batch["user"].to_pylist()

    def samples(self) -> Iterator[pa.RecordBatch]:
        """Return samples at 50 Hz, sorted by number and at_ms.

        Columns: number and at_ms (long, ms since the epoch, UTC), x, y and z (float, in the files' unit).

        Raises:
            WarehouseError: memory or disk ran out.
        """
        return self._batches(
            f"SELECT number, at_ms, x::FLOAT AS x, y::FLOAT AS y, z::FLOAT AS z "
            f"FROM ({resample_sql('numbered_readings', 'number')}) AS samples ORDER BY number, at_ms"
        )

    def _batches(self, query: str) -> Iterator[pa.RecordBatch]:
        # Results that are read at the same time need their own connections.
        with self._session.connection.cursor() as cursor, _translate_errors():
            yield from cursor.sql(query).to_arrow_reader(_BATCH_ROWS)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    # Arrow raises DuckDB's errors as OSError.
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise WarehouseError(
            "the embedded engine ran out of memory or disk while sorting readings; free some, or set memory_limit"
        ) from error


def format_reasons(left_out: Mapping[str, int]) -> str:
    """Format counts by reason on one line, the most frequent reason first."""
    by_count = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in by_count)


def _explain(form: Form, error: duckdb.Error) -> str:
    if form != "csv":
        return type(error).__name__
    return "its lines have different endings or no common separator, or a line such as sep=, is before the header"


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _open(path: Path) -> BufferedIOBase:
    """Open the decompressed content of a file."""
    return gzip.open(path) if _is_gzip(path) else path.open("rb")


def _count_lines(path: Path) -> tuple[int, bool]:
    """Count the lines that are not empty; also returns whether the file contains quotes.

    Raises:
        EOFError, OSError, zlib.error: the file can't be read or decompressed.
    """
    lines, has_quotes, last = 0, False, b"\n"
    with _open(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            chunk_lines = chunk.splitlines()
            continues = last not in b"\r\n" and chunk[:1] not in b"\r\n"
            lines += len(chunk_lines) - chunk_lines.count(b"") - continues
            has_quotes = has_quotes or b'"' in chunk
            last = chunk[-1:]
    return lines, has_quotes


def _detect_form(path: Path, name: str) -> Form:
    """Detect the format of a file, by its first character that is not blank, or else by its name.

    Raises:
        EOFError, OSError, zlib.error: the file can't be read or decompressed.
        LandingError: it is UTF-16.
    """
    with _open(path) as file:
        start = file.read(_SNIFFED_BYTES)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LandingError(f"file {name} is UTF-16; write it again as UTF-8")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if not text or text[:1] in b"{[" or has_json_ending(path.name) else "csv"


def _convert(field: Field, sql_type: str) -> str:
    """SQL expression: the value of a field as text or number; null if it is neither."""
    name = quoted(field.name)
    if field.kind == "text":
        # Some writers of Parquet do not mark text columns as text.
        text = f"TRY(decode({name}))" if sql_type == "BLOB" else f"{name}::VARCHAR"
        return "NULL::VARCHAR" if sql_type.endswith("]") or sql_type.startswith(("STRUCT", "MAP")) else text
    # DuckDB casts booleans to 1 and 0.
    number = "NULL::DOUBLE" if sql_type == "BOOLEAN" else f"TRY_CAST({name} AS DOUBLE)"
    if field.kind == "number":
        return number
    # DuckDB has no epoch_ns for times with a zone, but epoch_us.
    ms = f"epoch_us({name}::TIMESTAMPTZ) / 1000" if sql_type.startswith("TIMESTAMP") else number
    return f"round({ms})"


def _is_valid(field: Field) -> str:
    """SQL condition: the converted value of a field is valid."""
    value = quoted(f"{field.name}_value")
    if field.kind == "text":
        return _is_not_blank(value)
    if field.kind == "number":
        return f"abs({value}) <= {MAX_VALUE}"
    return f"{value} BETWEEN 0 AND {_LAST_MILLISECOND}"


def _is_not_blank(text: str) -> str:
    """SQL condition: a text is not blank. Most texts begin with a visible character and need no trimming."""
    return f"CASE WHEN {text} BETWEEN '!' AND '~' THEN true ELSE trim({text}, {literal(_WHITE_SPACE)}) <> '' END"


def _reason() -> str:
    """SQL expression: the reason why a row is no valid reading, spelled as in quarantine."""
    cases = []
    for field in FEED.fields:
        name, value = quoted(field.name), quoted(f"{field.name}_value")
        cases.append(f"WHEN coalesce(trim({name}::VARCHAR), '') = '' THEN '{field.name}_missing'")
        if field.kind == "text":
            cases.append(f"WHEN {value} IS NULL THEN '{field.name}_not_text'")
            cases.append(f"WHEN NOT {_is_not_blank(value)} THEN '{field.name}_missing'")
            continue
        cases.append(f"WHEN {value} IS NULL THEN '{field.name}_not_a_number'")
        if field.kind == "number":
            cases.append(f"WHEN NOT isfinite({value}) THEN '{field.name}_not_finite'")
        error = "out_of_range" if field.kind == "number" else "not_milliseconds"
        cases.append(f"WHEN NOT ({_is_valid(field)}) THEN '{field.name}_{error}'")
    return f"CASE {' '.join(cases)} END"
