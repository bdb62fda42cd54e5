"""Remove the raw records of people without consent that are older than `privacy.retention_days`.

The retention marks come first: from then on no run takes such records. Each later step can be repeated, so a killed removal
is completed by the next one. Nothing that it removes is in a table that requires consent, so runs and readers meanwhile are
safe.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from stedi.catalog.run_log import new_run_id
from stedi.compute.counts import count_rows
from stedi.compute.suppressed_rows import release, suppressed_rows
from stedi.config import Settings
from stedi.ingest import retention_marks
from stedi.ingest.applied_erasures import record_marks, require_applied
from stedi.ingest.retention_marks import DEVICE, FOLDER, RetentionMarks, describe_marks, replace_marks
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.maintenance.orphan_files import delete_everything_unreferenced
from stedi.model.progress import Progress, Report
from stedi.model.sql import columns, literal
from stedi.model.table import MILLISECONDS_A_DAY
from stedi.pipeline.refresh import fingerprint, staleness_reason
from stedi.pipeline.report import RunReport
from stedi.pipeline.runner import refresh_derived_tables
from stedi.privacy.erasure.history import TableHistory, find_history, replace_side_files, rewrite
from stedi.privacy.erasure.journal import PlannedFile
from stedi.privacy.erasure.landing import purge_table
from stedi.privacy.erasure.search import People, Search, search, searches
from stedi.privacy.erasure.side_files import rewrite_side_files
from stedi.privacy.lakehouse import Lakehouse, open_lakehouse_for_reading, open_lakehouse_for_writing
from stedi.privacy.landing_files import RewrittenFile
from stedi.privacy.retention.journal import Journal, finish, merge_files, read_journal, write_journal
from stedi.privacy.retention.landing import cut_files, plan_cuts
from stedi.privacy.retention.people import drop, find_people, new_marks
from stedi.privacy.retention.report import Retention
from stedi.storage import Warehouse, open_warehouse
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.reference import device_evidence, device_owner

# Readings of devices go first, and customer records last: they say whose the readings are.
_IN_ORDER = tuple(reversed(FEEDS))
# The tables with raw records.
_RAW = (*(feed.table for feed in FEEDS), quarantine.TABLE)


def plan_retention(settings: Settings, *, now: datetime | None = None, progress: Report = lambda _: None) -> Retention:
    """Return what `enforce_retention` would remove. Changes nothing.

    Args:
        settings: the settings.
        now: the time from which the days count; by default the current time.
        progress: receives the number of finished tables.

    Raises:
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or a file can't be read.
        LandingError: the landing folder or a file in it can't be read.
    """
    cutoff_ms = cutoff(settings, now)
    if cutoff_ms is None:
        return Retention()
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with open_lakehouse_for_reading(settings, warehouse) as lakehouse:
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        suppression = suppression.with_temporary_key()
        found = _find(lakehouse, suppression, cutoff_ms)
        if found.people or found.devices:
            drafts = open_warehouse(str(lakehouse.scratch))
            suppression = replace(suppression, marks=_write_marks(lakehouse, suppression, drafts))
        drop(lakehouse.backend)
        planned, _ = _Work(lakehouse, suppression, found, progress).plan()
        return planned


def enforce_retention(settings: Settings, *, now: datetime | None = None, progress: Report = lambda _: None) -> Retention:
    """Remove old records of people without consent from landing files, landing tables and their history.

    Does nothing without `privacy.retention_days`. A removal that was killed is completed.

    Args:
        settings: the settings.
        now: the time from which the days count; by default the current time.
        progress: receives the number of finished tables.

    Returns:
        What was removed.

    Raises:
        WarehouseBusyError: a run or an erasure works on the warehouse.
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, an erasure is unfinished, or a file can't be read or written.
        LandingError: the landing folder or a file in it can't be read or written.
    """
    cutoff_ms = cutoff(settings, now)
    if cutoff_ms is None:
        return Retention()
    warehouse, folder = open_warehouse(settings.warehouse, settings.database), open_warehouse(settings.privacy_folder)
    with open_lakehouse_for_writing(settings, warehouse) as lakehouse:
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        suppression = suppression.with_key()
        lakehouse.use(suppression)
        _refresh_owners(lakehouse, suppression, progress)
        journal = read_journal(folder)
        found = _find(lakehouse, suppression, cutoff_ms)
        if found.people or found.devices:
            suppression = _add_marks(lakehouse, suppression)
        drop(lakehouse.backend)
        work = _Work(lakehouse, suppression, found, progress)
        planned, files = work.plan()
        if planned.is_empty and journal is None:
            return planned
        record_marks(warehouse, suppression)
        started_ms = journal.started_ms if journal else cutoff_ms + _days_ms(settings)
        files = merge_files(journal.files if journal else (), files)
        write_journal(folder, Journal(started_ms, files))
        done = work.apply(planned, files)
        finish(folder, done, datetime.now(UTC).isoformat(timespec="milliseconds"), done.run_id)
        return done


def cutoff(settings: Settings, now: datetime | None = None) -> int | None:
    """Return the time up to which records are removed (ms since the epoch, UTC); None if they are kept without end."""
    if settings.privacy.retention_days is None:
        return None
    return round((now or datetime.now(UTC)).timestamp() * 1000) - _days_ms(settings)


def _days_ms(settings: Settings) -> int:
    return (settings.privacy.retention_days or 0) * MILLISECONDS_A_DAY


def _refresh_owners(lakehouse: Lakehouse, suppression: SuppressionList, progress: Report) -> None:
    """Refresh the tables if an unfinished run left the owners of devices older than the readings."""
    catalog = lakehouse.catalog
    for table in (device_evidence.TABLE, device_owner.TABLE):
        if staleness_reason(catalog.snapshot(table.name), fingerprint(table, catalog, lakehouse.parameters)):
            report = RunReport(new_run_id(), lakehouse.run.settings, dry_run=False)
            _refresh(lakehouse, suppression, report, progress)
            return


def _refresh(lakehouse: Lakehouse, suppression: SuppressionList, report: RunReport, progress: Report) -> None:
    refresh_derived_tables(lakehouse.catalog, lakehouse.parameters, suppression, lambda: lakehouse.backend, report, progress)


def _find(lakehouse: Lakehouse, suppression: SuppressionList, cutoff_ms: int) -> Retention:
    """Find the people and devices of whom records are removed, and create the relations with them."""
    lakehouse.use(suppression)
    counts = find_people(lakehouse.backend, lakehouse.catalog, cutoff_ms)
    return Retention(lakehouse.settings.privacy.retention_days, cutoff_ms, **asdict(counts))


def _write_marks(lakehouse: Lakehouse, suppression: SuppressionList, storage: Warehouse) -> RetentionMarks:
    """Write Parquet files with all marks: of each person or period of a device the newest one."""
    backend, before, table = lakehouse.backend, suppression.marks, retention_marks.TABLE
    marks = f"SELECT {columns(table)} FROM ({new_marks()}) AS m"
    if before is not None:
        marks += f" UNION ALL {backend.scan(table, before.data_files)}"
    newest = f"SELECT kind, digest, from_ms, max(to_ms) AS to_ms FROM ({marks}) AS m GROUP BY kind, digest, from_ms"
    written = backend.write(table, newest, storage.make_folder(FOLDER))
    described = describe_marks(storage, suppression.key_id, before.number + 1 if before else 1, 0, written)
    rows = backend.scan(table, described.data_files)
    [people] = backend.select(f"SELECT count(DISTINCT digest) AS n FROM ({rows}) AS m WHERE kind <> {literal(DEVICE)}")
    return replace(described, people=people["n"])


def _add_marks(lakehouse: Lakehouse, suppression: SuppressionList) -> SuppressionList:
    with suppression.exclusively() as current:
        marks = _write_marks(lakehouse, current, current.storage)
        replace_marks(marks)
        return replace(current, marks=marks)


class _Work:
    """One removal of the records that the retention marks refuse."""

    def __init__(self, lakehouse: Lakehouse, suppression: SuppressionList, found: Retention, progress: Report) -> None:
        self._lakehouse, self._at_ingest, self._found, self._progress = lakehouse, suppression, found, progress
        self._marks = suppression.of_retention
        lakehouse.use(suppression)

    def plan(self) -> tuple[Retention, tuple[PlannedFile, ...]]:
        """Return what would be removed, and the landing files to rewrite."""
        if self._marks.refuses_nobody:
            return self._found, ()
        planned, rewritten = [], []
        for feed in _IN_ORDER:
            self._progress(Progress(f"reading landing files of {feed.name}"))
            for file, outcome in plan_cuts(self._lakehouse, feed, self._marks):
                planned.append(file)
                rewritten.append((feed.name, outcome))
        self._search()
        history = {found.table.name: found.row_count for found, _ in self._histories() if found.row_count}
        return _with_files(replace(self._found, rows=self._count_rows(), history_rows=history), rewritten), tuple(planned)

    def apply(self, planned: Retention, planned_files: Sequence[PlannedFile]) -> Retention:
        """Carry out a planned removal. Every step may have been done before."""
        lakehouse, run_id = self._lakehouse, new_run_id()
        report = RunReport(run_id, lakehouse.run.settings, dry_run=False)
        rewritten: list[tuple[str, RewrittenFile]] = []
        for feed in _IN_ORDER:
            self._progress(Progress(f"removing records of {feed.name}"))
            files, now = cut_files(lakehouse, feed, self._marks, [file for file in planned_files if file.feed == feed.name])
            rewritten += ((feed.name, file) for file in now)
            purged = purge_table(lakehouse, feed, self._marks, files, run_id, at_ingest=self._at_ingest)
            if purged is not None:
                report.tables[feed.table.name] = purged
        _refresh(lakehouse, self._at_ingest, report, self._progress)
        self._rewrite_history()
        deleted = [delete_everything_unreferenced(lakehouse.catalog, table.name) for table in _RAW]
        lakehouse.catalog.vacuum()
        done = replace(
            planned,
            deleted_files=sum(files.files for files in deleted),
            deleted_bytes=sum(files.bytes for files in deleted),
            run_id=report.run_id,
        )
        return _with_files(done, rewritten)

    def _search(self) -> None:
        """Find the quarantined records in all snapshots."""
        search(self._lakehouse.backend, self._lakehouse.catalog, People(), self._marks)

    def _count_rows(self) -> dict[str, int]:
        """Count the rows to remove in the current snapshots of the landing tables."""
        backend, catalog = self._lakehouse.backend, self._lakehouse.catalog
        rows: dict[str, int] = {}
        for feed in FEEDS:
            scanned = backend.scan(feed.table, catalog.files(feed.table.name))
            try:
                if condition := suppressed_rows(backend, feed, scanned, self._marks):
                    rows[feed.table.name] = count_rows(backend, f"SELECT * FROM ({scanned}) AS r WHERE {condition}")
            finally:
                release(backend, feed)
        return {name: count for name, count in rows.items() if count}

    def _histories(self) -> Iterator[tuple[TableHistory, Search]]:
        """Search all snapshots of the tables with raw records. Derived rows of old runs expire with these."""
        lakehouse = self._lakehouse
        for table, how in searches(lakehouse.backend, lakehouse.catalog, People(), self._marks, {}):
            if table in _RAW:
                self._progress(Progress(f"searching the history of {table.name}"))
                yield find_history(lakehouse.catalog, lakehouse.backend, table, how), how

    def _rewrite_history(self) -> None:
        """Rewrite all snapshots with rows to remove."""
        lakehouse = self._lakehouse
        for feed in FEEDS:
            if replaced := rewrite_side_files(lakehouse, feed.table, {}):
                replace_side_files(lakehouse.catalog, feed.table, replaced)
        for found, how in self._histories():
            if found.files and found.row_count:
                rewrite(lakehouse.catalog, lakehouse.backend, found, how)


def _with_files(retention: Retention, rewritten: list[tuple[str, RewrittenFile]]) -> Retention:
    records: Counter[str] = Counter()
    for feed, file in rewritten:
        records[feed] += file.removed_records
    deleted = sum(file.sha256_after is None for _, file in rewritten)
    return replace(retention, records=dict(records), files_deleted=deleted, files_rewritten=len(rewritten) - deleted)
