"""DuckDB: the embedded backend. The only folder that imports DuckDB, except `stedi.simulate`.

Import `query` and `json_lines`, which return Arrow, by their module: a run starts faster without Arrow.
"""

from stedi.compute.duckdb.backend import DuckDBBackend

__all__ = ["DuckDBBackend"]
