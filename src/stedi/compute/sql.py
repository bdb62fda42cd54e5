"""SQL text that all backends share."""

import re
from collections.abc import Mapping

from stedi.model.column_types import COLUMN_TYPES
from stedi.model.sql import quoted
from stedi.model.table import Table

# A comment may contain an apostrophe, and a text the start of a comment, so both are matched together.
COMMENT_OR_TEXT = r"--[^\n]*|'(?:[^']|'')*'"


def with_relations(query: str, relations: Mapping[str, str]) -> str:
    """Add the relations that a query reads to it, as common table expressions.

    Args:
        query: a SELECT statement.
        relations: query by name. These queries can't read each other.
    """
    # String literals are removed first: paths of files contain the names of tables.
    words = set(re.findall(r"\w+", re.sub(COMMENT_OR_TEXT, "", query)))
    # DuckDB would materialize whole tables. Without that, each reference reads only the columns and rows that it needs.
    ctes = [f"{quoted(name)} AS NOT MATERIALIZED ({sql})" for name, sql in relations.items() if name in words]
    return f"WITH {', '.join(ctes)} SELECT * FROM ({query}) AS q" if ctes else query


def typed_columns(table: Table) -> str:
    """SQL list of a table's columns from a query `q`, cast to the declared types."""
    return ", ".join(f"q.{quoted(c.name)}::{COLUMN_TYPES[c.type].duckdb} AS {quoted(c.name)}" for c in table.columns)
