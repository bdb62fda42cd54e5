"""Compute tables, compare them with what stands there, and write them as Parquet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stedi.engines.embedded.landing import Ingested, LandingReader
from stedi.engines.embedded.scope import Change, Reach, balance, moved_rows, names_of
from stedi.engines.embedded.session import Session
from stedi.engines.embedded.sql import SQL_TYPES, bound, columns, literal, literals, quoted, rows, rows_with_file
from stedi.engines.embedded.written import written_files
from stedi.landing.feed import Feed
from stedi.landing.files import LandingFile
from stedi.own_files import OWN_SUFFIX, own_uuid
from stedi.table import MILLISECONDS_A_DAY, DataFiles, Fact, Scope, Table, WrittenFile

# Athena and Spark read files of a few hundred megabytes best.
_TARGET_FILE = "256MB"
# Parquet's second version writes twice as fast, but Iceberg's reader on Spark refuses its encodings.
# A smaller dictionary than the engine's own is given up sooner where values hardly repeat: 6 million
# landing rows are written in 0.96 s instead of 1.14 s, into files of the same size.
_PARQUET = "FORMAT parquet, WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 1000, RETURN_STATS"
# Landing rows are written once and read by us; snappy takes a third less time for files twice as
# large. What people query, and pay Athena for by size, is zstd, whose first level takes a quarter
# less time than the third for files half as large again.
_COMPRESSION = dict.fromkeys(("trusted", "curated", "operations"), "zstd, COMPRESSION_LEVEL 1") | {"landing": "snappy"}


@dataclass(frozen=True)
class Difference:
    """How a table's candidate rows differ from its current ones: how many rows, and in which of its files."""

    added: int
    removed: int
    touched_files: tuple[str, ...]


class EmbeddedEngine(Session):
    """Refreshes tables in one DuckDB session."""

    # What the rows in scope that are still at hand were taken from, and how, by input.
    _narrowed: Mapping[str, tuple[Fact, Change]] = {}

    def ingest(self, feed: Feed, files: Sequence[LandingFile]) -> Ingested:
        """Read landing files into relations of landed and quarantined rows; end with `forget`."""
        return LandingReader(self, feed).read(files)

    def leave_out(self, feed: Feed, files: Iterable[LandingFile]) -> None:
        """Drop what `ingest` took from some of its files."""
        LandingReader(self, feed).leave_out(files)

    def forget(self, feed: Feed) -> None:
        """Free what `ingest` made."""
        LandingReader(self, feed).forget()

    def show(self, table: Table, files: DataFiles, view: str | None = None) -> str:
        """Make a table's files readable under its name, or under another; returns the name."""
        name = view or table.name
        self.sql(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {rows(table, files)}")
        return name

    @contextmanager
    def view(self, name: str, query: str) -> Iterator[None]:
        """Make a query readable under a name for a while."""
        self.sql(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {query}")
        try:
            yield
        finally:
            self.sql(f"DROP VIEW {quoted(name)}")

    def rows_of(self, table: Table, files: DataFiles) -> str:
        """A query for the rows that some of a table's files hold."""
        return rows(table, files)

    def count(self, table: Table, files: DataFiles) -> int:
        """How many rows some of a table's files hold."""
        return int(self.sql(f"SELECT count(*) FROM ({rows(table, files)})")[0][0])

    def people(self, table: Table, relations: Sequence[str]) -> int | None:
        """How many persons the rows of some relations are about, or None where rows name nobody."""
        if table.person is None:
            return None
        found = " UNION ".join(f"SELECT DISTINCT {table.person} FROM {quoted(relation)}" for relation in relations)
        return int(self.sql(f"SELECT count(*) FROM ({found}) AS people (person) WHERE person IS NOT NULL")[0][0])

    def query(self, table: Table) -> str:
        """A table's query as this session runs it."""
        return bound(table.query)

    def compute(self, table: Table, query: str) -> str:
        """Run a table's query; returns the relation that holds the candidate rows."""
        name = f"candidate_{table.name}"
        self.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT {_values(table)} FROM ({query}) AS q")
        return name

    def compute_scope(self, table: Table, scope: Scope, files: DataFiles, changes: Sequence[Change]) -> tuple[str, str]:
        """Compute only what changes of the inputs reach.

        Returns the relations of the candidate rows and of the table's current rows in that scope.
        """
        within = Reach(self)
        within.find(scope, changes)
        at_hand, self._narrowed = self._narrowed, {}
        for change in changes:
            reach = scope.inputs[change.table.name]
            if isinstance(reach, Fact):
                # Queries read an input several times; in scope there is little of it.
                narrowed, shown = f"narrowed_{change.table.name}", names_of(change.table, reach.columns)
                if not _serves(at_hand.get(change.table.name), reach, change):
                    source = f"(SELECT {shown} FROM ({rows(change.table, change.now)}))"
                    found = within.rows_within(source, reach.key, reach.moment, reach.spelling)
                    self.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(narrowed)} AS {found}")
                self.sql(
                    f"CREATE OR REPLACE TEMP VIEW {quoted(change.table.name)} AS SELECT {shown} FROM {quoted(narrowed)}"
                )
                if len(scope.inputs) == 1:
                    # Only its own changes reach such an input, whichever table reads it next.
                    self._narrowed = {change.table.name: (reach, change)}
        candidate = self.compute(table, self.query(table))
        for change in changes:
            self.show(change.table, change.now)
            if change.table.name not in self._narrowed:
                self.drop(f"narrowed_{change.table.name}")
        current = f"current_{table.name}"
        if scope.key != "k":
            within.respell(bound(scope.key))
        moment, spelling = (quoted(table.day), scope.column) if table.day else (None, None)
        found = within.rows_within(rows_with_file(files), quoted(scope.column), moment, spelling)
        self.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(current)} AS {found}")
        return candidate, current

    def unequal(self, table: Table, one: str, other: str) -> int:
        """How many rows stand in one of two relations and not in the other; equal rows count as often as they stand."""
        names = columns(table)
        digests = self.sql(
            " UNION ALL ".join(
                f"SELECT count(*), sum(hash({names})::HUGEINT) FROM {quoted(relation)}" for relation in (one, other)
            )
        )
        if digests[0] == digests[1]:
            return 0
        uneven = balance(names, f"SELECT * FROM {quoted(one)}", f"SELECT * FROM {quoted(other)}")
        return int(self.sql(f"SELECT coalesce(sum(abs(n)), 0)::BIGINT FROM ({uneven})")[0][0])

    def read_current(self, table: Table, files: DataFiles) -> str:
        """All rows of a table as it stands, with the file of each; returns the relation's name."""
        name = f"whole_{table.name}"
        self.sql(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {rows_with_file(files)}")
        return name

    def difference(self, table: Table, candidate: str, current: str) -> Difference:
        """Compare candidate rows with current ones, row for row.

        The rows that came and went stay at hand, in the relations of `moved_rows`, for the tables
        that read this one.
        """
        added, removed = map(quoted, moved_rows(table))
        names = columns(table)
        uneven = balance(names, f"SELECT * FROM {quoted(candidate)}", f"SELECT * FROM {quoted(current)}")
        self.sql(f"CREATE OR REPLACE TEMP TABLE uneven AS {uneven}")
        for relation, times in ((added, "n"), (removed, "-n")):
            repeated = f"SELECT {names}, unnest(range({times})) FROM uneven WHERE {times} > 0"
            self.sql(f"CREATE OR REPLACE TEMP TABLE {relation} AS SELECT {names} FROM ({repeated}) AS repeated")
        self.drop("uneven")
        went = self.rows(moved_rows(table)[1])
        touched: list[str] = []
        if went:
            same = " AND ".join(f"f.{quoted(n)} IS NOT DISTINCT FROM r.{quoted(n)}" for n in table.column_names)
            found = self.sql(f"SELECT DISTINCT filename FROM {quoted(current)} AS f SEMI JOIN {removed} AS r ON {same}")
            touched = sorted(row[0] for row in found)
        return Difference(self.rows(moved_rows(table)[0]), went, tuple(touched))

    def write_difference(self, table: Table, difference: Difference, files: DataFiles, folder: Path) -> list[WrittenFile]:
        """Write the added rows and what stays of the touched files; returns the new files."""
        added, removed = map(quoted, moved_rows(table))
        query = f"SELECT * FROM {added}"
        if difference.touched_files:
            touched = DataFiles(difference.touched_files, files.deletes)
            query += f" UNION ALL ({rows(table, touched)} EXCEPT ALL SELECT {columns(table)} FROM {removed})"
        return self.write(table, query, folder)

    def forget_candidate(self, table: Table) -> None:
        """Free what `compute`, `compute_scope` and `read_current` made."""
        self.sql(f"DROP VIEW IF EXISTS {quoted(f'whole_{table.name}')}")
        for name in (f"current_{table.name}", f"candidate_{table.name}"):
            self.drop(name)

    def split_by_source(self, table: Table, files: DataFiles, sources: Sequence[str]) -> tuple[list[str], str, str]:
        """Where rows of the named landing files lie in a table.

        Returns the files that hold some, a query for these rows, and one for the other rows in
        the same files.
        """
        gone = _of_sources(sources)
        found = self.sql(f"SELECT DISTINCT filename FROM {rows_with_file(files)} WHERE {gone}") if files and sources else []
        touched = DataFiles(tuple(sorted(row[0] for row in found)), files.deletes)
        whole = rows(table, touched)
        split = [f"SELECT * FROM ({whole}) AS r WHERE {condition}" for condition in (gone, f"NOT {gone}")]
        return list(touched.paths), split[0], split[1]

    def without_sources(self, table: Table, files: DataFiles, sources: Sequence[str]) -> str:
        """A query for a table's rows that come from other landing files than the named ones."""
        return f"SELECT * FROM ({rows(table, files)}) AS r WHERE NOT {_of_sources(sources)}"

    def write(self, table: Table, query: str, folder: Path, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        """Write the rows of a query as the table's Parquet files, sorted, one folder a day; returns the files.

        Landing rows need no sorting: they come in the order of their files. Field numbers are
        written into the files, so that no reader depends on column names.

        Args:
            table: whose rows these are.
            query: a SQL query for the table's columns, and those of `sort_by`.
            folder: where the files go.
            sort_by: what to sort by instead of the table's `sort`.
        """
        order = [] if table.zone == "landing" else [f"q.{quoted(name)}" for name in sort_by or table.sort]
        ids = ", ".join(f"{quoted(c.name)}: {n}" for n, c in enumerate(table.columns, start=1))
        options = f"{_PARQUET}, COMPRESSION {_COMPRESSION[table.zone]}, FIELD_IDS {{{ids}}}"
        values = _values(table)
        if table.day:
            values += f", q.{quoted(table.day)} - q.{quoted(table.day)} % {MILLISECONDS_A_DAY} AS day_ms"
            order.insert(0, "day_ms")
            options += (
                ", PARTITION_BY (day_ms), WRITE_PARTITION_COLUMNS false, APPEND, FILENAME_PATTERN '{uuid}" + f"{OWN_SUFFIX}'"
            )
            target = folder
        else:
            options += f", FILE_SIZE_BYTES '{_TARGET_FILE}'"
            target = folder / str(own_uuid())
        query = f"SELECT {values} FROM ({query}) AS q" + (f" ORDER BY {', '.join(order)}" if order else "")
        return written_files(table, self.sql(f"COPY ({query}) TO {literal(str(target))} ({options})"))


def _serves(narrowed: tuple[Fact, Change] | None, reach: Fact, change: Change) -> bool:
    """Whether rows that were narrowed for one table are those that another asks for."""
    if narrowed is None:
        return False
    found, of = narrowed
    return of == change and (found.key, found.moment) == (reach.key, reach.moment) and {*found.columns} >= {*reach.columns}


def _of_sources(sources: Sequence[str]) -> str:
    return f"source_file IN ({literals(sources)})" if sources else "false"


def _values(table: Table) -> str:
    """The table's columns out of a query `q`, in the declared types."""
    return ", ".join(f"q.{quoted(c.name)}::{SQL_TYPES[c.type]} AS {quoted(c.name)}" for c in table.columns)
