"""Record a finished run: what its rules found, then, in one step, the run itself."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from stedi.catalog import Catalog, Commit
from stedi.catalog.run_log import RunRecord, latest_run, next_number, write_run
from stedi.compute import Engine
from stedi.model.table import ColumnType, DataFiles
from stedi.pipeline.checks import RuleResult, recorded_results
from stedi.pipeline.report import RunReport
from stedi.tables.operations.rule_result import TABLE
from stedi.tables.registry import REFRESHED


def record(catalog: Catalog, start_engine: Callable[[], Engine], report: RunReport) -> int | None:
    """Publish the run, unless nothing changed since the last one; returns its number.

    The run's record is written last, so a reader who goes by it sees the tables of one finished
    run together, never a mixture.
    """
    last = latest_run(catalog.warehouse)
    snapshots = {t.name: snapshot.id for t in REFRESHED if (snapshot := catalog.snapshot(t.name))}
    before = last.snapshots if last else {}
    if last and not report.failed and snapshots == {name: before.get(name) for name in snapshots}:
        report.run_id = last.run_id
        return None
    results = [*report.rules, *_left_by_died_runs(catalog, report, before)]
    number, current, replaced = next_number(catalog.warehouse), catalog.snapshot(TABLE.name), DataFiles()
    rows = len(results) + (current.rows if current else 0)
    engine = start_engine()
    engine.hold("results", _columns(report, number, results))
    wanted = "SELECT * FROM results"
    if current and current.id != before.get(TABLE.name):
        # A run may have died after it committed its results, under the number that is this run's now.
        replaced = catalog.files(TABLE.name)
        kept = f"SELECT * FROM ({engine.rows_of(TABLE, replaced)}) AS r WHERE run_number < {number}"
        wanted += f" UNION ALL {kept}"
        rows = len(results) + engine.select(f"SELECT count(*) AS n FROM ({kept}) AS kept")[0]["n"]
    written = engine.write(TABLE, wanted, catalog.data_folder(TABLE))
    reflects = {"run_id": report.run_id, "rows": rows}
    snapshots[TABLE.name] = catalog.commit(TABLE, Commit(written, replaced.paths, reflects, report.run_id)).id
    finished_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return write_run(catalog.warehouse, RunRecord(report.run_id, finished_at, report.settings, snapshots, report.alarms))


def _left_by_died_runs(catalog: Catalog, report: RunReport, before: Mapping[str, int]) -> list[RuleResult]:
    """What rules found on tables that an unfinished run committed: their commits say."""
    found: list[RuleResult] = []
    for table in REFRESHED:
        mark = catalog.latest_mark(table.name)
        checked_now = table.name in report.tables and report.tables[table.name].results
        if mark and mark.id != before.get(table.name) and not checked_now:
            found += recorded_results(table, mark.rows, mark.reflects["rules"])
    return found


def _columns(
    report: RunReport, number: int, results: Sequence[RuleResult]
) -> Iterator[tuple[str, ColumnType, list[object]]]:
    now = time.time_ns() // 1000
    rows = [
        {
            "run_id": report.run_id,
            "run_number": number,
            "checked_at": now,
            "policy": report.settings.policy,
            "table_name": result.table,
            "rule": result.rule,
            "level": result.level,
            "meaning": result.meaning,
            "checked_rows": result.checked,
            "broken_rows": result.failed,
            "examples": json.dumps(result.examples, default=str) if result.examples else None,
        }
        for result in results
    ]
    return ((column.name, column.type, [row[column.name] for row in rows]) for column in TABLE.columns)
