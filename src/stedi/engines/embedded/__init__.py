"""DuckDB: reads landing files, runs the tables' queries, writes Parquet. The only folder that imports it.

What hands out Arrow, `query` and `json_lines`, is imported by name: a run starts sooner without it.
"""

from stedi.engines.embedded.engine import Difference, EmbeddedEngine
from stedi.engines.embedded.landing import Ingested
from stedi.engines.embedded.scope import Change, moved_rows

__all__ = [
    "Change",
    "Difference",
    "EmbeddedEngine",
    "Ingested",
    "moved_rows",
]
