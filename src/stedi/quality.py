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


def check(table: Table, relation: str, rows: int, count: Callable[[str], int]) -> list[RuleResult]:
    """Check every rule of a table on candidate rows; `count` runs a SQL query for one number."""
    results = []
    for rule in checks(table):
        sql = rule.violations or f"SELECT count(*) FROM {{rows}} WHERE {rule.where}"
        failed = count(sql.replace("{rows}", f'"{relation}"'))
        results.append(RuleResult(table.name, rule.name, rule.level, rule.meaning, rows, failed))
    return results
