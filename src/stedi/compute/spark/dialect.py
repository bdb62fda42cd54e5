"""Translate the project's SQL, written in DuckDB's dialect, into Spark's."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import sqlglot
from sqlglot import exp


@cache
def translate(query: str) -> tuple[Mapping[str, str], str]:
    """Translate a query. Parameters written `$name` become `:name`.

    Spark computes a common table expression (CTE) once for each reference. CTEs marked MATERIALIZED, also those of
    subqueries, become separate queries, which the caller computes first.

    Returns:
        The queries of the materialized CTEs by name, in order, and the rest of the query. Each may read those before it.
    """
    tree = sqlglot.parse_one(query, read="duckdb")
    materialized: dict[str, str] = {}
    for clause in list(tree.find_all(exp.With)):
        outer = _visible_ctes(clause)
        others: list[exp.CTE] = []
        for cte in clause.expressions:
            if cte.args.get("materialized"):
                materialized[cte.alias] = _spark_sql(_with_ctes([*outer, *others], cte.this.copy()))
            else:
                others.append(cte)
        _with_ctes(others, clause.parent)
    return MappingProxyType(materialized), _spark_sql(tree)


def _visible_ctes(clause: exp.With) -> list[exp.CTE]:
    """Return the CTEs of outer queries that a WITH clause may read."""
    ctes: list[exp.CTE] = []
    inner, outer = clause.parent, clause.parent and clause.parent.parent
    while outer is not None:
        if isinstance(outer, exp.With):
            # A CTE may read those before it.
            before = outer.expressions[: outer.expressions.index(inner)]
            ctes = [*before, *ctes]
        elif not isinstance(inner, exp.With) and isinstance(around := outer.args.get("with_"), exp.With):
            ctes = [*around.expressions, *ctes]
        inner, outer = outer, outer.parent
    return ctes


def _with_ctes(ctes: list[exp.CTE], query: exp.Expr | None) -> exp.Expr:
    """Replace the CTEs of a query, and return it."""
    assert query is not None, "a WITH clause belongs to a query"
    query.set("with_", exp.With(expressions=[cte.copy() for cte in ctes]) if ctes else None)
    return query


def _spark_sql(tree: exp.Expr) -> str:
    return tree.transform(_without_materialized).sql(dialect="spark")


def _without_materialized(node: exp.Expression) -> exp.Expression:
    """Remove the mark [NOT] MATERIALIZED of a CTE, which Spark does not know."""
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node
