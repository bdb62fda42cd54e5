"""DuckDB: reads landing files, runs the tables' queries, writes Parquet. The only file that imports it."""

import json
import re
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from stedi.errors import QueryError, WarehouseError
from stedi.landing.feed import LAST_MILLISECOND, Feed
from stedi.landing.files import LandingFile
from stedi.landing.quarantine import TABLE as QUARANTINE
from stedi.landing.records import InvalidRecordError, interpret, read_records, spelled_keys, typed
from stedi.table import MILLISECONDS_A_DAY, Column, Dimension, Fact, Scope, Table

_SQL_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMPTZ",
}
_ARROW_TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_JSON_TYPES = {"text": "VARCHAR", "milliseconds": "DOUBLE", "number": "DOUBLE"}
_SLOW_BATCH = 50_000
# The longest record that the fast path reads; files with longer ones are read record by record.
_LONGEST_OBJECT = 1 << 20
_TARGET_FILE = "256MB"


@dataclass(frozen=True)
class Ingested:
    """What was taken from landing files: two relations and the counts of every file."""

    landed: str
    quarantined: str
    counts: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Change:
    """An input of a table: the files that it consists of, and those when the table last read it."""

    table: Table
    files: Sequence[str]
    before: Sequence[str]


@dataclass(frozen=True)
class Difference:
    """How a table's candidate rows differ from its current ones."""

    added: int
    removed: int
    touched_files: tuple[str, ...]


# Neither empty, nor blank, nor JSON: the first character's code point is none of those of white
# space, [ or {. Asking for one number costs a fifth of trimming the text; scripts that share
# a range with white space take the slow path.
_STARTS_WITH_A_CHARACTER = "(? BETWEEN 33 AND 122 AND ? <> 91 OR ? BETWEEN 161 AND 5759 OR ? > 12288)"


def _clean(feed: Feed) -> str:
    """SQL that holds for a record with nothing to look into.

    Every key is known, given once, of the right type and not null; a truth value, which would
    pass for a number, appears nowhere.
    """
    present = " + ".join(f"({quoted(f.name)} IS NOT NULL)::INTEGER" for f in feed.fields)
    tests = [f"len(json_keys(json)) = {present}", "NOT contains(json, 'true')", "NOT contains(json, 'false')"]
    for field in feed.fields:
        name = quoted(field.name)
        valid = {
            "text": _STARTS_WITH_A_CHARACTER.replace("?", f"unicode({name})"),
            "number": f"isfinite({name})",
            "milliseconds": f"({name} BETWEEN 0 AND {LAST_MILLISECOND} AND {name} = floor({name}))",
        }[field.kind]
        tests.append(valid if field.required else f"({name} IS NULL OR {valid})")
    if feed.one_of:
        tests.append(f"coalesce({', '.join(quoted(name) for name in feed.one_of)}) IS NOT NULL")
    return " AND ".join(tests)


def quoted(name: str) -> str:
    """A SQL identifier, safe whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A SQL string, safe whatever it holds."""
    return "'" + value.replace("'", "''") + "'"


class EmbeddedEngine:
    """One DuckDB session over the files of a warehouse."""

    def __init__(self, *, scratch: Path, memory_limit: str | None = None, threads: int | None = None) -> None:
        """Start a session that spills to a folder of its own below `scratch`."""
        self._spill = tempfile.TemporaryDirectory(prefix="stedi-", dir=scratch)
        self.connection = duckdb.connect(":memory:")
        self._sql(f"SET temp_directory = {literal(self._spill.name)}")
        self._sql("SET TimeZone = 'UTC'")
        if memory_limit:
            self._sql(f"SET memory_limit = {literal(memory_limit)}")
        if threads:
            self._sql(f"SET threads = {int(threads)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.connection.close()
        self._spill.cleanup()

    def _sql(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise WarehouseError(
                "the embedded engine ran out of memory or of disk for spilling; "
                f"free some, or set memory_limit ({_first_line(error)})"
            ) from error
        except duckdb.IOException as error:
            raise WarehouseError(f"the disk refused: {_first_line(error)}") from error

    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        """Give queries their named parameters; values never become part of a query's text."""
        for name, value in values.items():
            self._sql(f"SET VARIABLE {quoted(name)} = $1", [value])

    def number(self, sql: str) -> int:
        """The single number that a query returns."""
        rows = self._sql(sql)
        return int(rows[0][0]) if rows and rows[0][0] is not None else 0

    # Tables ------------------------------------------------------------------------------

    def show_files(self, table: Table, files: Sequence[str], view: str | None = None) -> None:
        """Make a table's data files readable under its name."""
        self._sql(f"CREATE OR REPLACE TEMP VIEW {quoted(view or table.name)} AS {_select_files(table, files)}")

    def compute(self, table: Table) -> str:
        """Run a table's query; returns the name of the relation that holds the candidate rows."""
        return self._materialise(f"candidate_{table.name}", bound(table.query), table.columns)

    def _materialise(self, name: str, query: str, columns: Iterable[Column]) -> str:
        typed_columns = ", ".join(f"{quoted(c.name)}::{_SQL_TYPES[c.type]} AS {quoted(c.name)}" for c in columns)
        self._sql(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT {typed_columns} FROM ({query}) AS q")
        return name

    def gather(self, table: Table, files: Sequence[str]) -> str:
        """Rows that lie ready in Parquet files, as a table's candidate rows."""
        self.show_files(table, files, view="gathered")
        return self._materialise(f"candidate_{table.name}", "SELECT * FROM gathered", table.columns)

    def leave_out(self, feed: Feed, names: Sequence[str]) -> None:
        """Drop what `ingest` took from the named landing files."""
        gone = f"source_file IN ({', '.join(map(literal, names))})"
        for relation in ("staged_files", f"unusual_{feed.name}", f"quarantined_{feed.name}"):
            self._sql(f"DELETE FROM {quoted(relation)} WHERE {gone}")

    def drop(self, relation: str) -> None:
        self._sql(f"DROP TABLE IF EXISTS {quoted(relation)}")

    def rows(self, relation: str) -> int:
        return self.number(f"SELECT count(*) FROM {quoted(relation)}")

    def read_current(self, table: Table, files: Sequence[str]) -> str:
        """All rows of a table as it stands, with the file of each; returns the relation's name."""
        name = f"whole_{table.name}"
        self._sql(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {_with_file_names(files)}")
        return name

    def compute_scope(self, table: Table, scope: Scope, files: Sequence[str], changes: Sequence[Change]) -> tuple[str, str]:
        """Compute only what changes of the inputs reach.

        Returns the relations of the candidate rows and of the table's current rows in that scope.
        """
        self._find_scope(scope, changes)
        for change in changes:
            reach = scope.inputs[change.table.name]
            if isinstance(reach, Fact):
                rows = f"({_select_files(change.table, change.files)}) AS rows"
                narrowed = _in_scope(rows, reach.key, reach.moment, "k")
                self._sql(f"CREATE OR REPLACE TEMP VIEW {quoted(change.table.name)} AS {narrowed}")
        candidate = self.compute(table)
        for change in changes:
            self.show_files(change.table, change.files)
        current = f"current_{table.name}"
        moment = quoted(table.day) if table.day else None
        rows = _in_scope(f"{_with_file_names(files)} AS rows", quoted(scope.column), moment, bound(scope.key))
        self._sql(f"CREATE OR REPLACE TEMP TABLE {quoted(current)} AS {rows}")
        return candidate, current

    def _find_scope(self, scope: Scope, changes: Sequence[Change]) -> None:
        """Gather the keys, and the single moments of other keys, that changes of the inputs reach."""
        self._sql("CREATE OR REPLACE TEMP TABLE scope_keys (k VARCHAR)")
        self._sql("CREATE OR REPLACE TEMP TABLE scope_moments (k VARCHAR, t BIGINT)")
        for change in changes:
            reach = scope.inputs[change.table.name]
            changed = f"({_changed_rows(change, reach.columns)})"
            if isinstance(reach, Dimension):
                self._sql(f"INSERT INTO scope_keys {reach.keys.replace('{changed}', changed)}")
            elif reach.moment is None:
                self._sql(f"INSERT INTO scope_keys SELECT {reach.key} FROM {changed} AS changed")
            else:
                self._sql(f"INSERT INTO scope_moments SELECT {reach.key}, {reach.moment} FROM {changed} AS changed")
        self._sql("CREATE OR REPLACE TEMP TABLE scope_keys AS SELECT DISTINCT k FROM scope_keys WHERE k IS NOT NULL")
        self._sql(
            "CREATE OR REPLACE TEMP TABLE scope_moments AS SELECT DISTINCT k, t FROM scope_moments "
            "WHERE k IS NOT NULL AND k NOT IN (SELECT k FROM scope_keys)"
        )

    def difference(self, table: Table, candidate: str, current: str) -> Difference:
        """Compare candidate rows with current ones, row for row.

        Leaves the relations `added_…` and `removed_…` behind for `write_difference`.
        """
        added, removed = f"added_{table.name}", f"removed_{table.name}"
        columns = ", ".join(quoted(c.name) for c in table.columns)
        now = f"SELECT {columns} FROM {quoted(current)}"
        wanted = f"SELECT {columns} FROM {quoted(candidate)}"
        self._sql(f"CREATE OR REPLACE TEMP TABLE {quoted(added)} AS {wanted} EXCEPT ALL {now}")
        self._sql(f"CREATE OR REPLACE TEMP TABLE {quoted(removed)} AS {now} EXCEPT ALL {wanted}")
        touched: tuple[str, ...] = ()
        if self.rows(removed):
            found = self._sql(
                f"SELECT DISTINCT filename FROM {quoted(current)} AS f "
                f"SEMI JOIN {quoted(removed)} AS r ON {_same(table, 'f', 'r')}"
            )
            touched = tuple(sorted(row[0] for row in found))
        return Difference(self.rows(added), self.rows(removed), touched)

    def write_difference(self, table: Table, difference: Difference, folder: Path) -> list[str]:
        """Write the added rows and what stays of the touched files; returns the new files."""
        added, removed = f"added_{table.name}", f"removed_{table.name}"
        query = f"SELECT * FROM {quoted(added)}"
        if difference.touched_files:
            columns = ", ".join(quoted(c.name) for c in table.columns)
            query += (
                f" UNION ALL (SELECT {columns} FROM {_with_file_names(difference.touched_files)} "
                f"EXCEPT ALL SELECT {columns} FROM {quoted(removed)})"
            )
        return self.write(table, query, folder)

    def without_sources(self, table: Table, files: Sequence[str], names: Sequence[str]) -> tuple[list[str], str]:
        """Which files hold rows of the named landing files, and a query for the other rows in them."""
        if not files or not names:
            return [], ""
        gone = f"source_file IN ({', '.join(map(literal, names))})"
        found = self._sql(f"SELECT DISTINCT filename FROM {_with_file_names(files)} WHERE {gone}")
        touched = sorted(row[0] for row in found)
        columns = ", ".join(quoted(c.name) for c in table.columns)
        return (
            touched,
            f"SELECT {columns} FROM {_with_file_names(touched)} WHERE NOT {gone}" if touched else "",
        )

    def write(self, table: Table, query: str, folder: Path) -> list[str]:
        """Write the rows of a query as the table's Parquet files, sorted, one folder a day.

        Landing rows need no sorting: they come in the order of their files.

        Field numbers are written into the files, so that no reader depends on column names.
        """
        order = [quoted(name) for name in table.sort]
        ids = ", ".join(f"{quoted(c.name)}: {n}" for n, c in enumerate(table.columns, start=1))
        options = f"FORMAT parquet, COMPRESSION zstd, FIELD_IDS {{{ids}}}, RETURN_STATS"
        if table.day:
            day = f"{quoted(table.day)} - {quoted(table.day)} % {MILLISECONDS_A_DAY}"
            query = f"SELECT *, {day} AS day_ms FROM ({query}) AS rows"
            order.insert(0, "day_ms")
            options += ", PARTITION_BY (day_ms), WRITE_PARTITION_COLUMNS false, APPEND, FILENAME_PATTERN '{uuid}'"
            target = folder
        else:
            options += f", FILE_SIZE_BYTES '{_TARGET_FILE}'"
            target = folder / str(uuid.uuid4())
        if order and table.zone != "landing":
            query += f" ORDER BY {', '.join(order)}"
        written = self._sql(f"COPY ({query}) TO {literal(str(target))} ({options})")
        return [row[0] for row in written if row[1] > 0]

    def count(self, sql: str) -> tuple[int, ...]:
        """The one row of numbers that a check returns."""
        return tuple(int(value or 0) for value in self._sql(bound(sql))[0])

    # Landing files -----------------------------------------------------------------------

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """Read landing files into the relations of landed and quarantined rows.

        Clean records stay inside the engine. Files with anything unusual in their layout, and
        records with anything unusual in their fields, are read record by record.
        """
        landed, unusual, quarantined = (f"{kind}_{feed.name}" for kind in ("landed", "unusual", "quarantined"))
        self._create(unusual, feed.table.columns)
        self._create(quarantined, QUARANTINE.columns)
        by_path = {file.path: file for file in files}
        slow = set(by_path) - self._read_clean(feed, files)
        self._name_staged_files(by_path, slow)
        with _Sink(self, feed, unusual, quarantined) as sink:
            self._take_unusual_records(by_path, sink)
            for path in sorted(slow):
                for position, found in enumerate(read_records(Path(path)), start=1):
                    sink.put(by_path[path], position, found.text, found.pairs, found.reason)
        columns = ", ".join(
            f"s.{quoted(f.name)}::BIGINT AS {quoted(f.name)}" if f.kind == "milliseconds" else f"s.{quoted(f.name)}"
            for f in feed.fields
        )
        self._sql(
            f"CREATE OR REPLACE TEMP VIEW {quoted(landed)} AS SELECT {columns}, NULL::VARCHAR AS extra_fields, "
            "f.source_file, s.rowid - f.first_row + 1 AS source_position, f.arrived_at "
            f"FROM stage AS s JOIN staged_files AS f USING (path) WHERE s.is_clean UNION ALL FROM {quoted(unusual)}"
        )
        counts = {
            row[0]: (row[1], row[2])
            for row in self._sql(
                "SELECT source_file, sum(landed)::BIGINT, sum(quarantined)::BIGINT FROM ("
                "SELECT source_file, clean AS landed, 0 AS quarantined FROM staged_files UNION ALL "
                f"SELECT source_file, count(*), 0 FROM {quoted(unusual)} GROUP BY source_file UNION ALL "
                f"SELECT source_file, 0, count(*) FROM {quoted(quarantined)} GROUP BY source_file) AS counted GROUP BY 1"
            )
        }
        return Ingested(landed, quarantined, counts)

    def forget(self, feed: Feed, taken: Ingested) -> None:
        """Free what `ingest` made."""
        self._sql(f"DROP VIEW {quoted(taken.landed)}")
        for name in ("stage", "staged_files", f"unusual_{feed.name}", taken.quarantined):
            self.drop(name)

    def _create(self, name: str, columns: Iterable[Column]) -> None:
        body = ", ".join(f"{quoted(c.name)} {_SQL_TYPES[c.type]}" for c in columns)
        self._sql(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({body})")

    def _read_clean(self, feed: Feed, files: Sequence[LandingFile]) -> set[str]:
        """Parse files as one object a line into the table `stage`; returns those that are just that."""
        columns = ", ".join(f"{quoted(f.name)} {_JSON_TYPES[f.kind]}" for f in feed.fields)
        self._sql(
            f"CREATE OR REPLACE TEMP TABLE stage (path VARCHAR, {columns}, is_clean BOOLEAN, raw VARCHAR, is_odd BOOLEAN)"
        )
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for file in files:
            groups[spelled_keys(Path(file.path), feed)].append(file.path)
        readable: set[str] = set()
        for keys, paths in groups.items():
            if self._stage(feed, keys, paths):
                readable.update(paths)
            else:
                # At least one file can't be read as lines at all (broken gzip, endless line).
                readable.update(path for path in paths if self._stage(feed, keys, [path]))
        return readable - {row[0] for row in self._sql("SELECT DISTINCT path FROM stage WHERE is_odd")}

    def _stage(self, feed: Feed, keys: Sequence[str], paths: Sequence[str]) -> bool:
        """Parse files whose records spell their keys alike; False, and nothing kept, where that fails."""
        structure = json.dumps({key: _JSON_TYPES[f.kind] for key, f in zip(keys, feed.fields, strict=True)})
        values = ", ".join(f"s.{quoted(key)} AS {quoted(f.name)}" for key, f in zip(keys, feed.fields, strict=True))
        names = ", ".join(quoted(f.name) for f in feed.fields)
        query = (
            f"SELECT path, {names}, coalesce({_clean(feed)}, false) AS is_clean, "
            "CASE WHEN NOT is_clean THEN json END AS raw, json IS NULL OR left(json, 1) <> '{' AS is_odd "
            f"FROM (SELECT path, json, {values} FROM ("
            f"SELECT filename AS path, json, from_json(json, {literal(structure)}) AS s "
            f"FROM read_ndjson_objects({_paths(paths)}, ignore_errors=true, "
            f"maximum_object_size={_LONGEST_OBJECT}, filename=true)) AS parsed) AS named"
        )
        try:
            self.connection.execute(f"INSERT INTO stage {query}").fetchall()
        except (duckdb.InvalidInputException, duckdb.IOException):
            return False
        return True

    def _name_staged_files(self, by_path: Mapping[str, LandingFile], slow: set[str]) -> None:
        """Tell what the staged rows came from: rows keep their files' order, so a row's number tells its place."""
        arrived = [file.modified_ns // 1000 for file in by_path.values()]
        files = pa.table(
            {
                "path": pa.array(by_path, pa.string()),
                "source_file": pa.array([file.name for file in by_path.values()], pa.string()),
                "arrived_at": pa.array(arrived, pa.timestamp("us", tz="UTC")),
                "is_slow": pa.array([path in slow for path in by_path], pa.bool_()),
            }
        )
        self.connection.register("arrived_files", files)
        self._sql(
            "CREATE OR REPLACE TEMP TABLE staged_files AS SELECT f.*, s.first_row, s.clean FROM arrived_files AS f "
            "JOIN (SELECT path, min(rowid) AS first_row, count(*) FILTER (is_clean) AS clean FROM stage GROUP BY path) AS s "
            "USING (path) WHERE NOT is_slow"
        )
        self.connection.unregister("arrived_files")

    def _take_unusual_records(self, by_path: Mapping[str, LandingFile], sink: "_Sink") -> None:
        self._sql(
            "CREATE OR REPLACE TEMP TABLE unusual AS SELECT s.path, s.rowid - f.first_row + 1 AS position, s.raw "
            "FROM stage AS s JOIN staged_files AS f USING (path) WHERE NOT s.is_clean"
        )
        for start in range(0, self.rows("unusual"), _SLOW_BATCH):
            page = f"SELECT * FROM unusual WHERE rowid >= {start} AND rowid < {start + _SLOW_BATCH}"
            for path, position, raw in self._sql(page):
                sink.put(by_path[path], position, raw, None, None)
        self.drop("unusual")


class _Sink:
    """Collects records that were read one by one and hands them to the engine in batches."""

    def __init__(self, engine: EmbeddedEngine, feed: Feed, landed: str, quarantined: str) -> None:
        self._engine, self._feed = engine, feed
        self._columns = {landed: feed.table.columns, quarantined: QUARANTINE.columns}
        self._landed, self._quarantined = landed, quarantined
        self._rows: dict[str, list[tuple[object, ...]]] = {landed: [], quarantined: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            for relation in self._rows:
                self._flush(relation)

    def put(
        self,
        file: LandingFile,
        position: int,
        text: str,
        pairs: list[tuple[str, Any]] | None,
        reason: str | None,
    ) -> None:
        """Type one record and keep it: landed, or quarantined with the reason."""
        arrived_at = file.modified_ns // 1000
        relation, row = self._quarantined, None
        if reason is None:
            try:
                values, extra = interpret(text, self._feed) if pairs is None else typed(pairs, self._feed)
            except InvalidRecordError as error:
                reason = str(error)
            else:
                relation = self._landed
                row = (*values.values(), extra, file.name, position, arrived_at)
        if row is None:
            raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            row = (self._feed.name, file.name, position, raw, reason, arrived_at)
        self._rows[relation].append(row)
        if len(self._rows[relation]) >= _SLOW_BATCH:
            self._flush(relation)

    def _flush(self, relation: str) -> None:
        rows, self._rows[relation] = self._rows[relation], []
        if not rows:
            return
        columns = self._columns[relation]
        arrays = [pa.array(values, _ARROW_TYPES[c.type]) for c, values in zip(columns, zip(*rows, strict=True), strict=True)]
        self._engine.connection.register("batch", pa.table(arrays, names=[c.name for c in columns]))
        self._engine._sql(f"INSERT INTO {quoted(relation)} SELECT * FROM batch")
        self._engine.connection.unregister("batch")


_PARAMETER = re.compile(r"\$([a-z_]+)")


def bound(query: str) -> str:
    """A query whose `$name` parameters read the session's variables."""
    return _PARAMETER.sub(r"getvariable('\1')", query)


def _with_file_names(files: Sequence[str]) -> str:
    return f"read_parquet({_paths(files)}, filename=true, hive_partitioning=false)"


def _in_scope(rows: str, key: str, moment: str | None, scope_key: str) -> str:
    """SQL for those of some rows whose key, or key and moment, is in scope."""
    whole = f"SELECT rows.* FROM {rows} WHERE {key} IN (SELECT {scope_key} FROM scope_keys)"
    if moment is None:
        return whole
    moments = f"(SELECT {scope_key} AS scope_key, t AS scope_moment FROM scope_moments) AS moments"
    return (
        f"{whole} UNION ALL SELECT rows.* FROM {rows} "
        f"SEMI JOIN {moments} ON {key} = moments.scope_key AND {moment} = moments.scope_moment"
    )


def _changed_rows(change: Change, columns: Sequence[str]) -> str:
    """SQL for the rows of an input that came or went since its table last read it."""
    names = ", ".join(quoted(name) for name in columns or change.table.column_names)
    before, now = set(change.before), set(change.files)
    came = f"SELECT {names} FROM ({_select_files(change.table, sorted(now - before))}) AS came"
    went = f"SELECT {names} FROM ({_select_files(change.table, sorted(before - now))}) AS went"
    if before <= now:
        return came
    return f"({came} EXCEPT ALL {went}) UNION ALL ({went} EXCEPT ALL {came})"


def _same(table: Table, left: str, right: str) -> str:
    return " AND ".join(f"{left}.{quoted(c.name)} IS NOT DISTINCT FROM {right}.{quoted(c.name)}" for c in table.columns)


def _paths(files: Iterable[str]) -> str:
    """A SQL list of file paths in which the characters of patterns stand for themselves."""
    return "[" + ", ".join(literal(re.sub(r"[*?\[]", r"[\g<0>]", path)) for path in files) + "]"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


class JsonWriter:
    """Writes tables as JSON lines, in order; absent values are left out, as the feeds do."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def write(self, rows: pa.Table, path: Path) -> None:
        """Write one file of one object a line."""
        self._connection.register("rows_to_write", rows)
        query = "SELECT * FROM rows_to_write"
        options = "FORMAT json"
        if any(column.null_count for column in rows.columns):
            fields = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in rows.column_names)
            # An object is written as such only without its null members.
            query = f"SELECT json_merge_patch('{{}}', to_json(struct_pack({fields}))) AS record FROM rows_to_write"
            options = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"
        self._connection.execute(f"COPY ({query}) TO {literal(str(path))} ({options})").fetchall()
        self._connection.unregister("rows_to_write")


@dataclass(frozen=True)
class QueryResult:
    """Columns and rows of a query, all read."""

    table: pa.Table

    @property
    def columns(self) -> list[str]:
        return list(self.table.column_names)

    def rows(self) -> list[tuple[Any, ...]]:
        return list(zip(*(column.to_pylist() for column in self.table.columns), strict=True))


_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)


class QuerySession:
    """A DuckDB session in which SQL can read the tables and nothing else, and write nothing."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._files: list[str] = []

    def add_table(self, table: Table, files: Sequence[str]) -> None:
        """Make a table's data files readable under its name."""
        self._connection.execute(f"CREATE VIEW {quoted(table.name)} AS {_select_files(table, files)}").fetchall()
        self._files += files

    def run(self, sql: str) -> QueryResult:
        """Run one statement.

        Raises:
            QueryError: it is not a query, is more than one, or fails.
        """
        self._refuse_writing(sql)
        try:
            self._connection.execute("SET TimeZone = 'UTC'").fetchall()
            allowed = ", ".join(literal(path) for path in self._files)
            self._connection.execute(f"SET allowed_paths = [{allowed}]").fetchall()
            self._connection.execute("SET enable_external_access = false").fetchall()
            self._connection.execute("SET lock_configuration = true").fetchall()
            relation = self._connection.sql(sql)
            return QueryResult(relation.to_arrow_table())
        except (duckdb.Error, RuntimeError) as error:
            raise QueryError(f"the query failed: {' '.join(str(error).split())}") from error
        finally:
            self._connection.close()

    def _refuse_writing(self, sql: str) -> None:
        try:
            statements = self._connection.extract_statements(sql)
            if statements and _EXPLAIN.match(sql):
                statements = self._connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
        except duckdb.Error as error:
            raise QueryError(f"the query can't be parsed: {' '.join(str(error).split())}") from error
        if len(statements) != 1:
            raise QueryError(f"give one SQL query; these are {len(statements)}")
        if statements[0].type != duckdb.StatementType.SELECT:
            kind = str(statements[0].type).rpartition(".")[2]
            raise QueryError(f"queries only read, and this is {kind}; start with SELECT, FROM, WITH or DESCRIBE")


def _select_files(table: Table, files: Sequence[str]) -> str:
    columns = ", ".join(quoted(c.name) for c in table.columns)
    if files:
        return f"SELECT {columns} FROM read_parquet({_paths(files)}, hive_partitioning=false)"
    nulls = ", ".join(f"NULL::{_SQL_TYPES[c.type]} AS {quoted(c.name)}" for c in table.columns)
    return f"SELECT {nulls} WHERE false"
