"""The user's own SQL over the tables: it can read them, nothing else, and write nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from stedi.compute.duckdb.session import first_line, hold_to, interruptible, reach, refusal
from stedi.compute.duckdb.sql import plain, rows
from stedi.errors import REPAIR_ADVICE, QueryError, WarehouseError
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import DataFiles, Table
from stedi.storage import Warehouse

_BATCH_ROWS = 50_000
_LOST_IN_ARROW = re.compile(r"\b(INTERVAL|UHUGEINT|BIT|BIGNUM|UNION|VARIANT|TIME WITH TIME ZONE)\b")
# What is wrong with the query itself is told in the query's own words.
_BEFORE_IT_RUNS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)
_SAID_BEFORE_IT_RUNS = ("Parser Error", "Binder Error", "Catalog Error", "Permission Error")
# From the first quotation mark to the last: a value may hold some itself.
_QUOTED = re.compile(r"'.*'|\".*\"|(?<=\bwith value )\S+")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)
# A statement that reads may hold others that write: WITH a AS (COPY … TO …). Within texts of the query the
# quotation marks of its JSON are escaped.
_QUERY_NODE = re.compile(r'"type":"([A-Z_]+_NODE)"')
_NODES_THAT_READ = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}


class QueryResult:
    """Columns and rows of a query; rows can be read once, and are read as they are needed."""

    def __init__(self, relation: duckdb.DuckDBPyRelation, close: Callable[[], None]) -> None:
        self._close = close
        self._reader: pa.RecordBatchReader = _as_arrow_has_it(relation).to_arrow_reader(_BATCH_ROWS)
        self.schema: pa.Schema = self._reader.schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order; a name may stand twice."""
        return list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in batches of Arrow.

        Raises:
            QueryError: the query fails on the way.
        """
        try:
            with interruptible():
                yield from self._reader
        # Arrow hands the engine's own errors on as OSError.
        except (duckdb.Error, pa.ArrowException, RuntimeError, OSError) as error:
            raise QueryError(f"the query failed: {_without_values(error)}") from error
        finally:
            self._close()

    def rows(self, most: int | None = None) -> list[tuple[Any, ...]]:
        """All rows, or the first ones."""
        found: list[tuple[Any, ...]] = []
        for batch in self.batches():
            found += zip(*map(values, batch.columns), strict=True)
            if most is not None and len(found) >= most:
                return found[:most]
        return found


def values(column: pa.Array) -> list[Any]:
    """A column as Python's values; moments that Python has none for (infinity, the year 10000) as text.

    Raises:
        QueryError: such moments stand inside lists or structures.
    """
    try:
        found: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        try:
            found = column.cast(pa.string()).to_pylist()
        except pa.ArrowNotImplementedError:
            raise QueryError(f"a value of type {column.type} lies outside all years; cast it to VARCHAR") from None
    return found


def _as_arrow_has_it(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """A query's columns, those as text of whose types Arrow or Python would make something else."""
    shown = [
        f"{f'#{n}::VARCHAR' if _LOST_IN_ARROW.search(str(kind)) else f'#{n}'} AS {quoted(name)}"
        for n, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True), start=1)
    ]
    return relation.project(", ".join(shown))


class QuerySession:
    """A DuckDB session in which SQL can read the tables and nothing else, and write nothing."""

    def __init__(self, warehouse: Warehouse, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        """Start a session with so much memory and so many threads.

        Raises:
            WarehouseError: the engine refuses a setting.
        """
        self._connection = duckdb.connect(":memory:")
        reach(self._connection, warehouse)
        hold_to(self._connection, memory_limit, threads)
        # Left to itself the engine would spill to the folder that the user is in.
        self._spill = TemporaryDirectory(prefix="stedi-query-")
        self._files: set[str] = set()

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()

    def add_table(self, table: Table, files: DataFiles) -> None:
        """Make a table's data files readable under its name."""
        try:
            self._connection.execute(f"CREATE VIEW {quoted(table.name)} AS {rows(table, files)}").fetchall()
        except duckdb.Error as error:
            if refusal(error) is not None:
                raise
            raise WarehouseError(
                f"a file of table {table.name} can't be read: {first_line(error)}; {REPAIR_ADVICE}"
            ) from error
        # The engine looks up both the path as we spell it and the file that it finds there.
        self._files |= {spelled for path in (*files.paths, *files.deletes) for spelled in (path, plain(path))}

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """Run one statement.

        Args:
            sql: the statement.
            parameters: the value of each `$name` in it.

        Raises:
            QueryError: it is not a query, is more than one, or fails.
        """
        try:
            self._refuse_writing(sql)
            self._connection.execute("SET TimeZone = 'UTC'").fetchall()
            self._connection.execute(f"SET temp_directory = {literal(self._spill.name)}").fetchall()
            self._connection.execute("SET python_enable_replacements = false").fetchall()
            self._connection.execute(f"SET allowed_paths = [{literals(sorted(self._files))}]").fetchall()
            self._connection.execute("SET enable_external_access = false").fetchall()
            self._connection.execute("SET lock_configuration = true").fetchall()
            with interruptible():
                return QueryResult(self._connection.sql(sql, params=parameters), self.close)
        except (duckdb.Error, RuntimeError) as error:
            self.close()
            raise QueryError(f"the query failed: {_without_values(error)}") from error
        except QueryError:
            self.close()
            raise

    def _refuse_writing(self, sql: str) -> None:
        try:
            statements = self._connection.extract_statements(sql)
            if statements and _EXPLAIN.match(sql):
                sql = _EXPLAIN.sub("", sql, count=1)
                statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(f"the query can't be parsed: {' '.join(str(error).split())}") from error
        if len(statements) != 1:
            raise QueryError(f"give one SQL query; these are {len(statements)}")
        kind = str(statements[0].type).rpartition(".")[2]
        if kind == "MULTI":
            raise QueryError("PIVOT would first look up its columns; name them: PIVOT … ON column IN (…)")
        if kind != "SELECT":
            raise QueryError(f"queries only read, and this is {kind}; start with SELECT, FROM, WITH or DESCRIBE")
        [(tree,)] = self._connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
        nodes = set(_QUERY_NODE.findall(tree))
        if not nodes or nodes - _NODES_THAT_READ:
            inner = ", ".join(sorted(node.partition("_")[0] for node in nodes - _NODES_THAT_READ))
            raise QueryError(f"queries only read, and this one holds {inner or 'what can not be told'}; leave that out")


def _without_values(error: Exception) -> str:
    """The engine's message on one line; where it may quote values of the data, without them."""
    if (refused := refusal(error)) is not None:
        return refused
    text = " ".join(str(error).split())
    if isinstance(error, _BEFORE_IT_RUNS) or text.startswith(_SAID_BEFORE_IT_RUNS):
        return text
    told = _QUOTED.sub("…", text.partition(" LINE 1:")[0])
    if " ^ " in told:
        # The engine points into a value, which stands there once more, without quotation marks.
        told = f"{told.rpartition('…')[0]}…"
    # So does what follows a second colon.
    kind, _, told = told.partition(": ")
    what, _, details = told.partition(": ")
    return f"{kind}: {what}{': …' if details else ''}"
