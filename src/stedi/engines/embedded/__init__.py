"""DuckDB: reads landing files, runs the tables' queries, writes Parquet. The only folder that imports it."""

from stedi.engines.embedded.engine import Difference, EmbeddedEngine
from stedi.engines.embedded.json_lines import JsonWriter
from stedi.engines.embedded.landing import Ingested
from stedi.engines.embedded.query import QueryResult, QuerySession, values
from stedi.engines.embedded.scope import Change, moved_rows

__all__ = [
    "Change",
    "Difference",
    "EmbeddedEngine",
    "Ingested",
    "JsonWriter",
    "QueryResult",
    "QuerySession",
    "moved_rows",
    "values",
]
