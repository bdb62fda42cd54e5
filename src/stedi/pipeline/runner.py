"""One run: ingest landing files, refresh every table in order, and publish the result."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.catalog import Catalog
from stedi.catalog.run_log import latest_run, new_run_id
from stedi.compute import Backend
from stedi.compute.start import backend_on_demand
from stedi.config import Settings
from stedi.errors import CommitConflictError, NoWarehouseError, UsageError
from stedi.ingest.applied_erasures import mark_new_warehouse, require_applied
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import LedgerEntry
from stedi.ingest.listing import is_in_s3, list_landing
from stedi.ingest.retention_marks import require_no_unfinished_retention
from stedi.ingest.skipped_files import SkippedFiles
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.maintenance.maintain import run_maintenance
from stedi.model.alarms import Alarm, fall_of_consent
from stedi.model.feed import Feed
from stedi.model.progress import Progress, Report
from stedi.model.table import Table, with_ancestors
from stedi.pipeline.draft import Draft, Store, default_tables
from stedi.pipeline.landing import ingest_feed, ledger_of
from stedi.pipeline.pseudonym_key import pseudonym_key, query_parameters
from stedi.pipeline.publish import publish_run
from stedi.pipeline.refresh import ComputedDelta, fingerprint, refresh, staleness_reason
from stedi.pipeline.report import RunReport, Status, TableReport
from stedi.storage import Warehouse, WarehouseFolder, open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.reference.device_owner import OWNER_IS_CLEAR
from stedi.tables.registry import BY_NAME, REFRESHED
from stedi.tables.trusted import customer

_FEED_OF = {feed.table.name: feed for feed in FEEDS}
# Another writer, such as Athena, commits within seconds. If it wins five times in a row, it never stops writing.
_MAX_ATTEMPTS = 5


def run(
    settings: Settings,
    *,
    select: Sequence[str] = (),
    replay: Sequence[str] = (),
    reingest: bool = False,
    full_refresh: bool = False,
    dry_run: bool = False,
    publish: bool = True,
    on_alarm: Callable[[Alarm], None] = lambda _: None,
    progress: Report = lambda _: None,
) -> RunReport:
    """Bring tables up to date with the landing files.

    Args:
        settings: the settings.
        select: tables to refresh, together with all tables that they are built from. By default all tables, except
            on-demand tables that no run has selected yet.
        replay: feeds whose files with quarantined records are ingested again.
        reingest: ingest all files again.
        full_refresh: compute all derived tables again from the landing tables.
        dry_run: do everything on a temporary draft.
        publish: publish the run. If false, readers see the tables only after a later run that publishes.
        on_alarm: receives each alarm before the run is published. If it raises, the next run raises the alarm again.
        progress: receives the number of finished tables.

    Raises:
        StediError: see `stedi.errors`. Each table then has either its old snapshot or a complete new one.
    """
    started = time.monotonic()
    selected = with_ancestors(select, BY_NAME)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    _check_warehouse_outside_landing(settings.landing, warehouse)
    feeds = [feed for feed in FEEDS if not select or feed.table.name in selected]
    not_taken = SkippedFiles.of(FEEDS, feeds)
    without = warehouse.root if isinstance(warehouse, WarehouseFolder) else None
    listed = list_landing(settings.landing, feeds, not_taken, without=without)
    with _opened(warehouse, dry_run) as (catalog, store, scratch):
        # Under the write lock, so that no erasure changes the list during the run.
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        if is_in_s3(settings.landing):
            require_no_unfinished_retention(suppression.storage)
        if not dry_run:
            mark_new_warehouse(warehouse, suppression)
        names = selected or {table.name for table in default_tables(store)}
        parameters = query_parameters(settings.of_queries, pseudonym_key(settings, create=not dry_run))
        report = RunReport(new_run_id(), settings.of_queries, dry_run, not_taken=not_taken)
        with backend_on_demand(settings, warehouse, scratch, {**parameters, **suppression.parameters}) as start_backend:
            tables = _Tables(
                store,
                names,
                listed,
                parameters,
                suppression,
                start_backend,
                report.run_id,
                frozenset(replay),
                reingest,
                full_refresh,
            )
            tables.refresh_all(report, progress, has_retries=catalog is not None)
            tables.add_counts(report)
            if publish:
                report.left_behind = tables.stale_tables()
                report.alarms = _alarms(settings, catalog, store, dry_run)
            if catalog is not None and publish and not dry_run:
                for alarm in report.alarms:
                    on_alarm(alarm)
                number = publish_run(catalog, start_backend, report)
                if number is not None and settings.maintain_every and number % settings.maintain_every == 0:
                    run_maintenance(catalog, start_backend(), settings.keep_runs, progress)
                    report.is_maintained = True
    report.seconds = round(time.monotonic() - started, 3)
    return report


def refresh_derived_tables(
    catalog: Catalog,
    parameters: Mapping[str, str | bytes],
    suppression: SuppressionList,
    start_backend: Callable[[], Backend],
    report: RunReport,
    progress: Report,
    *,
    publish: bool = True,
) -> None:
    """Refresh the derived tables from the landing tables as they are, and publish the result as a finished run.

    Args:
        catalog: the catalog. The caller holds the write lock.
        parameters: the parameters of all queries.
        suppression: the suppression list.
        start_backend: starts the backend, or returns the running one.
        report: contains the landing tables. The derived tables are added.
        progress: receives the number of finished tables.
        publish: publish the run.
    """
    derived = {table.name for table in default_tables(catalog)} - _FEED_OF.keys()
    tables = _Tables(
        catalog,
        derived,
        listed={},
        parameters=parameters,
        suppression=suppression,
        start_backend=start_backend,
        run_id=report.run_id,
        replay=frozenset(),
        reingest=False,
        full_refresh=False,
    )
    tables.refresh_all(report, progress, has_retries=True)
    if publish:
        publish_run(catalog, start_backend, report)


def _check_warehouse_outside_landing(landing: str, warehouse: Warehouse) -> None:
    """Check that the warehouse is not in a feed's landing folder, where a run would ingest the warehouse's own files.

    Raises:
        UsageError: it is.
    """
    if not isinstance(warehouse, WarehouseFolder):
        return
    root = warehouse.root
    for folder in (folder for feed in FEEDS for folder in feed.folders):
        if (Path(landing) / folder).resolve() in (root, *root.parents):
            raise UsageError(
                f"warehouse {warehouse} is inside the landing folder {folder}; name another folder with --warehouse"
            )


@contextmanager
def _opened(warehouse: Warehouse, dry_run: bool) -> Iterator[tuple[Catalog | None, Store, Path]]:
    """Open the catalog (None for a dry run on a new warehouse), the store of the run's tables, and a scratch folder."""
    if not dry_run:
        with (
            warehouse.write_lock(),
            translate_storage_errors(f"warehouse {warehouse} can't be written"),
            Catalog(warehouse, create=True) as catalog,
            warehouse.scratch() as scratch,
        ):
            yield catalog, catalog, scratch
        return
    with TemporaryDirectory(prefix="stedi-plan-") as folder:
        try:
            catalog = Catalog(warehouse)
        except NoWarehouseError:
            yield None, Draft(None, Path(folder)), Path(folder)
        else:
            with catalog, translate_storage_errors(f"warehouse {warehouse} can't be read"):
                yield catalog, Draft(catalog, Path(folder)), Path(folder)


def _alarms(settings: Settings, catalog: Catalog | None, store: Store, dry_run: bool) -> list[Alarm]:
    """The alarms for all changes since the last finished run, including those of unfinished and unpublished runs.

    Maintenance keeps the snapshots of the last finished run. If another program expired them, there are no alarms.
    """
    name = customer.TABLE.name
    if catalog is None or (last := latest_run(catalog.warehouse)) is None:
        return []
    before = next((snapshot for snapshot in catalog.history(name) if snapshot.id == last.snapshots.get(name)), None)
    now = store.snapshot(name)
    if before is None or now is None:
        return []
    alarm = fall_of_consent(before.rows, now.rows, settings.consent.alarm_drop, dry_run=dry_run)
    return [alarm] if alarm else []


@dataclass(frozen=True)
class _Tables:
    """The tables of one run, and the arguments that every refresh of them needs."""

    store: Store
    names: set[str]
    listed: Mapping[str, Sequence[LandingFile]]
    parameters: Mapping[str, str | bytes]
    suppression: SuppressionList
    start_backend: Callable[[], Backend]
    run_id: str
    replay: frozenset[str]
    reingest: bool
    full_refresh: bool
    deltas: dict[str, ComputedDelta] = field(default_factory=dict)

    @property
    def in_order(self) -> list[Table]:
        """The tables to refresh, each after its inputs."""
        return [table for table in REFRESHED if table.name in self.names]

    def refresh_all(self, report: RunReport, progress: Report, *, has_retries: bool) -> None:
        """Refresh the tables in order. Skip tables with an input that could not be published."""
        for number, table in enumerate(self.in_order):
            progress(Progress(f"refreshing {table.name}", number, len(self.in_order), "tables"))
            started = time.monotonic()
            skip = any(name in report.tables and report.tables[name].is_stale for name in table.built_from)
            outcome = self._skip(table) if skip else self._refresh_with_retries(table, report, has_retries)
            if report.dry_run and outcome.status is Status.REFRESHED:
                outcome = replace(outcome, status=Status.WOULD_REFRESH)
            report.tables[table.name] = replace(outcome, seconds=round(time.monotonic() - started, 3))

    def _skip(self, table: Table) -> TableReport:
        snapshot = self.store.snapshot(table.name)
        return TableReport(Status.SKIPPED, snapshot.rows if snapshot else 0, snapshot_id=snapshot.id if snapshot else None)

    def _refresh_with_retries(self, table: Table, report: RunReport, has_retries: bool) -> TableReport:
        """Refresh a table; start over if another writer committed to it at the same time."""
        for attempt in range(1, _MAX_ATTEMPTS):
            try:
                return self._refresh(table, report)
            except CommitConflictError:
                if not has_retries:
                    raise
                time.sleep(0.1 * 2**attempt)
        return self._refresh(table, report)

    def _refresh(self, table: Table, report: RunReport) -> TableReport:
        feed = _FEED_OF.get(table.name)
        if feed is None:
            return refresh(
                table,
                self.store,
                self.start_backend,
                self.run_id,
                self.parameters,
                deltas=self.deltas,
                full_refresh=self.full_refresh,
            )
        outcome, plan = ingest_feed(
            feed,
            self.listed[feed.name],
            self.store,
            self.start_backend,
            self.run_id,
            self._read_again(feed),
            self.suppression,
        )
        report.files[feed.name] = {"new": len(plan.new), "changed": len(plan.changed)}
        return outcome

    def _read_again(self, feed: Feed) -> Callable[[LedgerEntry], bool]:
        return lambda entry: self.reingest or (feed.name in self.replay and entry.quarantined > 0)

    def add_counts(self, report: RunReport) -> None:
        """Add the counts from ledgers and commit metadata to the report.

        Reads the selected tables only: a job on AWS has no access to the others.
        """
        for feed in (feed for feed in FEEDS if feed.table.name in self.names):
            entries = ledger_of(self.store, feed.table)
            report.quarantined[feed.name] = sum(entry.quarantined for entry in entries.values())
            for file in self.listed.get(feed.name, ()):
                entry = entries.get(file.name)
                if entry is None or entry.version != file.version:
                    continue
                if entry.other_format:
                    report.not_taken.add(file.name, f"content is {entry.other_format}")
                if entry.suppressed:
                    report.suppressed[feed.name] = report.suppressed.get(feed.name, 0) + entry.suppressed
        for table in self.in_order:
            metadata = self.store.latest_metadata(table.name)
            violations = metadata.violations if metadata else {}
            if "taken_after_consent" in violations:
                report.outside_consent[table.name] = violations["taken_after_consent"]
            if OWNER_IS_CLEAR.name in violations:
                report.unresolved_readings = violations[OWNER_IS_CLEAR.name]

    def stale_tables(self) -> list[str]:
        """The tables that exist, were not selected, and are older than their inputs."""
        stale: list[str] = []
        for table in default_tables(self.store):
            snapshot = self.store.snapshot(table.name)
            if table.name in self.names or not table.built_from or snapshot is None:
                continue
            now = fingerprint(table, self.store, self.parameters)
            if set(table.built_from) & set(stale) or staleness_reason(snapshot, now):
                stale.append(table.name)
        return stale
