"""Rules into checks: how many candidate rows break each promise of a table."""

from collections.abc import Callable
from dataclasses import dataclass

from stedi.table import Level, Rule, Table


@dataclass(frozen=True)
class RuleResult:
    """What checking one rule of one table found. Counts only: examples would hold personal data."""

    table: str
    rule: str
    level: Level
    meaning: str
    checked: int
    failed: int

    @property
    def passed(self) -> bool:
        return self.failed == 0


def checks(table: Table) -> tuple[Rule, ...]:
    """The table's rules, and one for the columns that must never be empty."""
    required = [c.name for c in table.columns if c.required]
    if not required:
        return table.rules
    empty = " OR ".join(f'"{name}" IS NULL' for name in required)
    return (
        Rule("required_columns_filled", "error", "columns that must hold a value do", where=empty),
        *table.rules,
    )


def check(table: Table, relation: str, count: Callable[[str], tuple[int, ...]]) -> list[RuleResult]:
    """Check every rule of a table on candidate rows; `count` runs a SQL query for one row of numbers.

    Conditions on single rows are counted together in one pass.
    """
    rules = checks(table)
    counts = "".join(f", count(*) FILTER (WHERE {rule.where})" for rule in rules if rule.where)
    rows, *failed = count(f'SELECT count(*){counts} FROM "{relation}"')
    by_name = dict(zip((rule.name for rule in rules if rule.where), failed, strict=True))
    for rule in rules:
        if rule.violations:
            (by_name[rule.name],) = count(rule.violations.replace("{rows}", f'"{relation}"'))
    return [RuleResult(table.name, r.name, r.level, r.meaning, rows, by_name[r.name]) for r in rules]
