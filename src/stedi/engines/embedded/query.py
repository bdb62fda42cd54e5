"""The user's own SQL over the tables: it can read them, nothing else, and write nothing."""

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from stedi.engines.embedded.sql import literals, quoted, rows
from stedi.errors import QueryError
from stedi.table import DataFiles, Table

_BATCH_ROWS = 50_000
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)


class QueryResult:
    """Columns and rows of a query; rows can be read once, and are read as they are needed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation) -> None:
        self._connection = connection
        self._reader: pa.RecordBatchReader = relation.to_arrow_reader(_BATCH_ROWS)
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
            yield from self._reader
        except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
            raise QueryError(f"the query failed: {_without_values(error)}") from error
        finally:
            self._connection.close()

    def rows(self, most: int | None = None) -> list[tuple[Any, ...]]:
        """All rows, or the first ones."""
        found: list[tuple[Any, ...]] = []
        for batch in self.batches():
            found += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            if most is not None and len(found) >= most:
                return found[:most]
        return found


class QuerySession:
    """A DuckDB session in which SQL can read the tables and nothing else, and write nothing."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._files: list[str] = []

    def add_table(self, table: Table, files: DataFiles) -> None:
        """Make a table's data files readable under its name."""
        self._connection.execute(f"CREATE VIEW {quoted(table.name)} AS {rows(table, files)}").fetchall()
        self._files += (*files.paths, *files.deletes)

    def run(self, sql: str) -> QueryResult:
        """Run one statement.

        Raises:
            QueryError: it is not a query, is more than one, or fails.
        """
        self._refuse_writing(sql)
        try:
            self._connection.execute("SET TimeZone = 'UTC'").fetchall()
            self._connection.execute(f"SET allowed_paths = [{literals(self._files)}]").fetchall()
            self._connection.execute("SET enable_external_access = false").fetchall()
            self._connection.execute("SET lock_configuration = true").fetchall()
            return QueryResult(self._connection, self._connection.sql(sql))
        except (duckdb.Error, RuntimeError) as error:
            self._connection.close()
            raise QueryError(f"the query failed: {_without_values(error)}") from error

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


def _without_values(error: Exception) -> str:
    """The engine's message on one line; where it quotes values of the data, without them."""
    text = " ".join(str(error).split())
    if isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException | duckdb.OutOfRangeException):
        return re.sub(r"'[^']*'|\"[^\"]*\"", "…", text.partition(" LINE 1:")[0])
    return text
