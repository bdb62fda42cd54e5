"""Count rule violations, with pseudonymised examples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stedi.compute import Backend
from stedi.compute.sql import with_relations
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, pseudonym
from stedi.model.rules import Level, Rule
from stedi.model.table import Table

_EXAMPLES = 3
# The relation of the rows to check, in the queries of this module.
_ROWS = "checked_rows"


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule of one table.

    Attributes:
        table: name of the table.
        rule: name of the rule.
        level: `error` or `warn`.
        meaning: the condition, as text for people.
        checked: number of rows checked.
        failed: number of violations.
        examples: the first violations, by the columns that identify them. Columns that identify a person contain the
            first digits of a keyed pseudonym.
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
        """Whether there is no violation."""
        return self.failed == 0

    @property
    def is_failure(self) -> bool:
        """Whether the violations keep the table from being published."""
        return self.level == "error" and not self.passed


def any_failure(results: Iterable[RuleResult]) -> bool:
    """Whether an error-level rule has violations."""
    return any(result.is_failure for result in results)


def violations(results: Iterable[RuleResult]) -> dict[str, int]:
    """Number of violations by rule, as commit metadata records them."""
    return {result.rule: result.failed for result in results}


def warnings(table: Table) -> tuple[Rule, ...]:
    """The warn-level rules of a table. Published rows may violate them."""
    return tuple(rule for rule in table.checks if rule.level == "warn")


def check(
    backend: Backend, table: Table, rows: str, inputs: Mapping[str, str], rules: Sequence[Rule] | None = None
) -> tuple[RuleResult, ...]:
    """Count the violations of a table's rules.

    Conditions on single rows and error-level rules, which rarely have violations, are counted in one query.

    Args:
        backend: runs the queries.
        table: the table.
        rows: SQL query for the rows to check.
        inputs: SQL query for the rows of each input, by name. Rules may read the table's inputs.
        rules: the rules to check, by default all rules of the table.
    """

    def select(query: str) -> list[dict[str, Any]]:
        return backend.select(with_relations(query, {**inputs, _ROWS: rows}))

    rules = table.checks if rules is None else rules
    conditions = "".join(f', count(*) FILTER (WHERE {rule.where}) AS "{rule.name}"' for rule in rules if rule.where)
    sums = "".join(
        f', (SELECT coalesce(sum(n), 0)::BIGINT FROM {_violations(rule)}) AS "{rule.name}"'
        for rule in rules
        if rule.violations and rule.level == "error"
    )
    [counts] = select(f'SELECT counted.*{sums} FROM (SELECT count(*) AS "checked rows"{conditions} FROM {_ROWS}) AS counted')
    results = []
    for rule in rules:
        source = _violations(rule)
        if rule.name in counts:
            failed = counts[rule.name]
            examples = select(_first(table, rule, source)) if failed else []
        else:
            examples = select(_first(table, rule, source, "(sum(n) OVER ())::BIGINT"))
            failed = examples[0]["all violations"] if examples else 0
        identified = tuple({name: example[name] for name in rule.by or table.key} for example in examples)
        results.append(
            RuleResult(table.name, rule.name, rule.level, rule.meaning, counts["checked rows"], failed, identified)
        )
    return tuple(results)


def updated_results(
    rows: int,
    recorded: Mapping[str, int],
    now: Sequence[RuleResult],
    before: Sequence[RuleResult],
) -> tuple[RuleResult, ...]:
    """Results for a whole table of which only the affected rows were checked.

    Counts of warn-level rules are updated by the difference; violation counts are additive across keys. Error-level
    results of the affected rows hold for the whole table, because no row that violates such a rule was published.

    Args:
        rows: number of rows of the whole table before.
        recorded: violations by rule of the whole table before.
        now: results for the affected rows as they are now.
        before: results of the warn-level rules for the affected rows as they were before.
    """
    earlier = {result.rule: result for result in before}
    return tuple(
        replace(
            result,
            checked=rows + result.checked - earlier[result.rule].checked,
            failed=recorded.get(result.rule, 0) + result.failed - earlier[result.rule].failed,
        )
        if result.level == "warn"
        else result
        for result in now
    )


def recorded_results(table: Table, rows: int, recorded: Mapping[str, int]) -> list[RuleResult]:
    """The results that a commit recorded: counts without examples."""
    return [
        RuleResult(table.name, rule.name, rule.level, rule.meaning, rows, recorded[rule.name])
        for rule in table.checks
        if rule.name in recorded
    ]


def _violations(rule: Rule) -> str:
    """SQL for the FROM clause: the rows that violate a rule, or the values of its `by` columns with their row count `n`."""
    if rule.violations is None:
        return f"{_ROWS} WHERE {rule.where}"
    return f"({rule.violations.replace('{rows}', _ROWS)}) AS violations"


def _first(table: Table, rule: Rule, source: str, total: str = "NULL") -> str:
    """SQL for the first violations and their total number. Computes pseudonyms for these few rows only."""
    names = rule.by or table.key
    personal = {column.name for column in table.columns if column.personal}
    order = ", ".join(f'"{name}"' for name in names)
    columns = ", ".join(f'{_short_pseudonym(name)} AS "{name}"' if name in personal else f'"{name}"' for name in names)
    first = f'SELECT {order}, {total} AS "all violations" FROM {source} ORDER BY {order} LIMIT {_EXAMPLES}'
    return f'SELECT {columns}, "all violations" FROM ({first}) AS first_violations'


def _short_pseudonym(column: str) -> str:
    subject = "device" if column == "serialNumber" else "customer"
    value = f"""'{subject}:' || "{column}\""""
    return f"left({pseudonym(value)}, {SHORT_PSEUDONYM_DIGITS})"
