"""The newest rule results, read from the table `rule_result`."""

import json

from stedi.config import Settings
from stedi.pipeline.checks import RuleResult
from stedi.query.sandbox import query
from stedi.tables.registry import REFRESHED


def latest_results(settings: Settings) -> list[RuleResult]:
    """Return the rule results of each table's newest check; tables are in run order.

    Raises:
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    newest = query(
        settings,
        "SELECT table_name, rule, level, meaning, checked_rows, broken_rows, examples FROM rule_result "
        "QUALIFY run_number = max(run_number) OVER (PARTITION BY table_name)",
    )
    results = [
        RuleResult(table, rule, level, meaning, checked, failed, tuple(json.loads(examples)) if examples else ())
        for table, rule, level, meaning, checked, failed, examples in newest.rows()
    ]
    order = [table.name for table in REFRESHED]
    return sorted(results, key=lambda result: order.index(result.table))
