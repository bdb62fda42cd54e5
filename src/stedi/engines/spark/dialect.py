"""The project's SQL as Spark has it."""

from functools import cache

import sqlglot
from sqlglot import exp


@cache
def translated(sql: str) -> str:
    """One statement in Spark's dialect; parameters written `$name` become `:name`."""
    tree = sqlglot.parse_one(sql, read="duckdb").transform(_as_embedded)
    return tree.sql(dialect="spark")


def _as_embedded(node: exp.Expression) -> exp.Expression:
    """Where Spark gives the same name to something else."""
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node
