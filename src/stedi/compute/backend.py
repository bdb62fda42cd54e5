"""Incremental refresh, shared by all engines: compute candidate rows, diff them against the current rows.

An engine runs SQL in the project's dialect over named relations. How it runs it, and how it reads
and writes files, is its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stedi.compute.affected_keys import AffectedKeys, Change, delta_relations
from stedi.ingest.landing_file import LandingFile
from stedi.model.column_types import COLUMN_TYPES, ColumnType
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.feed import Feed
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.sql import columns, literals, multiset_diff, names_of, quoted
from stedi.model.table import Table


@dataclass(frozen=True)
class Ingested:
    """What was taken from landing files: two relations, and (landed, quarantined) by file name.

    Nothing is taken from a file that changed or vanished while it was read, or is of another
    format: `other_formats` has these formats by file name.
    """

    landed: str
    quarantined: str
    counts: Mapping[str, tuple[int, int]]
    other_formats: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """How a table's candidate rows differ from its current ones: how many rows, and in which of its files."""

    added: int
    removed: int
    touched_files: tuple[str, ...]


class Engine(ABC):
    """Refreshes tables; `scratch` is a folder for what is not kept."""

    scratch: Path
    # What the rows in scope that are still at hand were taken from, and how, by input; and the length of its spans.
    _narrowed: Mapping[str, tuple[KeyedInput, Change, int]] = {}
    # The queries that tables' names stand for: naming one opens all of its files, and few change from table to table.
    _queries: Mapping[str, str] = {}

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # How an engine runs SQL

    @abstractmethod
    def set_parameters(self, values: Mapping[str, str | bytes]) -> None:
        """Give queries their `$name` parameters; values never become part of a query's text."""

    @abstractmethod
    def bound(self, query: str) -> str:
        """A query whose `$name` parameters this engine finds when it runs it as a part of another."""

    @abstractmethod
    def select(self, sql: str) -> list[dict[str, Any]]:
        """Run a query with its parameters; returns rows by column name."""

    @abstractmethod
    def materialize(self, relation: str, query: str) -> None:
        """Make a relation of a query's rows as they are now, in place of one of that name."""

    @abstractmethod
    def create_view(self, relation: str, query: str) -> None:
        """Give a query a name, in place of another of that name."""

    @abstractmethod
    def hold(self, relation: str, columns: Iterable[tuple[str, ColumnType, Sequence[object]]]) -> None:
        """Make a relation out of values: for each column its name, its type and one value a row.

        Moments are microseconds since the epoch.
        """

    @abstractmethod
    def drop(self, relation: str) -> None:
        """Free what `keep` or `hold` made, where there is any."""

    @abstractmethod
    def drop_view(self, relation: str) -> None:
        """Drop a view, if it exists."""

    @abstractmethod
    def digest(self, names: str) -> str:
        """SQL for an order-independent checksum of rows."""

    @abstractmethod
    def repeated(self, names: str, source: str, times: str) -> str:
        """SQL for columns of a source, each row as many times as an expression says."""

    # How an engine reads and writes

    @abstractmethod
    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """Read landing files, also in S3, into relations of landed and quarantined rows; end with `forget`.

        Raises:
            LandingError: S3 can't be read.
            OSError: copies of what lies in S3 can't be written.
        """

    @abstractmethod
    def release(self, feed: Feed) -> None:
        """Free what `ingest` made."""

    @abstractmethod
    def rows_of(self, table: Table, files: DataFiles) -> str:
        """A query for the rows that some of a table's files hold; for none, an empty one of the right columns."""

    @abstractmethod
    def rows_with_file(self, table: Table, files: DataFiles) -> str:
        """SQL source of the rows of some files (at least one) and, as `filename`, of the file that each lies in."""

    @abstractmethod
    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        """Write the rows of a query as the table's Parquet files, sorted, one folder a day; returns the files.

        Landing rows need no sorting: they come in the order of their files. Field numbers are
        written into the files, so that no reader depends on column names.

        Args:
            table: whose rows these are.
            query: a SQL query for the table's columns, and those of `sort_by`.
            folder: the path of where the files go.
            sort_by: what to sort by instead of the table's `sort`.
        """

    # What all do alike

    def rows(self, relation: str) -> int:
        """How many rows a relation has."""
        return int(self.select(f"SELECT count(*) AS n FROM {quoted(relation)}")[0]["n"])

    def register_files(self, table: Table, files: DataFiles, view: str | None = None) -> str:
        """Make a table's files readable under its name, or under another; returns the name."""
        name = view or table.name
        self._name_once(name, self.rows_of(table, files))
        return name

    def _name_once(self, name: str, query: str) -> None:
        if self._queries.get(name) != query:
            self.create_view(name, query)
            self._queries = {**self._queries, name: query}

    @contextmanager
    def view(self, name: str, query: str) -> Iterator[None]:
        """Make a query readable under a name for a while."""
        self.create_view(name, query)
        try:
            yield
        finally:
            self.drop_view(name)

    def count(self, table: Table, files: DataFiles) -> int:
        """How many rows some of a table's files hold."""
        return int(self.select(f"SELECT count(*) AS n FROM ({self.rows_of(table, files)}) AS rows")[0]["n"])

    def people(self, table: Table, relations: Sequence[str]) -> int | None:
        """How many persons the rows of some relations are about, or None where rows name nobody."""
        if table.person is None:
            return None
        found = " UNION ".join(f"SELECT DISTINCT {table.person} AS person FROM {quoted(relation)}" for relation in relations)
        return int(self.select(f"SELECT count(*) AS n FROM ({found}) AS people WHERE person IS NOT NULL")[0]["n"])

    def compute(self, table: Table, query: str) -> str:
        """Run a table's query; returns the relation that holds the candidate rows."""
        name = f"candidate_{table.name}"
        self.materialize(name, f"SELECT {values(table)} FROM ({query}) AS q")
        return name

    def compute_affected(
        self, table: Table, scope: IncrementalSpec, files: DataFiles, changes: Sequence[Change]
    ) -> tuple[str, str]:
        """Compute only what changes of the inputs reach; all of them can be read by their names before and afterwards.

        Returns the relations of the candidate rows and of the table's current rows in that scope.
        """
        within = AffectedKeys(self, scope.span_ms)
        within.find(scope, changes)
        previous, self._narrowed = self._narrowed, {}
        for change in changes:
            reach = scope.inputs[change.table.name]
            if isinstance(reach, KeyedInput):
                # Queries read an input several times; in scope there is little of it.
                narrowed, shown = f"narrowed_{change.table.name}", names_of(change.table, reach.columns)
                cached = previous.get(change.table.name)
                margin_ms = reach.margin_ms
                if cached is not None and _serves(cached, reach, change, scope.span_ms):
                    # A table that reads more columns sees more changes, so its scope can be larger.
                    source = f"(SELECT {shown} FROM {quoted(narrowed)})"
                    wanted = within.rows_within(source, reach.key, reach.time_ms, margin_ms=margin_ms)
                    self._name_once(change.table.name, wanted)
                    self._narrowed = {change.table.name: cached}
                    continue
                source = f"(SELECT {shown} FROM ({self.rows_of(change.table, change.now)}) AS now)"
                self.materialize(
                    narrowed, within.rows_within(source, reach.key, reach.time_ms, reach.lookup_column, margin_ms)
                )
                self._name_once(change.table.name, f"SELECT {shown} FROM {quoted(narrowed)}")
                if len(scope.inputs) == 1:
                    # Only its own changes reach such an input, whichever table reads it next.
                    self._narrowed = {change.table.name: (reach, change, scope.span_ms)}
        candidate = self.compute(table, self.bound(table.query))
        for change in changes:
            self.register_files(change.table, change.now)
            if change.table.name not in self._narrowed:
                self.drop(f"narrowed_{change.table.name}")
        current = f"current_{table.name}"
        if scope.key != "k":
            within.respell(self.bound(scope.key))
        column = "''" if scope.column is None else quoted(scope.column)
        moment, spelling = (quoted(table.day), scope.column) if table.day else (None, None)
        if scope.has_margins:
            # Input rows in the margins also give rows out of scope, and not all input rows of those were read.
            self.materialize(candidate, within.rows_within(quoted(candidate), column, moment))
        self.materialize(current, within.rows_within(self.rows_with_file(table, files), column, moment, spelling))
        return candidate, current

    def unequal(self, table: Table, one: str, other: str) -> int:
        """How many rows stand in one of two relations and not in the other; equal rows count as often as they stand."""
        names = columns(table)
        digest = self.digest(names)
        first, second = (
            self.select(f"SELECT count(*) AS n, {digest} AS digest FROM {quoted(relation)}")[0] for relation in (one, other)
        )
        if first == second:
            return 0
        uneven = multiset_diff(names, f"SELECT * FROM {quoted(one)}", f"SELECT * FROM {quoted(other)}")
        return int(self.select(f"SELECT coalesce(sum(abs(n)), 0)::BIGINT AS n FROM ({uneven}) AS uneven")[0]["n"])

    def read_current(self, table: Table, files: DataFiles) -> str:
        """All rows of a table as it stands, with the file of each; returns the relation's name."""
        name = f"whole_{table.name}"
        self.create_view(name, f"SELECT * FROM {self.rows_with_file(table, files)}")
        return name

    def difference(self, table: Table, candidate: str, current: str) -> Difference:
        """Compare candidate rows with current ones, row for row.

        The rows that came and went stay at hand, in the relations of `delta_relations`, for the tables
        that read this one.
        """
        added, removed = delta_relations(table)
        names = columns(table)
        self.materialize(
            "uneven", multiset_diff(names, f"SELECT * FROM {quoted(candidate)}", f"SELECT * FROM {quoted(current)}")
        )
        for relation, times in ((added, "n"), (removed, "-n")):
            self.materialize(relation, self.repeated(names, f"uneven WHERE {times} > 0", times))
        [moved] = self.select(
            "SELECT coalesce(sum(n) FILTER (WHERE n > 0), 0)::BIGINT AS came, "
            "coalesce(sum(-n) FILTER (WHERE n < 0), 0)::BIGINT AS went FROM uneven"
        )
        self.drop("uneven")
        touched: list[str] = []
        if moved["went"]:
            same = " AND ".join(f"f.{quoted(n)} IS NOT DISTINCT FROM r.{quoted(n)}" for n in table.column_names)
            found = self.select(
                f"SELECT DISTINCT filename FROM {quoted(current)} AS f SEMI JOIN {quoted(removed)} AS r ON {same}"
            )
            touched = sorted(row["filename"] for row in found)
        return Difference(moved["came"], moved["went"], tuple(touched))

    def write_difference(self, table: Table, difference: Difference, files: DataFiles, folder: str) -> list[WrittenFile]:
        """Write the added rows and what stays of the touched files; returns the new files."""
        added, removed = map(quoted, delta_relations(table))
        query = f"SELECT * FROM {added}"
        if difference.touched_files:
            # EXCEPT ALL numbers all rows that it is given, so it is given those alone that could go.
            first = quoted(table.key[0])
            touched = f"SELECT * FROM ({self.rows_of(table, files.part(difference.touched_files))}) AS f"
            same = f"JOIN {removed} AS r ON f.{first} IS NOT DISTINCT FROM r.{first}"
            query += (
                f" UNION ALL {touched} ANTI {same} "
                f"UNION ALL ({touched} SEMI {same} EXCEPT ALL SELECT {columns(table)} FROM {removed})"
            )
        return self.write(table, query, folder)

    def forget_candidate(self, table: Table) -> None:
        """Free what `compute`, `compute_affected` and `read_current` made."""
        self.drop_view(f"whole_{table.name}")
        for name in (f"current_{table.name}", f"candidate_{table.name}"):
            self.drop(name)

    def split_by_source(self, table: Table, files: DataFiles, sources: Sequence[str]) -> tuple[list[str], str, str]:
        """Where rows of the named landing files lie in a table.

        Returns the files that hold some, a query for these rows, and one for the other rows in
        the same files.
        """
        gone = of_sources(sources)
        found = (
            self.select(f"SELECT DISTINCT filename FROM {self.rows_with_file(table, files)} AS rows WHERE {gone}")
            if files and sources
            else []
        )
        touched = files.part(sorted(row["filename"] for row in found))
        whole = self.rows_of(table, touched)
        split = [f"SELECT * FROM ({whole}) AS r WHERE {condition}" for condition in (gone, f"NOT {gone}")]
        return list(touched.paths), split[0], split[1]

    def without_sources(self, table: Table, files: DataFiles, sources: Sequence[str]) -> str:
        """A query for a table's rows that come from other landing files than the named ones."""
        return f"SELECT * FROM ({self.rows_of(table, files)}) AS r WHERE NOT {of_sources(sources)}"


def values(table: Table) -> str:
    """The table's columns out of a query `q`, in the declared types."""
    return ", ".join(f"q.{quoted(c.name)}::{COLUMN_TYPES[c.type].duckdb} AS {quoted(c.name)}" for c in table.columns)


def _serves(narrowed: tuple[KeyedInput, Change, int], reach: KeyedInput, change: Change, span_ms: int) -> bool:
    """Whether the rows that were narrowed for one table contain those that another reads."""
    found, of, found_span_ms = narrowed
    return (
        (of, found_span_ms) == (change, span_ms)
        and replace(found, columns=(), lookup_column=None) == replace(reach, columns=(), lookup_column=None)
        and {*found.columns} >= {*reach.columns}
    )


def of_sources(sources: Sequence[str]) -> str:
    """SQL condition for rows that come from one of some landing files."""
    return f"source_file IN ({literals(sources)})" if sources else "false"
