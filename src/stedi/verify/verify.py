"""Verify tables: they equal a full rebuild, and no invariant is violated.

Derived tables are rebuilt from the landing tables in a temporary folder. Landing tables are compared with the landing
files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord, latest_run
from stedi.compute import Backend
from stedi.compute.counts import count_differences, count_rows
from stedi.compute.sql import with_relations
from stedi.compute.start import start_duckdb
from stedi.compute.suppressed_rows import release, screen
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.ingest.applied_erasures import require_applied
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import plan_files
from stedi.ingest.listing import list_files
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.model.feed import Feed
from stedi.model.progress import Progress, Report
from stedi.model.sql import literal
from stedi.pipeline.draft import Draft, default_tables
from stedi.pipeline.landing import is_let_in, ledger_of, with_older_time
from stedi.pipeline.pseudonym_key import pseudonym_key, query_parameters
from stedi.pipeline.refresh import refresh
from stedi.storage import open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import REFRESHED
from stedi.verify.invariants import INVARIANTS

_LANDING_TABLES = frozenset(feed.table.name for feed in FEEDS)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        table: name of the table.
        question: what a difference is, as text for people.
        rows: number of rows checked.
        wrong: number of differences.
    """

    table: str
    question: str
    rows: int
    wrong: int

    @property
    def holds(self) -> bool:
        """Whether there is no difference."""
        return self.wrong == 0


def verify(settings: Settings, *, progress: Report = lambda _: None) -> list[Finding]:
    """Verify all tables of the newest finished run.

    The rebuild uses the settings of that run.

    Args:
        settings: where the landing files and the warehouse are.
        progress: receives the current step and the number of finished tables.

    Returns:
        One finding for each check, whether or not it holds.

    Raises:
        WarehouseError: there is no warehouse, no run has finished in it, or a run did not finish.
        WarehouseBusyError: a run is in progress.
        LandingError: the landing files can't be listed.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with (
        Catalog(warehouse) as catalog,
        warehouse.read_lock(),
        translate_storage_errors(f"warehouse {warehouse} can't be verified"),
        warehouse.reader_scratch() as folder,
        start_duckdb(settings, warehouse, folder) as backend,
    ):
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        run = _finished_run(catalog)
        parameters = query_parameters(run.settings, pseudonym_key(settings, create=False))
        backend.set_parameters({**parameters, **suppression.parameters})
        findings: list[Finding] = []
        for feed in FEEDS:
            progress(Progress(f"reading the landing files of {feed.name}"))
            findings += _check_landing_table(catalog, backend, feed, list_files(settings.landing, feed), suppression)
        tables = []
        for table in default_tables(catalog):
            # A table of the run that is missing now counts as empty, so its check fails.
            if table.name in run.snapshots or catalog.snapshot(table.name):
                tables.append(table)
            else:
                findings.append(Finding(table.name, "not created yet: no run has selected it", 0, 0))
        draft = Draft(catalog, folder, rebuild=[t.name for t in REFRESHED if t.name not in _LANDING_TABLES])
        for number, table in enumerate(tables):
            progress(Progress(f"rebuilding {table.name}", number, len(tables), "tables"))
            if table.name not in _LANDING_TABLES:
                refresh(table, draft, lambda: backend, "verify", parameters, deltas={})
        actual = {table.name: backend.scan(table, catalog.files(table.name)) for table in tables}
        for table in (t for t in tables if t.name not in _LANDING_TABLES):
            progress(Progress(f"comparing {table.name}"))
            rebuilt = backend.scan(table, draft.files(table.name))
            differences = count_differences(backend, table, actual[table.name], rebuilt)
            question = "rows that only the table or only a full rebuild has"
            findings.append(Finding(table.name, question, count_rows(backend, actual[table.name]), differences))
        return findings + list(_check_invariants(backend, actual, progress))


def _finished_run(catalog: Catalog) -> RunRecord:
    """The newest finished run. Raises WarehouseError if a later, unfinished run has committed to a table."""
    run = latest_run(catalog.warehouse)
    if run is None:
        raise WarehouseError(f"no run has finished in {catalog.warehouse}; start one with `stedi run`")
    for table in REFRESHED:
        snapshot = catalog.snapshot(table.name)
        if snapshot is not None and snapshot.is_ours and snapshot.id != run.snapshots.get(table.name):
            raise WarehouseError(f"a run did not finish ({table.name} is newer); start `stedi run` again, then verify")
    return run


def _check_invariants(backend: Backend, tables: Mapping[str, str], progress: Report) -> Iterator[Finding]:
    """Count the violations of the invariants; `tables` has a query for the rows of each table, by name."""
    for invariant in INVARIANTS:
        if invariant.table in tables:
            progress(Progress(f"checking {invariant.table}: {invariant.violation}"))
            violations = count_rows(backend, with_relations(invariant.query, tables))
            yield Finding(invariant.table, invariant.violation, count_rows(backend, tables[invariant.table]), violations)


def _check_landing_table(
    catalog: Catalog, backend: Backend, feed: Feed, listed: Sequence[LandingFile], suppression: SuppressionList
) -> Iterator[Finding]:
    """Compare a landing table and the feed's quarantine with the ledger, and with the landing files that still exist."""
    table, entries = feed.table, ledger_of(catalog, feed.table)
    tables = {stored.name: backend.scan(stored, catalog.files(stored.name)) for stored in (table, quarantine.TABLE)}
    backend.materialize_values(
        "ledger",
        [
            ("source_file", "string", list(entries)),
            ("landed", "long", [entry.landed for entry in entries.values()]),
            ("quarantined", "long", [entry.quarantined for entry in entries.values()]),
        ],
    )
    mismatches = f"""
        SELECT 1 FROM ledger AS t
        FULL JOIN (SELECT source_file, count(*) AS n FROM {table.name} GROUP BY source_file) AS l USING (source_file)
        FULL JOIN (
            SELECT source_file, count(*) AS n FROM quarantine WHERE feed = {literal(feed.name)} GROUP BY source_file
        ) AS q USING (source_file)
        WHERE t.landed IS DISTINCT FROM coalesce(l.n, 0) OR t.quarantined IS DISTINCT FROM coalesce(q.n, 0)"""
    question = "files whose row counts differ from the ledger"
    yield Finding(table.name, question, len(entries), count_rows(backend, with_relations(mismatches, tables)))
    to_read = plan_files(listed, entries, lambda entry: is_let_in(entry, suppression)).to_read
    unchanged = [with_older_time(file, entries) for file in sorted(set(listed) - set(to_read), key=lambda file: file.name)]
    ingested = backend.ingest(feed, unchanged)
    # Files that did not change while they were read.
    stable = list(ingested.counts)
    try:
        screened = screen(backend, feed, ingested, suppression)
        backend.materialize_values("stable_files", [("source_file", "string", stable)])
        rows = differences = 0
        quarantined = f"SELECT * FROM quarantine WHERE feed = {literal(feed.name)}"
        for compared, actual, expected in (
            (table, f"SELECT * FROM {table.name}", screened.landed),
            (quarantine.TABLE, quarantined, screened.quarantined),
        ):
            only_stable = "SEMI JOIN stable_files USING (source_file)"
            stored = with_relations(f"SELECT * FROM ({actual}) AS r {only_stable}", tables)
            read = f"SELECT * FROM ({expected}) AS r {only_stable}"
            rows += count_rows(backend, read)
            differences += count_differences(backend, compared, stored, read)
    finally:
        release(backend, feed)
        backend.release(feed)
    question = f"records that differ between the tables and the {len(stable):,} landing files that still exist"
    yield Finding(table.name, question, rows, differences)
