"""The project's SQL as Spark has it."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import sqlglot
from sqlglot import exp


@cache
def translated(sql: str) -> tuple[Mapping[str, str], str]:
    """One query in Spark's dialect; parameters written `$name` become `:name`.

    Spark computes a common table expression once for each reference to it, so the ones marked MATERIALIZED are queries of
    their own: they are returned by name, in order, before the rest. Each may read the ones before it by name.
    """
    tree = sqlglot.parse_one(sql, read="duckdb")
    if not isinstance(tree, exp.Query) or not any(cte.args.get("materialized") for cte in tree.ctes):
        return MappingProxyType({}), _written(tree)
    materialized: dict[str, str] = {}
    others: list[exp.CTE] = []
    for cte in tree.ctes:
        if cte.args.get("materialized"):
            materialized[cte.alias] = _written(_with(others, cte.this))
        else:
            others.append(cte)
    tree.set("with_", None)
    return MappingProxyType(materialized), _written(_with(others, tree))


def _with(ctes: list[exp.CTE], query: exp.Expr) -> exp.Expr:
    """A query that may read some common table expressions."""
    query = query.copy()
    if ctes:
        query.set("with_", exp.With(expressions=[cte.copy() for cte in ctes]))
    return query


def _written(tree: exp.Expr) -> str:
    return tree.transform(_as_embedded).sql(dialect="spark")


def _as_embedded(node: exp.Expression) -> exp.Expression:
    """Where Spark gives the same name to something else."""
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node
