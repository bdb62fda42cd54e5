"""Tables: columns, grain, key, inputs, rules and query, as plain values without I/O.

The Iceberg schema, the checks, the DDL, the data dictionary and the order of a run are derived from them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from stedi.errors import unknown_name
from stedi.model.column_types import ColumnType
from stedi.model.incremental import IncrementalSpec
from stedi.model.rules import Rule, required_columns_filled

MILLISECONDS_A_DAY = 86_400_000


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: column name.
        type: column type.
        meaning: what a value means, with its unit.
        personal: whether values identify a person or a device. Reports and errors never show them.
        required: whether null is an error.
    """

    name: str
    type: ColumnType
    meaning: str
    personal: bool = False
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the lakehouse.

    Attributes:
        name: table name.
        zone: landing, reference, trusted, curated or operations.
        meaning: what the table contains.
        grain: what one row is.
        key: columns that identify a row.
        columns: the columns, in order.
        inputs: tables that the query reads.
        rejects_of: landing tables whose quarantined records the query reads, as the relation `rejects`.
        query: SQL SELECT over the inputs by name. Empty for a landing table.
        rules: declared rules. `checks` also has the derived one.
        day: column (ms since the epoch, UTC) whose day partitions the table. It is also a row's time for `incremental`.
        sort: columns by which rows are sorted within a file.
        sort_by: columns of the query's result that give the same order as `sort` and are cheaper to sort by, because they
            are numbers instead of text.
        parameters: names of the `$name` parameters of the query.
        incremental: how changed inputs map to affected keys. Without it every refresh computes the whole table.
        person: SQL for the person that a row is about: normalised e-mail address or, with `person_is_pseudonym`, the
            customer's pseudonym. `stedi verify` checks that every such person consents, unless `covers_everyone`.
        person_is_pseudonym: whether `person` is a pseudonym.
        covers_everyone: whether the table may contain people who do not consent.
        on_demand: whether runs skip the table until a run has selected it once.
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
    incremental: IncrementalSpec | None = None
    person: str | None = None
    person_is_pseudonym: bool = False
    covers_everyone: bool = False
    on_demand: bool = False

    def __post_init__(self) -> None:
        """Reject an incomplete declaration.

        Raises:
            ValueError: `person` is missing, so consent could not be verified; or `day`, so an incremental refresh could
                not find rows by time.
        """
        is_derived = self.query and self.zone != "landing"
        if is_derived and self.person is None and any(column.personal for column in self.columns):
            raise ValueError(f"table {self.name} has personal columns: give `person`, so that consent can be verified")
        if self.incremental is not None and self.incremental.has_times and self.day is None:
            raise ValueError(f"table {self.name} is refreshed by time: give `day`, the column with a row's time")

    @property
    def checks(self) -> tuple[Rule, ...]:
        """All rules: the one derived from required columns, then the declared ones."""
        return (*required_columns_filled([column.name for column in self.columns if column.required]), *self.rules)

    @property
    def definition(self) -> str:
        """Everything in the declaration that decides the table's rows, as stable text.

        Meanings, comment lines and indentation of the SQL are left out, so that a change of them refreshes no table.
        """
        rules = [(rule.name, rule.level, rule.by, _code(rule.where or rule.violations or "")) for rule in self.checks]
        inputs = self.incremental.inputs if self.incremental else {}
        incremental = self.incremental and {
            "by": (self.incremental.column, self.incremental.key, self.incremental.span_ms),
            "inputs": {name: [type(spec).__name__, *asdict(spec).values()] for name, spec in inputs.items()},
        }
        return json.dumps(
            {
                "query": _code(self.query),
                "columns": [(column.name, column.type) for column in self.columns],
                "key": self.key,
                "rules": rules,
                "incremental": incremental,
            },
            sort_keys=True,
        )

    @property
    def requires_consent(self) -> bool:
        """Whether the table may only contain rows of people whose consent is in force."""
        return self.person is not None and not self.covers_everyone

    @property
    def built_from(self) -> tuple[str, ...]:
        """The tables whose rows or quarantined records the query reads."""
        return tuple(dict.fromkeys((*self.inputs, *self.rejects_of)))

    @property
    def origins(self) -> tuple[str, ...]:
        """What the table is made from, for display: tables, landing files or runs."""
        return self.built_from or ("landing files" if self.zone == "landing" else "runs",)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


def _code(sql: str) -> str:
    """Drop indentation, blank lines and lines that are comments."""
    lines = (line.strip() for line in sql.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


def in_run_order(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Sort tables so that each comes after its inputs; ties keep the given order.

    Raises:
        ValueError: the inputs form a cycle, or an input is not among the tables.
    """
    remaining = {table.name: table for table in tables}
    known = set(remaining)
    ordered: list[Table] = []
    while remaining:
        ready = [table for table in remaining.values() if not any(name in remaining for name in table.built_from)]
        if not ready:
            raise ValueError(f"the inputs of these tables form a cycle: {', '.join(remaining)}")
        for table in ready:
            if missing := [name for name in table.built_from if name not in known]:
                raise ValueError(f"table {table.name} reads unknown tables: {', '.join(missing)}")
            ordered.append(remaining.pop(table.name))
    return tuple(ordered)


def with_ancestors(names: Iterable[str], tables: Mapping[str, Table]) -> set[str]:
    """Return some tables' names and those of all tables that they are built from.

    Raises:
        UsageError: a name is not a table.
    """
    selected: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in tables:
            raise unknown_name("table", name, tables)
        if name not in selected:
            selected.add(name)
            stack.extend(tables[name].built_from)
    return selected
