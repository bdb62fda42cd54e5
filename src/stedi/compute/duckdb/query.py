"""Run the user's own SQL: it can read the tables and nothing else, and write nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from stedi.compute.duckdb.session import first_line, interruptible, register_storage, s3_error, set_limits
from stedi.compute.duckdb.sql import plain, scan
from stedi.errors import DAMAGED, QueryError, WarehouseError
from stedi.model.data_files import DataFiles
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import Table
from stedi.storage import Warehouse

_BATCH_ROWS = 50_000
_LOST_IN_ARROW = re.compile(r"\b(INTERVAL|UHUGEINT|BIT|BIGNUM|UNION|VARIANT|TIME WITH TIME ZONE)\b")
# Errors in the query itself. Their messages quote the query and no data, so they are shown whole.
_QUERY_ERRORS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)
_QUERY_ERROR_NAMES = ("Parser Error", "Binder Error", "Catalog Error", "Permission Error")
# From the first quotation mark to the last, because a value may contain quotation marks.
_QUOTED = re.compile(r"'.*'|\".*\"|(?<=\bwith value )\S+")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)
# A SELECT may contain statements that write: WITH a AS (COPY … TO …). In the serialized query, quotation marks within texts
# are escaped, so a text can't match.
_QUERY_NODE = re.compile(r'"type":"([A-Z_]+_NODE)"')
_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}


class QueryResult:
    """The result of a query. Its rows are computed while they are read, and can be read once."""

    def __init__(self, relation: duckdb.DuckDBPyRelation, close: Callable[[], None]) -> None:
        self._close = close
        self._reader: pa.RecordBatchReader = _arrow_safe(relation).to_arrow_reader(_BATCH_ROWS)
        self.schema: pa.Schema = self._reader.schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order. A name may occur twice."""
        return list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows as Arrow batches.

        Raises:
            QueryError: the query fails.
        """
        try:
            with interruptible():
                yield from self._reader
        # Arrow raises errors of DuckDB as OSError.
        except (duckdb.Error, pa.ArrowException, RuntimeError, OSError) as error:
            raise QueryError(f"the query failed: {_without_values(error)}") from error
        finally:
            self._close()

    def rows(self, most: int | None = None) -> list[tuple[Any, ...]]:
        """Read all rows, or at most the first `most`."""
        rows: list[tuple[Any, ...]] = []
        for batch in self.batches():
            rows += zip(*map(values, batch.columns), strict=True)
            if most is not None and len(rows) >= most:
                return rows[:most]
        return rows


def values(column: pa.Array) -> list[Any]:
    """Convert a column to Python values. Times that Python can't represent (infinity, the year 10000) become text.

    Raises:
        QueryError: lists or structures contain such times.
    """
    try:
        converted: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        try:
            converted = column.cast(pa.string()).to_pylist()
        except pa.ArrowNotImplementedError:
            raise QueryError(f"a value of type {column.type} is a time that can't be shown; cast it to VARCHAR") from None
    return converted


def _arrow_safe(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Cast the columns to text whose types Arrow or Python would change."""
    columns = [
        f"{f'#{n}::VARCHAR' if _LOST_IN_ARROW.search(str(column_type)) else f'#{n}'} AS {quoted(name)}"
        for n, (name, column_type) in enumerate(zip(relation.columns, relation.types, strict=True), start=1)
    ]
    return relation.project(", ".join(columns))


class QuerySession:
    """A DuckDB session in which SQL can read the tables and nothing else, and write nothing."""

    def __init__(self, warehouse: Warehouse, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        """Start a session.

        Args:
            warehouse: the warehouse that contains the tables.
            memory_limit: maximum of memory, such as "8GB"; by default 80% of the machine's.
            threads: number of threads; by default one a core.

        Raises:
            WarehouseError: DuckDB rejects a setting.
        """
        self._connection = duckdb.connect(":memory:")
        register_storage(self._connection, warehouse)
        set_limits(self._connection, memory_limit, threads)
        # By default DuckDB would spill to the current folder.
        self._spill = TemporaryDirectory(prefix="stedi-query-")
        self._files: set[str] = set()

    def close(self) -> None:
        """Close the session. Results can't be read any more."""
        self._connection.close()
        self._spill.cleanup()

    def add_table(self, table: Table, files: DataFiles) -> None:
        """Make a table's data files readable under its name.

        Raises:
            WarehouseError: a file is missing or damaged.
        """
        try:
            self._connection.execute(f"CREATE VIEW {quoted(table.name)} AS {scan(table, files)}").fetchall()
        except duckdb.Error as error:
            if s3_error(error) is not None:
                raise
            raise WarehouseError(f"a file of table {table.name} can't be read: {first_line(error)}; {DAMAGED}") from error
        # DuckDB checks the path in the query, and the path of the file that it matches.
        self._files |= {spelling for path in (*files.paths, *files.deletes) for spelling in (path, plain(path))}

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """Run one statement.

        Args:
            sql: the statement.
            parameters: values of the statement's `$name` parameters.

        Raises:
            QueryError: it is not a query, is more than one, or fails.
        """
        try:
            self._require_read_only(sql)
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

    def _require_read_only(self, sql: str) -> None:
        """Raise QueryError unless the text is one statement that only reads."""
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
            raise QueryError("PIVOT needs the names of its columns: PIVOT … ON column IN (…)")
        if statement_type != "SELECT":
            raise QueryError(f"queries only read, and this is {statement_type}; start with SELECT, FROM, WITH or DESCRIBE")
        [(tree,)] = self._connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
        nodes = set(_QUERY_NODE.findall(tree))
        if not nodes or nodes - _READING_NODES:
            inner = ", ".join(sorted(node.partition("_")[0] for node in nodes - _READING_NODES))
            raise QueryError(f"queries only read, and this one contains {inner or 'unknown statements'}; remove that")


def _without_values(error: Exception) -> str:
    """DuckDB's message on one line, without values of the data that it may quote."""
    if (reason := s3_error(error)) is not None:
        return reason
    text = " ".join(str(error).split())
    if isinstance(error, _QUERY_ERRORS) or text.startswith(_QUERY_ERROR_NAMES):
        return text
    message = _QUOTED.sub("…", text.partition(" LINE 1:")[0])
    if " ^ " in message:
        # DuckDB points into a value, which it repeats without quotation marks.
        message = f"{message.rpartition('…')[0]}…"
    # What follows a second colon may be a value, too.
    error_name, _, message = message.partition(": ")
    summary, _, details = message.partition(": ")
    return f"{error_name}: {summary}{': …' if details else ''}"
