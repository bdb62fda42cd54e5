"""What a table is: columns, grain, key, inputs, rules and query, as plain values without I/O.

Everything else is derived from these: the Iceberg schema, the checks, the DDL, the data
dictionary and the order of a run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stedi.errors import unknown_name

ColumnType = Literal["string", "long", "int", "double", "boolean", "timestamptz"]
Level = Literal["error", "warn"]
Value = str | int | float | bool

MILLISECONDS_A_DAY = 86_400_000


@dataclass(frozen=True)
class Column:
    """One column; `personal` marks what identifies a person and must stay out of reports."""

    name: str
    type: ColumnType
    meaning: str
    personal: bool = False
    required: bool = False


@dataclass(frozen=True)
class Rule:
    """A named promise about a table.

    `violations` is a SQL query over the candidate rows (`{rows}`) and the table's inputs by
    name for the offenders: the columns in `by`, and `n`, how many rows each of them stands for.
    `where` is the short form, a condition that bad rows satisfy. What a rule finds must add up
    over the keys of the table, so that it can be kept current from the keys that change.
    """

    name: str
    level: Level
    meaning: str
    where: str | None = None
    violations: str | None = None
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.where is None) == (self.violations is None):
            raise ValueError(f"rule {self.name}: give either where or violations")
        if (self.violations is None) != (not self.by):
            raise ValueError(f"rule {self.name}: name the columns of violations in `by`")


def no_repeats(name: str, meaning: str, *by: str) -> Rule:
    """The error-level rule that no two rows share the values of some columns."""
    columns = ", ".join(f'"{column}"' for column in by)
    query = f"SELECT {columns}, count(*) - 1 AS n FROM {{rows}} GROUP BY {columns} HAVING count(*) > 1"
    return Rule(name, "error", meaning, violations=query, by=by)


@dataclass(frozen=True)
class KeyedInput:
    """An input whose every row concerns one key of the table, and one moment of it.

    `key` and `moment` (ms since the epoch; a row without one concerns nothing) are SQL over the input's
    rows; without a moment a change reaches the whole key. `columns` are those that the query reads (all when empty).
    When the table is refreshed the input is read only for the keys and moments that changed. `spelling` names the
    column that `key` follows from where it has few values, which are then looked up first. A row concerns also the spans
    (see `IncrementalSpec`) that begin or end at most `margin_ms` from its moment.
    """

    key: str
    moment: str | None = None
    columns: tuple[str, ...] = ()
    spelling: str | None = None
    margin_ms: int = 0


@dataclass(frozen=True)
class BroadcastInput:
    """An input that is read whole; a change of its `columns` reaches whole keys of the table.

    `keys` is a SQL query over `{changed}`, the rows that came or went, for a column `k`.
    """

    keys: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class IncrementalSpec:
    """How changes of the inputs reach a table, so that only what they reach is computed again.

    `column` holds the table's key; `key` is SQL for its value, from the `k` of the inputs. A table whose rows of a moment
    concern all keys has no `column`, and its inputs give a constant for `k`. Moments are taken together in spans of
    `span_ms`: the query must give the rows of one key whose `day` lies in a span from the keyed inputs' rows of the same
    key whose moment lies in that span or in its margins. Either all keyed inputs have moments or none has.
    """

    column: str | None
    inputs: Mapping[str, KeyedInput | BroadcastInput]
    key: str = "k"
    span_ms: int = 1

    def __post_init__(self) -> None:
        if len({keyed.moment is None for keyed in self._keyed}) > 1:
            raise ValueError(f"scope by {self.column}: give all keyed inputs moments, or none")
        # A moment with its margins then lies in at most two spans: those of its margins' ends.
        if self.has_margins and 2 * max(keyed.margin_ms for keyed in self._keyed) > self.span_ms:
            raise ValueError(f"scope by {self.column}: a margin is at most half a span")

    @property
    def _keyed(self) -> list[KeyedInput]:
        return [keyed for keyed in self.inputs.values() if isinstance(keyed, KeyedInput)]

    @property
    def has_moments(self) -> bool:
        """Whether changes reach moments of keys, and not only whole keys."""
        return any(keyed.moment is not None for keyed in self._keyed)

    @property
    def has_margins(self) -> bool:
        """Whether input rows outside a span decide its rows."""
        return any(keyed.margin_ms for keyed in self._keyed)


@dataclass(frozen=True)
class DataFiles:
    """The files that make up a table: paths of Parquet files, and of position-delete files.

    We write no delete files; Athena and other engines do, and they take rows away. Files of a
    catalog know the snapshot that names them, and whether they are only a part of what it names.
    """

    paths: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    snapshot_id: int | None = None
    is_part: bool = False

    def __bool__(self) -> bool:
        return bool(self.paths)

    def part(self, paths: Iterable[str]) -> "DataFiles":
        """Some of these files, under the same deletes."""
        return replace(self, paths=tuple(paths), is_part=True)


@dataclass(frozen=True)
class ColumnStatistics:
    """What one column of a file holds: bytes on disk, values, nulls, NaNs (doubles only), bounds where known.

    Moments are microseconds since the epoch.
    """

    bytes: int
    values: int
    nulls: int
    nans: int | None
    lowest: Value | None
    highest: Value | None


@dataclass(frozen=True)
class WrittenFile:
    """A Parquet file that an engine wrote for a table, and what it holds; `day_ms` is its partition's day."""

    path: str
    rows: int
    bytes: int
    columns: Mapping[str, ColumnStatistics]
    day_ms: int | None = None


@dataclass(frozen=True)
class Table:
    """One table of the lakehouse.

    `query` is a SQL SELECT over the inputs by name, and over `rejects`, the quarantined records of the
    landing tables in `rejects_of`. Settings reach it as the named parameters listed in `parameters`,
    written `$name`. A table without a `scope` is always computed whole.
    `day` names the column (milliseconds since the epoch, UTC) whose day partitions the table;
    `person` is SQL for the person a row is about: the normalised e-mail address, or the customer's
    pseudonym where `person_is_pseudonym`. `stedi verify` proves that every such person consents,
    unless the table `covers_everyone`. `sort_by` names numbers in the query's result that
    stand in the order of `sort` and are cheaper to sort by than texts. A table `on_demand` is made
    when it is first selected, and from then on every run keeps it current as it does the others.
    """

    name: str
    zone: str
    meaning: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    inputs: tuple[str, ...] = ()
    rejects_of: tuple[str, ...] = ()
    query: str = ""
    rules: tuple[Rule, ...] = ()
    day: str | None = None
    sort: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    scope: IncrementalSpec | None = None
    person: str | None = None
    person_is_pseudonym: bool = False
    covers_everyone: bool = False
    on_demand: bool = False

    def __post_init__(self) -> None:
        is_derived = self.query and self.zone != "landing"
        if is_derived and self.person is None and any(column.personal for column in self.columns):
            raise ValueError(f"table {self.name} has personal columns: give `person`, so that consent can be verified")
        if self.scope is not None and self.scope.has_moments and self.day is None:
            raise ValueError(f"table {self.name}: give `day`, the moment of a row by which its scope finds it")

    @property
    def requires_consent(self) -> bool:
        """Whether the table may only contain rows of people whose consent is in force."""
        return self.person is not None and not self.covers_everyone

    @property
    def built_from(self) -> tuple[str, ...]:
        """The tables whose rows or quarantined records the table is computed from."""
        return tuple(dict.fromkeys((*self.inputs, *self.rejects_of)))

    @property
    def origins(self) -> tuple[str, ...]:
        """What the table is built from, tables or not."""
        return self.built_from or ("landing files" if self.zone == "landing" else "runs",)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def in_run_order(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Sort tables so that each comes after its inputs; the given order breaks ties.

    Raises:
        ValueError: the inputs form a cycle or name a table that is not given.
    """
    remaining = {table.name: table for table in tables}
    known = set(remaining)
    ordered: list[Table] = []
    while remaining:
        ready = [t for t in remaining.values() if not any(i in remaining for i in t.built_from)]
        if not ready:
            raise ValueError(f"tables depend on each other in a circle: {', '.join(remaining)}")
        for table in ready:
            if missing := [i for i in table.built_from if i not in known]:
                raise ValueError(f"table {table.name} reads unknown tables: {', '.join(missing)}")
            ordered.append(remaining.pop(table.name))
    return tuple(ordered)


def with_ancestors(names: Iterable[str], tables: Mapping[str, Table]) -> set[str]:
    """The named tables and everything that they are built from.

    Raises:
        UsageError: a name is not a table.
    """
    wanted: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in tables:
            raise unknown_name("table", name, tables)
        if name not in wanted:
            wanted.add(name)
            stack.extend(tables[name].built_from)
    return wanted
