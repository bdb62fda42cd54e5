"""SQL text for every engine: quoted names and values, column lists, multiset difference.

Names and values may come from files. Quote them here and nowhere else. SQL is written in DuckDB's dialect, and other
engines translate it.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stedi.model.column_types import COLUMN_TYPES

if TYPE_CHECKING:
    from stedi.model.table import Table


def quoted(name: str) -> str:
    """Quote a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a SQL string."""
    return "'" + value.replace("'", "''") + "'"


def literals(values: Iterable[str]) -> str:
    """Quote strings as a comma-separated list, without brackets."""
    return ", ".join(map(literal, values))


def columns(table: "Table") -> str:
    """List the table's columns, in order."""
    return names_of(table, ())


def names_of(table: "Table", names: Sequence[str]) -> str:
    """List some of the table's columns; all if `names` is empty."""
    return ", ".join(map(quoted, names or table.column_names))


def no_rows(table: "Table") -> str:
    """Write a query with the table's columns and no rows."""
    nulls = ", ".join(f"NULL::{COLUMN_TYPES[c.type].duckdb} AS {quoted(c.name)}" for c in table.columns)
    return f"SELECT {nulls} WHERE false"


def multiset_diff(names: str, one: str, other: str) -> str:
    """Write a query for the difference of two queries as multisets.

    Reads each query once. EXCEPT ALL in both directions takes four times as long.

    Args:
        names: the columns to compare, as a SQL list.
        one: a SQL query.
        other: another one.

    Returns:
        A query for `names` and `n`: how many more times a row is in `one` than in `other`. Negative if `other` has more;
        rows that both have equally often are left out.
    """
    both = f"SELECT {names}, 1 AS n FROM ({one}) AS one UNION ALL SELECT {names}, -1 AS n FROM ({other}) AS other"
    return f"SELECT {names}, sum(n)::BIGINT AS n FROM ({both}) AS both_queries GROUP BY {names} HAVING sum(n) <> 0"
