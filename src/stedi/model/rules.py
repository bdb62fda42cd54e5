"""Rules: named conditions on a table's rows, and functions that make the common ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stedi.model.sql import quoted

Level = Literal["error", "warn"]


@dataclass(frozen=True)
class Rule:
    """A named condition on the rows of a table.

    Exactly one of `where` and `violations` is given. Violations must be additive over the keys of the table, so that an
    incremental refresh can update their count from the affected keys alone.

    Attributes:
        name: unique within its table.
        level: `error`: a table with a violation is not published. `warn`: violations are counted.
        meaning: what holds if there is no violation, in words.
        where: SQL condition that a violating row meets.
        violations: SQL query over the candidate rows (`{rows}`) and the table's inputs by name. It returns the columns
            in `by`, and `n`, the number of violating rows with these values.
        by: columns that identify a violation.
    """

    name: str
    level: Level
    meaning: str
    where: str | None = None
    violations: str | None = None
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Reject an incomplete rule.

        Raises:
            ValueError: not exactly one of `where` and `violations` is given, or `by` is given without `violations`, or
                `violations` without `by`.
        """
        if (self.where is None) == (self.violations is None):
            raise ValueError(f"rule {self.name}: give either where or violations")
        if (self.violations is None) != (not self.by):
            raise ValueError(f"rule {self.name}: name the columns of violations in `by`")


def unique(name: str, meaning: str, *columns: str) -> Rule:
    """Make the error-level rule that a combination of columns is unique."""
    key = ", ".join(map(quoted, columns))
    query = f"SELECT {key}, count(*) - 1 AS n FROM {{rows}} GROUP BY {key} HAVING count(*) > 1"
    return Rule(name, "error", meaning, violations=query, by=columns)


def not_null(name: str, meaning: str, *columns: str, level: Level = "error") -> Rule:
    """Make the rule that some columns contain no null."""
    return Rule(name, level, meaning, where=" OR ".join(f"{quoted(column)} IS NULL" for column in columns))


def references(name: str, meaning: str, column: str, table: str) -> Rule:
    """Make the error-level rule that a column references the column of the same name of an input, as a foreign key does.

    Values are counted first, so that each distinct value is looked up once.
    """
    key = quoted(column)
    query = f"""
    SELECT {key}, n FROM (SELECT {key}, count(*) AS n FROM {{rows}} GROUP BY {key}) AS counted
    WHERE NOT EXISTS (SELECT 1 FROM {table} AS referenced WHERE referenced.{key} = counted.{key})"""
    return Rule(name, "error", meaning, violations=query, by=(column,))


def required_columns_filled(columns: Sequence[str]) -> tuple[Rule, ...]:
    """Make the rule that a table's required columns contain no null; none without such columns."""
    if not columns:
        return ()
    return (not_null("required_columns_filled", "required columns are not null", *columns),)
