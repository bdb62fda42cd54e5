"""Counts over relations of a backend."""

from collections.abc import Sequence

from stedi.compute.backend import Backend
from stedi.model.sql import columns, multiset_diff
from stedi.model.table import Table


def count_rows(backend: Backend, query: str) -> int:
    """Count the rows of a query."""
    return int(backend.select(f"SELECT count(*) AS n FROM ({query}) AS counted")[0]["n"])


def count_people(backend: Backend, table: Table, queries: Sequence[str]) -> int | None:
    """Count the distinct people in the rows of queries; None if the table's rows are not about people."""
    if table.person is None:
        return None
    people = " UNION ".join(f"SELECT DISTINCT {table.person} AS person FROM ({query}) AS rows" for query in queries)
    return count_rows(backend, f"SELECT person FROM ({people}) AS people WHERE person IS NOT NULL")


def count_differences(backend: Backend, table: Table, one: str, other: str) -> int:
    """Count the rows that only one of two queries returns, as multisets.

    The queries are compared row by row only if their checksums differ.
    """
    names = columns(table)
    checksums = [
        backend.select(f"SELECT count(*) AS n, {backend.checksum(names)} AS checksum FROM ({query}) AS rows")
        for query in (one, other)
    ]
    if checksums[0] == checksums[1]:
        return 0
    difference = multiset_diff(names, one, other)
    [total] = backend.select(f"SELECT coalesce(sum(abs(n)), 0)::BIGINT AS n FROM ({difference}) AS differences")
    return int(total["n"])
