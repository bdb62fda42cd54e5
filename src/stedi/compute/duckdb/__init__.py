"""DuckDB: reads landing files, runs the tables' queries, writes Parquet. The only folder that imports it.

What hands out Arrow, `query` and `json_lines`, is imported by name: a run starts sooner without it.
"""

from stedi.compute.duckdb.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
