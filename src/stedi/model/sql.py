"""SQL text that every engine understands. Names and values are hostile, so they are spelled here and nowhere else.

The project writes SQL in the dialect of the embedded engine; other engines translate it.
"""

from collections.abc import Iterable, Sequence

from stedi.model.table import Table

SQL_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMPTZ",
}


def quoted(name: str) -> str:
    """A SQL identifier, safe whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A SQL string, safe whatever it holds."""
    return "'" + value.replace("'", "''") + "'"


def literals(values: Iterable[str]) -> str:
    """A SQL list of strings without its brackets."""
    return ", ".join(map(literal, values))


def columns(table: Table) -> str:
    """The table's columns, in order."""
    return ", ".join(quoted(column.name) for column in table.columns)


def no_rows(table: Table) -> str:
    """An empty query of the table's columns."""
    nulls = ", ".join(f"NULL::{SQL_TYPES[c.type]} AS {quoted(c.name)}" for c in table.columns)
    return f"SELECT {nulls} WHERE false"


def names_of(table: Table, names: Sequence[str]) -> str:
    """Some of the table's columns, all where none is named."""
    return ", ".join(quoted(name) for name in names or table.column_names)


def multiset_diff(names: str, one: str, other: str) -> str:
    """SQL for the rows that stand in one of two queries more often than in the other, and `n`, how much more.

    One pass over both, where EXCEPT ALL in both directions takes four times as long.
    """
    both = f"SELECT {names}, 1 AS n FROM ({one}) AS one UNION ALL SELECT {names}, -1 AS n FROM ({other}) AS other"
    return f"SELECT {names}, sum(n)::BIGINT AS n FROM ({both}) AS both_queries GROUP BY {names} HAVING sum(n) <> 0"
