"""What a table is: columns, grain, key, inputs, rules and query, as plain values without I/O.

Everything else is derived from these: the Iceberg schema, the checks, the DDL, the data
dictionary and the order of a run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from stedi.errors import UsageError

ColumnType = Literal["string", "long", "int", "double", "boolean", "timestamptz"]
Level = Literal["error", "warn"]

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
    name that returns one number: how many rows break the promise.
    `where` is the short form, a condition that bad rows satisfy.
    """

    name: str
    level: Level
    meaning: str
    where: str | None = None
    violations: str | None = None

    def __post_init__(self) -> None:
        if (self.where is None) == (self.violations is None):
            raise ValueError(f"rule {self.name}: give either where or violations")


@dataclass(frozen=True)
class Fact:
    """An input whose every row concerns one key of the table, and one moment of it.

    `key` and `moment` are SQL over the input's rows; without a moment a change reaches the whole
    key. `columns` are those that matter (all when empty). When the table is refreshed the input is
    read only for the keys and moments that changed.
    """

    key: str
    moment: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dimension:
    """An input that is read whole; a change of its `columns` reaches whole keys of the table.

    `keys` is a SQL query over `{changed}`, the rows that came or went, for a column `k`.
    """

    keys: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """How changes of the inputs reach a table, so that only what they reach is computed again.

    `column` holds the table's key; `key` is SQL for its value, from the `k` of the inputs. The
    query must give the rows of one key and moment from its facts of the same key and moment.
    """

    column: str
    inputs: Mapping[str, Fact | Dimension]
    key: str = "k"


@dataclass(frozen=True)
class Table:
    """One table of the lakehouse.

    `query` is a SQL SELECT over the inputs by name; settings reach it as the named parameters
    listed in `parameters`, written `$name`. A table without a `scope` is always computed whole.
    `day` names the column (milliseconds since the epoch,
    UTC) whose day partitions the table.
    """

    name: str
    zone: str
    meaning: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    inputs: tuple[str, ...] = ()
    query: str = ""
    rules: tuple[Rule, ...] = ()
    day: str | None = None
    sort: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    scope: Scope | None = None

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
        ready = [t for t in remaining.values() if not any(i in remaining for i in t.inputs)]
        if not ready:
            raise ValueError(f"tables depend on each other in a circle: {', '.join(remaining)}")
        for table in ready:
            if missing := [i for i in table.inputs if i not in known]:
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
            raise UsageError(f"no table is called {name!r}; the tables are {', '.join(tables)}")
        if name not in wanted:
            wanted.add(name)
            stack.extend(tables[name].inputs)
    return wanted
