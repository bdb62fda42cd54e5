"""Count rule violations, with pseudonymised examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stedi.model.identity import pseudonym
from stedi.model.rules import Level, Rule
from stedi.model.table import Table

Select = Callable[[str], list[dict[str, Any]]]

_EXAMPLES = 3
# Twelve hexadecimal digits tell a million people apart with a chance of 0.2% that two agree.
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class RuleResult:
    """What checking one rule of one table found.

    `examples` name offenders by the columns that identify them; what identifies a person is
    replaced by the start of their keyed pseudonym (as `customers_curated` has it).
    """

    table: str
    rule: str
    level: Level
    meaning: str
    checked: int
    failed: int
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def passed(self) -> bool:
        return self.failed == 0


def check(table: Table, relation: str, select: Select, rules: Sequence[Rule] | None = None) -> list[RuleResult]:
    """Check rules of a table, by default all, on candidate rows; `select` runs a SQL query.

    What nobody is expected to break is counted in one query: conditions on single rows, and errors.
    """
    rules = table.checks if rules is None else rules
    counts = "".join(f', count(*) FILTER (WHERE {rule.where}) AS "{rule.name}"' for rule in rules if rule.where)
    sums = "".join(
        f', (SELECT coalesce(sum(n), 0)::BIGINT FROM {_offenders(rule, relation)}) AS "{rule.name}"'
        for rule in rules
        if rule.violations and rule.level == "error"
    )
    [found] = select(f'SELECT counted.*{sums} FROM (SELECT count(*) AS "checked rows"{counts} FROM "{relation}") AS counted')
    results = []
    for rule in rules:
        if rule.name in found:
            failed = found[rule.name]
            examples = select(_first(table, rule, _offenders(rule, relation))) if failed else []
        else:
            examples = select(_first(table, rule, _offenders(rule, relation), "(sum(n) OVER ())::BIGINT"))
            failed = examples[0]["broken rows"] if examples else 0
        shown = tuple({name: example[name] for name in rule.by or table.key} for example in examples)
        results.append(RuleResult(table.name, rule.name, rule.level, rule.meaning, found["checked rows"], failed, shown))
    return results


def warnings(table: Table) -> tuple[Rule, ...]:
    """The rules of a table that published rows may break."""
    return tuple(rule for rule in table.checks if rule.level == "warn")


def _offenders(rule: Rule, relation: str) -> str:
    """SQL source of the rows that break a rule, or of who breaks it and how often (`n`)."""
    if rule.violations is None:
        return f'"{relation}" WHERE {rule.where}'
    return f"""({rule.violations.replace("{rows}", f'"{relation}"')}) AS offenders"""


def moved_on(
    table: Table, rows: int, recorded: Mapping[str, int], found: Sequence[RuleResult], gone: Sequence[RuleResult]
) -> list[RuleResult]:
    """Results for a whole table of which only a part was looked at.

    Of error-level rules the part's own results stand: no row that breaks one was ever published.

    Args:
        table: the table.
        rows: how many rows it had before.
        recorded: how many rows broke each rule before.
        found: what the rules find on the part as it is now.
        gone: what the warnings among them find on the part as it was before.
    """
    before = {result.rule: result for result in gone}
    return [
        replace(
            result,
            checked=rows + result.checked - before[result.rule].checked,
            failed=recorded.get(result.rule, 0) + result.failed - before[result.rule].failed,
        )
        if result.level == "warn"
        else result
        for result in found
    ]


def recorded_results(table: Table, rows: int, recorded: Mapping[str, int]) -> list[RuleResult]:
    """Results as a commit recorded them: counts without examples."""
    return [
        RuleResult(table.name, rule.name, rule.level, rule.meaning, rows, recorded[rule.name])
        for rule in table.checks
        if rule.name in recorded
    ]


def _first(table: Table, rule: Rule, source: str, total: str = "NULL") -> str:
    """SQL for the first offenders and a total; who they are is hidden only once they are chosen."""
    names = rule.by or table.key
    personal = {column.name for column in table.columns if column.personal}
    order = ", ".join(f'"{name}"' for name in names)
    shown = ", ".join(f'{_unnamed(name)} AS "{name}"' if name in personal else f'"{name}"' for name in names)
    first = f'SELECT {order}, {total} AS "broken rows" FROM {source} ORDER BY {order} LIMIT {_EXAMPLES}'
    return f'SELECT {shown}, "broken rows" FROM ({first}) AS first_offenders'


def _unnamed(column: str) -> str:
    kind = "device" if column == "serialNumber" else "customer"
    named = f"""'{kind}:' || "{column}\""""
    return f"left({pseudonym(named)}, {_SHOWN_DIGITS})"
