"""The project's SQL as Spark has it."""

from functools import cache

import sqlglot
from sqlglot import exp

from stedi.engines.embedded.lower_case import lower_case


@cache
def translated(sql: str) -> str:
    """One statement in Spark's dialect; parameters written `$name` become `:name`."""
    tree = sqlglot.parse_one(sql, read="duckdb").transform(_as_embedded)
    return tree.sql(dialect="spark")


def _as_embedded(node: exp.Expression) -> exp.Expression:
    """Where Spark gives the same name to something else."""
    if isinstance(node, exp.Lower) and not node.meta.get("done"):
        # Spark follows another version of Unicode, and the places of letters in a word.
        plain = exp.Lower(this=node.this.copy())
        plain.meta["done"] = True
        upper, lower = lower_case()
        others = exp.func("TRANSLATE", node.this.copy(), exp.Literal.string(upper), exp.Literal.string(lower))
        is_ascii = exp.EQ(
            this=exp.func("OCTET_LENGTH", node.this.copy()), expression=exp.func("CHAR_LENGTH", node.this.copy())
        )
        return exp.Case(ifs=[exp.If(this=is_ascii, true=plain)], default=others)
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node
