"""Sandbox for the user's SQL: it can read the tables and nothing else, and can write nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from stedi.compute.duckdb.session import first_line, interruptible, register_storage, s3_error, set_limits
from stedi.compute.duckdb.sql import escape_glob, scan
from stedi.errors import REPAIR_ADVICE, QueryError, WarehouseError
from stedi.model.data_files import DataFiles
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import Table
from stedi.storage import Warehouse

_BATCH_ROWS = 50_000
# Types without an exact equivalent in Arrow or Python. Their values are returned as DuckDB's text.
_NOT_IN_ARROW = re.compile(r"\b(INTERVAL|UHUGEINT|BIT|BIGNUM|UNION|VARIANT|TIME WITH TIME ZONE)\b")
# Errors that DuckDB raises before it reads rows. Their messages contain parts of the query and no values of the tables.
_ERRORS_WITHOUT_DATA = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)
_PREFIXES_WITHOUT_DATA = ("Parser Error", "Binder Error", "Catalog Error", "Permission Error")
# From the first quotation mark to the last, because a value may contain quotation marks.
_QUOTED = re.compile(r"'.*'|\".*\"|(?<=\bwith value )\S+")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)
# Node types in the JSON of a statement's syntax tree. A SELECT may contain a node that writes: WITH a AS (COPY … TO …).
# The JSON escapes the quotation marks of string literals, so a literal can't look like a node.
_NODE_TYPE = re.compile(r'"type":"([A-Z_]+_NODE)"')
_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}


class QueryResult:
    """Result of a query. The rows are streamed: they can be read once, with `batches` or `rows`.

    Attributes:
        schema: names and Arrow types of the columns.
    """

    def __init__(self, relation: duckdb.DuckDBPyRelation, close: Callable[[], None]) -> None:
        self._close = close
        self._reader: pa.RecordBatchReader = _with_arrow_types(relation).to_arrow_reader(_BATCH_ROWS)
        self.schema: pa.Schema = self._reader.schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order. A name may occur twice."""
        return list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as Arrow batches.

        Raises:
            QueryError: the query fails while rows are read.
        """
        try:
            with interruptible():
                yield from self._reader
        # Arrow raises DuckDB's errors as OSError.
        except (duckdb.Error, pa.ArrowException, RuntimeError, OSError) as error:
            raise QueryError(f"the query failed: {_message_without_data(error)}") from error
        finally:
            self._close()

    def rows(self, limit: int | None = None) -> list[tuple[Any, ...]]:
        """Return all rows, or the first `limit` rows."""
        result: list[tuple[Any, ...]] = []
        for batch in self.batches():
            result += zip(*map(values, batch.columns), strict=True)
            if limit is not None and len(result) >= limit:
                return result[:limit]
        return result


def values(column: pa.Array) -> list[Any]:
    """Return a column as Python values. Times out of Python's range (infinity, the year 10000) become text.

    Raises:
        QueryError: such a time is inside a list or structure.
    """
    try:
        result: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        try:
            result = column.cast(pa.string()).to_pylist()
        except pa.ArrowNotImplementedError:
            raise QueryError(f"a value of type {column.type} is out of Python's range; cast it to VARCHAR") from None
    return result


def _with_arrow_types(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Cast the columns of types that Arrow lacks to text."""
    columns = [
        f"{f'#{n}::VARCHAR' if _NOT_IN_ARROW.search(str(type_)) else f'#{n}'} AS {quoted(name)}"
        for n, (name, type_) in enumerate(zip(relation.columns, relation.types, strict=True), start=1)
    ]
    return relation.project(", ".join(columns))


class QuerySession:
    """A DuckDB session for one statement, which can read the added tables and nothing else."""

    def __init__(self, warehouse: Warehouse, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        """Start a session.

        Args:
            warehouse: the warehouse, whose storage the session can read.
            memory_limit: memory limit of DuckDB, such as "4GB".
            threads: number of threads.

        Raises:
            WarehouseError: DuckDB rejects a setting.
        """
        self._connection = duckdb.connect(":memory:")
        register_storage(self._connection, warehouse)
        set_limits(self._connection, memory_limit, threads)
        # DuckDB's default is a folder below the current folder.
        self._spill = TemporaryDirectory(prefix="stedi-query-")
        self._allowed_paths: set[str] = set()

    def close(self) -> None:
        """Close the connection, and delete the temporary files."""
        self._connection.close()
        self._spill.cleanup()

    def add_table(self, table: Table, files: DataFiles) -> None:
        """Create a view of a table's rows under its name.

        Raises:
            WarehouseError: a file can't be read.
        """
        try:
            self._connection.execute(f"CREATE VIEW {quoted(table.name)} AS {scan(table, files)}").fetchall()
        except duckdb.Error as error:
            if s3_error(error) is not None:
                raise
            raise WarehouseError(
                f"a file of table {table.name} can't be read: {first_line(error)}; {REPAIR_ADVICE}"
            ) from error
        # DuckDB checks both the escaped path in the query and the path of the file.
        self._allowed_paths |= {allowed for path in (*files.paths, *files.deletes) for allowed in (path, escape_glob(path))}

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """Run one statement. The session is closed when its rows have been read, or when it fails.

        Args:
            sql: the statement.
            parameters: values of its `$name` parameters.

        Raises:
            QueryError: the statement is not a query, is more than one, or fails.
        """
        try:
            self._check_read_only(sql)
            self._connection.execute("SET TimeZone = 'UTC'").fetchall()
            self._connection.execute(f"SET temp_directory = {literal(self._spill.name)}").fetchall()
            self._connection.execute("SET python_enable_replacements = false").fetchall()
            self._connection.execute(f"SET allowed_paths = [{literals(sorted(self._allowed_paths))}]").fetchall()
            self._connection.execute("SET enable_external_access = false").fetchall()
            self._connection.execute("SET lock_configuration = true").fetchall()
            with interruptible():
                return QueryResult(self._connection.sql(sql, params=parameters), self.close)
        except (duckdb.Error, RuntimeError) as error:
            self.close()
            raise QueryError(f"the query failed: {_message_without_data(error)}") from error
        except QueryError:
            self.close()
            raise

    def _check_read_only(self, sql: str) -> None:
        """Raise QueryError unless the text is one statement that only reads, possibly after EXPLAIN."""
        try:
            statements = self._connection.extract_statements(sql)
            if statements and _EXPLAIN.match(sql):
                sql = _EXPLAIN.sub("", sql, count=1)
                statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(f"the query can't be parsed: {' '.join(str(error).split())}") from error
        if len(statements) != 1:
            raise QueryError(f"give one SQL query, not {len(statements)}")
        statement_type = str(statements[0].type).rpartition(".")[2]
        if statement_type == "MULTI":
            # Without the list, DuckDB would first run another statement, to find the columns.
            raise QueryError("PIVOT needs a list of values here: PIVOT … ON column IN (…)")
        if statement_type != "SELECT":
            raise QueryError(f"queries only read, and this is {statement_type}; start with SELECT, FROM, WITH or DESCRIBE")
        [(tree,)] = self._connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
        nodes = set(_NODE_TYPE.findall(tree))
        if not nodes or nodes - _READING_NODES:
            refused = ", ".join(sorted(node.partition("_")[0] for node in nodes - _READING_NODES))
            raise QueryError(f"queries only read, and this one contains {refused or 'an unknown statement'}; leave it out")


def _message_without_data(error: Exception) -> str:
    """Return DuckDB's message as one line, without values of the tables."""
    if (refused := s3_error(error)) is not None:
        return refused
    text = " ".join(str(error).split())
    if isinstance(error, _ERRORS_WITHOUT_DATA) or text.startswith(_PREFIXES_WITHOUT_DATA):
        return text
    message = _QUOTED.sub("…", text.partition(" LINE 1:")[0])
    if " ^ " in message:
        # A caret points into a value. The message repeats that value without quotation marks before the caret.
        message = f"{message.rpartition('…')[0]}…"
    # The text after a second colon may be a value, too.
    error_type, _, message = message.partition(": ")
    summary, _, details = message.partition(": ")
    return f"{error_type}: {summary}{': …' if details else ''}"
