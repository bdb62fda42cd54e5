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
    their own, also those of a subquery: they are returned by name, in order, before the rest. Each may read the ones before
    it by name.
    """
    tree = sqlglot.parse_one(sql, read="duckdb")
    materialized: dict[str, str] = {}
    for clause in list(tree.find_all(exp.With)):
        others: list[exp.CTE] = []
        for cte in clause.expressions:
            if cte.args.get("materialized"):
                materialized[cte.alias] = _written(_with(others, cte.this.copy()))
            else:
                others.append(cte)
        _with(others, clause.parent)
    return MappingProxyType(materialized), _written(tree)


def _with(ctes: list[exp.CTE], query: exp.Expr | None) -> exp.Expr:
    """Let a query read some common table expressions, and no others."""
    assert query is not None, "a WITH clause belongs to a query"
    query.set("with_", exp.With(expressions=[cte.copy() for cte in ctes]) if ctes else None)
    return query


def _written(tree: exp.Expr) -> str:
    return tree.transform(_as_embedded).sql(dialect="spark")


def _as_embedded(node: exp.Expression) -> exp.Expression:
    """Where Spark gives the same name to something else."""
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node
