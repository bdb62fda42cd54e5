"""Ingest new and changed landing files into a landing table: rows, quarantined records and ledger in one commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from stedi.catalog import Commit, CommitMetadata
from stedi.compute import Backend, Ingested
from stedi.compute.counts import count_rows
from stedi.compute.row_split import split_by_source, without_sources
from stedi.compute.suppressed_rows import Screened, release, screen
from stedi.ingest import ledger
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import FilePlan, LedgerEntry, plan_files
from stedi.ingest.suppression import SuppressionList
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.model.table import Table
from stedi.pipeline.checks import any_failure, check, updated_results, violations
from stedi.pipeline.draft import Store
from stedi.pipeline.report import Status, TableReport
from stedi.storage.errors import translate_damage
from stedi.tables.landing import quarantine

# Each run with quarantined records adds a file. If there are more files than this, they are merged into one.
_MAX_REJECT_FILES = 20


def ledger_of(store: Store, table: Table) -> dict[str, LedgerEntry]:
    """The ledger of a landing table: the ingested files by name.

    Raises:
        WarehouseError: the ledger is damaged.
    """
    metadata = store.latest_metadata(table.name)
    if metadata is None or metadata.ledger is None:
        return {}
    with translate_damage(f"ledger of {table.name}"):
        return ledger.decode(store.read_side_file(metadata.ledger))


def reject_files(store: Store, table: Table) -> DataFiles:
    """The Parquet files that contain a feed's quarantined records."""
    return DataFiles(tuple(store.side_path(name) for name in _reject_names(store, table)))


def _reject_names(store: Store, table: Table) -> tuple[str, ...]:
    metadata = store.latest_metadata(table.name)
    return metadata.rejects if metadata else ()


def ingest_feed(
    feed: Feed,
    listed: Sequence[LandingFile],
    store: Store,
    start_backend: Callable[[], Backend],
    run_id: str,
    read_again: Callable[[LedgerEntry], bool],
    suppression: SuppressionList,
) -> tuple[TableReport, FilePlan]:
    """Bring a landing table up to date with its landing files.

    Files that change while they are read are left for the next run. Records of erased people are not stored.

    Args:
        feed: the feed.
        listed: the feed's files in the landing folder.
        store: the store of the landing table.
        start_backend: starts the backend, or returns the running one.
        run_id: the run that the commit belongs to.
        read_again: whether to ingest an unchanged file again, given its ledger entry.
        suppression: the suppression list.

    Returns:
        The report of the landing table, and which files were new or changed.
    """
    table = feed.table
    metadata, current = store.latest_metadata(table.name), store.snapshot(table.name)
    entries = ledger_of(store, table)
    listed = [with_older_time(file, entries) for file in listed]
    plan = plan_files(listed, entries, lambda entry: read_again(entry) or is_let_in(entry, suppression))
    is_foreign = current is not None and not current.is_ours
    if not plan.to_read and metadata is not None and current is not None and not is_foreign:
        return TableReport(Status.UP_TO_DATE, current.rows, snapshot_id=current.id), plan
    backend = start_backend()
    ingested = backend.ingest(feed, plan.to_read)
    try:
        # Files that did not change while they were read.
        stable = [file for file in plan.to_read if file.name in ingested.counts]
        screened = screen(backend, feed, ingested, suppression)
        reason = _reason(plan, len(plan.to_read) - len(stable), is_foreign)
        for file in stable:
            entries[file.name] = _entry(file, ingested, screened, suppression)
        replaced = sorted({file.name for file in plan.changed} & {file.name for file in stable})
        files = store.files(table.name)
        split = split_by_source(backend, table, files, replaced)
        landed_rows = screened.landed
        rows_before, recorded = (metadata.rows, metadata.violations) if metadata else (0, {})
        if is_foreign:
            # A commit of another writer records no violations, and Iceberg's totals do not count its deletes exactly.
            current_rows = backend.scan(table, files)
            rows_before, recorded = count_rows(backend, current_rows), violations(check(backend, table, current_rows, {}))
        landed, removed = check(backend, table, landed_rows, {}), check(backend, table, split.removed, {})
        results = updated_results(rows_before, recorded, landed, removed)
        if any_failure(results):
            return TableReport(Status.FAILED, rows_before, reason=reason, results=results), plan
        added_count, removed_count = count_rows(backend, landed_rows), count_rows(backend, split.removed)
        rows = rows_before + added_count - removed_count
        query = landed_rows + (f" UNION ALL {split.kept}" if split.touched_files else "")
        written = backend.write(table, query, store.data_folder(table))
        recorded_now = CommitMetadata(
            run_id,
            rows,
            run_id,
            violations(results),
            ledger=store.write_side_file(table, "ledger", ".jsonl.zlib", ledger.encode(entries.values())),
            rejects=_write_rejects(table, store, backend, screened.quarantined, replaced),
        )
        snapshot = store.commit(table, Commit(written, split.touched_files, recorded_now))
        report = TableReport(
            Status.REFRESHED, rows, added_count, removed_count, reason=reason, snapshot_id=snapshot.id, results=results
        )
        return report, plan
    finally:
        release(backend, feed)
        backend.release(feed)


def is_let_in(entry: LedgerEntry, suppression: SuppressionList) -> bool:
    """Whether a file has records that were stopped, perhaps those of a person who was let in again since."""
    return entry.suppressed > 0 and entry.generation < suppression.last_lift


def _entry(file: LandingFile, ingested: Ingested, screened: Screened, suppression: SuppressionList) -> LedgerEntry:
    """The ledger entry of an ingested file."""
    (landed, quarantined), stopped = ingested.counts[file.name], screened.suppressed.get(file.name, (0, 0))
    return LedgerEntry(
        file.name,
        file.version,
        landed + quarantined,
        landed - stopped[0],
        quarantined - stopped[1],
        ingested.other_formats.get(file.name),
        sum(stopped),
        suppression.generation if any(stopped) else 0,
        file.modified_ns if file.has_older_time else None,
    )


def with_older_time(file: LandingFile, entries: Mapping[str, LedgerEntry]) -> LandingFile:
    """Give a rewritten file the time of the last write before it was rewritten: the time decides which records are valid."""
    entry = entries.get(file.name)
    if entry is None or entry.modified_ns is None or entry.version != file.version:
        return file
    return replace(file, modified_ns=entry.modified_ns, has_older_time=True)


def _write_rejects(
    table: Table, store: Store, backend: Backend, quarantined: str, replaced: Sequence[str]
) -> tuple[str, ...]:
    """Write quarantined records (a query) to side files of the commit; returns the names of all its quarantine files."""
    before = reject_files(store, table)
    split = split_by_source(backend, quarantine.TABLE, before, replaced)
    touched, kept_rows = split.touched_files, split.kept
    if len(before.paths) > _MAX_REJECT_FILES:
        touched, kept_rows = before.paths, without_sources(backend, quarantine.TABLE, before, replaced)
    query = quarantined + (f" UNION ALL {kept_rows}" if touched else "")
    written = backend.write(quarantine.TABLE, query, store.side_folder(table))
    kept = [name for name in _reject_names(store, table) if store.side_path(name) not in touched]
    return (*kept, *(store.keep_side_file(file.path) for file in written))


def _reason(plan: FilePlan, unstable: int, is_foreign: bool) -> str:
    """Why a landing table was refreshed, with the numbers of files. `unstable` files changed while they were read."""
    parts = [(len(plan.new), "new"), (len(plan.changed), "changed or to be read again"), (unstable, "still being written")]
    reasons = [f"{number} file{'s' * (number != 1)} {text}" for number, text in parts if number]
    return ", ".join([*reasons, *(["another writer changed it"] if is_foreign else [])]) or "first run"
