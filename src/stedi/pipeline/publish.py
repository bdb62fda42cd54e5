"""Publish a finished run: commit its rule results, then append the run to the run log."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from stedi.catalog import Catalog, Commit, CommitMetadata
from stedi.catalog.run_log import RunRecord, latest_run, next_run_number, write_run
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.model.column_types import ColumnType
from stedi.model.data_files import DataFiles
from stedi.pipeline.checks import RuleResult, recorded_results
from stedi.pipeline.report import RunReport
from stedi.tables.operations.rule_result import TABLE
from stedi.tables.registry import REFRESHED


def publish_run(catalog: Catalog, start_backend: Callable[[], Backend], report: RunReport) -> int | None:
    """Publish a run, unless nothing changed since the last one.

    The entry in the run log is written last. Readers look up the snapshots of the newest entry, so they see the tables
    of one finished run and never a mixture.

    Args:
        catalog: the catalog of the warehouse.
        start_backend: starts the backend, or returns the running one.
        report: the report of the run. If nothing changed, its run ID is set to that of the last run.

    Returns:
        The number of the run, or None if nothing changed.
    """
    last = latest_run(catalog.warehouse)
    snapshots = {table.name: snapshot.id for table in REFRESHED if (snapshot := catalog.snapshot(table.name))}
    published = last.snapshots if last else {}
    if last and not report.failed and snapshots == {name: published.get(name) for name in snapshots}:
        report.run_id = last.run_id
        return None
    number = next_run_number(catalog.warehouse)
    results = [*report.rules, *_results_of_unfinished_runs(catalog, report, published)]
    snapshots[TABLE.name] = _commit_results(
        catalog, start_backend(), report, number, results, last_published=published.get(TABLE.name)
    )
    finished_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return write_run(catalog.warehouse, RunRecord(report.run_id, finished_at, report.settings, snapshots, report.alarms))


def _commit_results(
    catalog: Catalog,
    backend: Backend,
    report: RunReport,
    number: int,
    results: Sequence[RuleResult],
    *,
    last_published: int | None,
) -> int:
    """Append a run's rule results to the table rule_result; returns the new snapshot's ID."""
    current = catalog.snapshot(TABLE.name)
    rows, replaced = len(results) + (current.rows if current else 0), DataFiles()
    backend.materialize_values("new_results", _columns(report, number, results))
    query = "SELECT * FROM new_results"
    if current and current.id != last_published:
        # An unfinished run committed results under this run's number. Replace them.
        replaced = catalog.files(TABLE.name)
        kept = f"SELECT * FROM ({backend.scan(TABLE, replaced)}) AS r WHERE run_number < {number}"
        query += f" UNION ALL {kept}"
        rows = len(results) + count_rows(backend, kept)
    written = backend.write(TABLE, query, catalog.data_folder(TABLE))
    metadata = CommitMetadata(report.run_id, rows, report.run_id)
    return catalog.commit(TABLE, Commit(written, replaced.paths, metadata)).id


def _results_of_unfinished_runs(catalog: Catalog, report: RunReport, published: Mapping[str, int]) -> list[RuleResult]:
    """The rule results of tables that an unfinished run committed and this run did not refresh."""
    results: list[RuleResult] = []
    for table in REFRESHED:
        snapshot = catalog.latest_own_snapshot(table.name)
        is_checked = table.name in report.tables and report.tables[table.name].results
        if snapshot and snapshot.metadata and snapshot.id != published.get(table.name) and not is_checked:
            results += recorded_results(table, snapshot.rows, snapshot.metadata.violations)
    return results


def _columns(
    report: RunReport, number: int, results: Sequence[RuleResult]
) -> Iterator[tuple[str, ColumnType, list[object]]]:
    """Name, type and values of each column of the rule results."""
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
