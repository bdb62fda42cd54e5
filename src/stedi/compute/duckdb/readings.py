"""Accelerometer readings out of anybody's files, as samples at a steady rate, sorted out of core."""

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

from stedi.compute.duckdb.landing import LandingReader
from stedi.compute.duckdb.session import Session
from stedi.compute.duckdb.sql import paths
from stedi.errors import LandingError, WarehouseError
from stedi.ingest.landing_file import has_json_ending, look, safe_name
from stedi.model.feed import Field
from stedi.model.resampling import MAX_VALUE, resample_sql
from stedi.model.sql import literal, quoted
from stedi.tables.landing.accelerometer import FEED

Form = Literal["json", "csv", "parquet"]

# Files that begin with more blanks hold no readings.
_START = 1 << 16
_BATCH_ROWS = 50_000
_STANDARD_INPUT = Path("/dev/stdin")
# Lines are counted fastest in pieces that fit the processor's cache.
_PIECE_BYTES = 1 << 18
# The last millisecond of the year 9999. Readings count from any epoch here.
_LAST_MILLISECOND = 253_402_300_799_999
# Engines take off spaces alone where the other kinds of white space are not named.
_WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# No phone takes 2,000 readings a second; a hundred at one moment may be retries.
_CROWDED_A_MS, _FEWEST_CROWDED = 2, 100
# A clock that ticks 64 or 400 times a second has fractions of milliseconds, which the landing feed refuses.
_FRACTIONS = replace(
    FEED, fields=tuple(replace(field, kind="number") if field.kind == "milliseconds" else field for field in FEED.fields)
)
_NAMES = tuple(field.name for field in FEED.fields)
_QUOTED_NAMES = ", ".join(map(quoted, _NAMES))
# A line may be refused for several reasons, and is so for the first.
_REFUSED = (
    "SELECT CASE WHEN bool_or(error_type = 'INVALID ENCODING') THEN 'not_utf8' ELSE 'not_csv' END AS reason "
    "FROM reject_errors GROUP BY line"
)


class ReadingFiles:
    """Readings of any number of files, held by the embedded engine, which spills what is too much for memory.

    Attributes:
        rows: how many rows or records the files hold.
        left_out: how many of them are no readings, by the reason's name.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.rows = 0
        self.left_out: Counter[str] = Counter()
        # Not temporary: what hands out users must see what hands out samples stands on.
        session.sql(
            'CREATE TABLE readings ("user" VARCHAR, "timeStamp" DOUBLE, x DOUBLE, y DOUBLE, z DOUBLE, reason VARCHAR)'
        )

    def add(self, path: Path) -> None:
        """Read a file: JSON in any layout of landing files, CSV with a header, or Parquet, packed or not.

        What is no regular file, such as a pipe, is copied first: it can be read once only. `-` is standard input.
        Times are rounded to milliseconds.

        Raises:
            LandingError: it can't be read, lacks a column, or holds rows and no reading.
            WarehouseError: memory or disk ran out.
        """
        name = safe_name(str(path))
        try:
            with self._regular(path) as file:
                form = _form(file, name)
                rows, left_out = self._add_json(file, name) if form == "json" else self._add_table(file, name, form)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise LandingError(f"file {name} can't be unpacked; send it again") from None
        except OSError as error:
            raise LandingError(f"file {name} can't be read: {error.strerror or 'it is broken'}") from None
        except duckdb.Error as error:
            # The engine's message may quote the file's values.
            raise LandingError(f"file {name} can't be read as {form}: {_why(form, error)}; write it again") from None
        if rows and rows == left_out.total():
            raise LandingError(
                f"none of the {rows:,} rows of {name} is a reading ({reasons(left_out)}); "
                f"a reading has {', '.join(_NAMES)} (ms since the epoch, UTC)"
            )
        self.rows += rows
        self.left_out += left_out

    @contextmanager
    def _regular(self, path: Path) -> Iterator[Path]:
        """The file, or a copy of what a pipe holds."""
        given = _STANDARD_INPUT if str(path) == "-" else path
        if given.is_file() or given.is_dir() or not given.exists():
            yield given
            return
        with NamedTemporaryFile(prefix="stream-", dir=self._session.scratch) as copy:
            with given.open("rb") as stream:
                copyfileobj(stream, copy)
            copy.flush()
            yield Path(copy.name)

    def _add_json(self, path: Path, name: str) -> tuple[int, Counter[str]]:
        reader = LandingReader(self._session, _FRACTIONS)
        read = reader.read([look(path, str(path))])
        if not read.counts:
            raise LandingError(f"file {name} changed while it was read; try again")
        rows, left_out = self._take(f"SELECT {_QUOTED_NAMES} FROM {quoted(read.landed)}", dict.fromkeys(_NAMES, "DOUBLE"))
        refused = Counter(dict(self._session.sql(f"SELECT reason, count(*) FROM {quoted(read.quarantined)} GROUP BY 1")))
        reader.release()
        return rows + refused.total(), left_out + refused

    def _add_table(self, path: Path, name: str, form: Form) -> tuple[int, Counter[str]]:
        file = f"{paths([str(path)])}, hive_partitioning=false"
        source = f"read_parquet({file})"
        if form == "csv":
            lines, has_quotes = _lines(path)
            packing = "gzip" if _is_packed(path) else "none"
            # In parallel the engine loses rows that it refuses where only such follow: of 32,081 it named 19,647.
            # One after the other costs no more: 4.3 million rows take 2.2 to 3.0 s of CPU time, 3.1 s in parallel.
            source = (
                f"read_csv({file}, all_varchar=true, header=true, quote='\"', escape='\"', ignore_errors=true, "
                f"store_rejects=true, parallel=false, compression={literal(packing)})"
            )
        found = {column.strip().lower(): (column, kind) for column, kind, *_ in self._session.sql(f"DESCRIBE FROM {source}")}
        # What stands in the first line is not named: without a header it is data.
        if missing := [column for column in _NAMES if column.lower() not in found]:
            raise LandingError(
                f"file {name} has no column {missing[0]}; its columns, or its first line, must name {', '.join(_NAMES)}"
            )
        columns = {column: found[column.lower()] for column in _NAMES}
        listed = ", ".join(f"{quoted(given)} AS {quoted(column)}" for column, (given, _) in columns.items())
        kinds = {column: kind for column, (_, kind) in columns.items()}
        rows, left_out = self._take(f"SELECT {listed} FROM {source}", kinds)
        if form == "csv":
            refused = Counter(dict(self._session.sql(f"SELECT reason, count(*) FROM ({_REFUSED}) AS lines GROUP BY 1")))
            for table in ("reject_errors", "reject_scans"):
                self._session.drop(table)
            # A quote that nothing closes takes all that follows into its cell, of which the engine says nothing.
            within = lines - 1 - rows - refused.total()
            if has_quotes and within > 0:
                refused["within_quotes"] = within
            rows, left_out = rows + refused.total(), left_out + refused
        return rows, +left_out

    def _take(self, query: str, kinds: Mapping[str, str]) -> tuple[int, Counter[str]]:
        """Hold a query's rows, those that are no readings with the reason; returns how many, and how many of those."""
        values = ", ".join(f"{_value(field, kinds[field.name])} AS {quoted(f'{field.name}_value')}" for field in FEED.fields)
        taken = ", ".join(quoted(f"{name}_value") for name in _NAMES)
        [(before,)] = self._session.sql("SELECT count(*) FROM readings")
        self._session.sql(
            f"INSERT INTO readings SELECT {taken}, "
            f"CASE WHEN {' AND '.join(map(_is_good, FEED.fields))} THEN NULL ELSE {_reason()} END "
            f"FROM (SELECT *, {values} FROM ({query}) AS given) AS typed"
        )
        counted = self._session.sql(f"SELECT reason, count(*) FROM readings WHERE rowid >= {before} GROUP BY 1")
        return sum(n for _, n in counted), Counter({reason: n for reason, n in counted if reason})

    def number_people(self) -> None:
        """Tell whose readings belong together: users whose names match as addresses do are one, under their first spelling.

        To be called once all files are read.

        Raises:
            LandingError: somebody's readings lie so close together that their times are no milliseconds.
        """
        self._session.resolve("resolved", "person", 'SELECT "user" FROM readings WHERE reason IS NULL')
        # A name that is not one address is a name of its own.
        self._session.sql(
            'CREATE TABLE spellings AS SELECT "user", min(r.rowid) AS first, coalesce(identity, "user") AS person '
            'FROM readings AS r JOIN resolved ON spelling = "user" WHERE reason IS NULL GROUP BY ALL'
        )
        self._session.drop("resolved")
        self._session.sql(
            'CREATE TABLE people AS SELECT person, "user", row_number() OVER (ORDER BY "user") - 1 AS number '
            'FROM (SELECT person, arg_min("user", first) AS "user" FROM spellings GROUP BY person) AS named'
        )
        self._session.sql(
            'CREATE VIEW placed AS SELECT number, "timeStamp"::BIGINT AS t, x, y, z FROM readings '
            'JOIN (SELECT s."user", number FROM spellings AS s JOIN people USING (person)) AS numbered USING ("user") '
            "WHERE reason IS NULL"
        )
        [(users, crowded)] = self._session.sql(
            f"SELECT count(*), count(*) FILTER (n > {_FEWEST_CROWDED} AND n > {_CROWDED_A_MS} * (took_ms + 1)) "
            "FROM (SELECT count(*) AS n, max(t) - min(t) AS took_ms FROM placed GROUP BY number) AS spans"
        )
        if crowded:
            raise LandingError(
                f"readings of {crowded:,} of {users:,} users come more than {1000 * _CROWDED_A_MS:,} times a second; "
                "are their times in seconds? timeStamp is ms since the epoch, UTC"
            )

    def users(self) -> Iterator[str]:
        """All users, in order, as the files spell them first; their places are their numbers."""
        for batch in self._batches('SELECT "user" FROM people ORDER BY number'):
            yield from batch["user"].to_pylist()

    def samples(self) -> Iterator[pa.RecordBatch]:
        """Samples at 50 Hz by number and at_ms: number and at_ms (long, ms since the epoch), x, y and z (float).

        Raises:
            WarehouseError: memory or disk ran out.
        """
        return self._batches(
            f"SELECT number, at_ms, x::FLOAT AS x, y::FLOAT AS y, z::FLOAT AS z "
            f"FROM ({resample_sql('placed', 'number')}) AS samples ORDER BY number, at_ms"
        )

    def _batches(self, query: str) -> Iterator[pa.RecordBatch]:
        # Results that are read at the same time need connections of their own.
        with self._session.connection.cursor() as cursor, _spilling():
            yield from cursor.sql(query).to_arrow_reader(_BATCH_ROWS)


@contextmanager
def _spilling() -> Iterator[None]:
    try:
        yield
    # Arrow hands the engine's own errors on as OSError.
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise WarehouseError(
            "the embedded engine ran out of memory or of disk for sorting readings; free some, or set memory_limit"
        ) from error


def reasons(left_out: Mapping[str, int]) -> str:
    """Why rows were left out, on one line, the most frequent reason first."""
    return ", ".join(f"{reason} {n:,}" for reason, n in sorted(left_out.items(), key=lambda each: (-each[1], each[0])))


def _why(form: Form, error: duckdb.Error) -> str:
    if form != "csv":
        return type(error).__name__
    return (
        "its lines end in different ways, or have no separator in common, or a line such as sep=, stands before the header"
    )


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _opened(path: Path) -> BufferedIOBase:
    """A file's content, unpacked."""
    return gzip.open(path) if _is_packed(path) else path.open("rb")


def _lines(path: Path) -> tuple[int, bool]:
    """How many lines of a file are not empty, and whether it holds quotes.

    Raises:
        EOFError, OSError, zlib.error: it can't be read or unpacked.
    """
    lines, has_quotes, last = 0, False, b"\n"
    with _opened(path) as file:
        while piece := file.read(_PIECE_BYTES):
            found = piece.splitlines()
            goes_on = last not in b"\r\n" and piece[:1] not in b"\r\n"
            lines += len(found) - found.count(b"") - goes_on
            has_quotes = has_quotes or b'"' in piece
            last = piece[-1:]
    return lines, has_quotes


def _form(path: Path, name: str) -> Form:
    """What a file is: by its first character that is not blank, and by its name where that leaves it open.

    Raises:
        EOFError, OSError, zlib.error: it can't be read or unpacked.
        LandingError: it is in another encoding than UTF-8.
    """
    with _opened(path) as file:
        start = file.read(_START)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LandingError(f"file {name} is UTF-16; write it again as UTF-8")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if not text or text[:1] in b"{[" or has_json_ending(path.name) else "csv"


def _value(field: Field, kind: str) -> str:
    """SQL for a field's value as text or number; null where it is none."""
    name = quoted(field.name)
    if field.kind == "text":
        # Some writers of Parquet don't mark text as such.
        text = f"TRY(decode({name}))" if kind == "BLOB" else f"{name}::VARCHAR"
        return "NULL::VARCHAR" if kind.endswith("]") or kind.startswith(("STRUCT", "MAP")) else text
    # The engine takes truth values for 1 and 0.
    number = "NULL::DOUBLE" if kind == "BOOLEAN" else f"TRY_CAST({name} AS DOUBLE)"
    if field.kind == "number":
        return number
    # The engine knows no epoch of nanoseconds in UTC; of microseconds it does.
    ms = f"epoch_us({name}::TIMESTAMPTZ) / 1000" if kind.startswith("TIMESTAMP") else number
    return f"round({ms})"


def _is_good(field: Field) -> str:
    value = quoted(f"{field.name}_value")
    if field.kind == "text":
        return _names_somebody(value)
    if field.kind == "number":
        return f"abs({value}) <= {MAX_VALUE}"
    return f"{value} BETWEEN 0 AND {_LAST_MILLISECOND}"


def _names_somebody(text: str) -> str:
    """SQL condition: a text is not blank. What starts with a visible character needs no trimming."""
    return f"CASE WHEN {text} BETWEEN '!' AND '~' THEN true ELSE trim({text}, {literal(_WHITE_SPACE)}) <> '' END"


def _reason() -> str:
    """SQL for why a row is no reading, in the words of the landing feeds."""
    cases = []
    for field in FEED.fields:
        name, value = quoted(field.name), quoted(f"{field.name}_value")
        cases.append(f"WHEN coalesce(trim({name}::VARCHAR), '') = '' THEN '{field.name}_missing'")
        if field.kind == "text":
            cases.append(f"WHEN {value} IS NULL THEN '{field.name}_not_text'")
            cases.append(f"WHEN NOT {_names_somebody(value)} THEN '{field.name}_missing'")
            continue
        cases.append(f"WHEN {value} IS NULL THEN '{field.name}_not_a_number'")
        if field.kind == "number":
            cases.append(f"WHEN NOT isfinite({value}) THEN '{field.name}_not_finite'")
        what = "out_of_range" if field.kind == "number" else "not_milliseconds"
        cases.append(f"WHEN NOT ({_is_good(field)}) THEN '{field.name}_{what}'")
    return f"CASE {' '.join(cases)} END"
