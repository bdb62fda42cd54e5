"""Remove records from a landing table: rows, quarantined records and ledger in one commit."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from stedi.catalog import Commit, CommitMetadata
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.compute.row_split import Removal, split_rows
from stedi.ingest import ledger
from stedi.ingest.ledger import LedgerEntry
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.pipeline.checks import check, updated_results, violations
from stedi.pipeline.draft import Store
from stedi.pipeline.landing import ledger_of, reject_files
from stedi.pipeline.report import Status, TableReport
from stedi.tables.landing import quarantine


@dataclass(frozen=True)
class RemovedRecords:
    """Which records of a feed to remove.

    Attributes:
        landed: which rows of the landing table.
        quarantined: which of its quarantined records.
        gone: names of landing files that no longer exist. Their ledger entries are removed.
    """

    landed: Removal
    quarantined: Removal
    gone: Collection[str] = ()


def remove_records(feed: Feed, records: RemovedRecords, store: Store, backend: Backend, run_id: str) -> TableReport | None:
    """Remove records from a landing table, its quarantine and its ledger, in one commit.

    Args:
        feed: the feed.
        records: the records.
        store: the store of the landing table.
        backend: runs the queries.
        run_id: the run that the commit belongs to.

    Returns:
        The report of the landing table; None if no run has created it.
    """
    table = feed.table
    metadata, current = store.latest_metadata(table.name), store.snapshot(table.name)
    if metadata is None or current is None:
        return None
    landed = split_rows(backend, table, store.files(table.name), records.landed)
    quarantined = split_rows(backend, quarantine.TABLE, reject_files(store, table), records.quarantined)
    entries = ledger_of(store, table)
    gone = entries.keys() & set(records.gone)
    if not (landed.touched_files or quarantined.touched_files or gone):
        return TableReport(Status.UP_TO_DATE, current.rows, snapshot_id=current.id)
    rows_before, recorded = metadata.rows, metadata.violations
    if not current.is_ours:
        # A commit of another writer records no violations, and Iceberg's totals do not count its deletes exactly.
        rows = backend.scan(table, store.files(table.name))
        rows_before, recorded = count_rows(backend, rows), violations(check(backend, table, rows, {}))
    nothing = backend.scan(table, DataFiles())
    results = updated_results(
        rows_before, recorded, check(backend, table, nothing, {}), check(backend, table, landed.removed, {})
    )
    removed_count = count_rows(backend, landed.removed)
    written = backend.write(table, landed.kept, store.data_folder(table)) if landed.touched_files else []
    kept_rejects = [name for name in metadata.rejects if store.side_path(name) not in quarantined.touched_files]
    written_rejects = (
        backend.write(quarantine.TABLE, quarantined.kept, store.side_folder(table)) if quarantined.touched_files else []
    )
    rows_by_file = _count_by_file(backend, landed.removed)
    records_by_file = _count_by_file(backend, quarantined.removed)
    if records.quarantined.redacted is not None:
        records_by_file -= _count_by_file(backend, records.quarantined.redacted(quarantined.removed))
    for name in entries.keys() & (rows_by_file.keys() | records_by_file.keys()):
        entries[name] = _without(entries[name], rows_by_file[name], records_by_file[name])
    for name in gone:
        del entries[name]
    rows_after = rows_before - removed_count
    recorded_now = CommitMetadata(
        run_id,
        rows_after,
        run_id,
        violations(results),
        ledger=store.write_side_file(table, "ledger", ".jsonl.zlib", ledger.encode(entries.values())),
        rejects=(*kept_rejects, *(store.keep_side_file(file.path) for file in written_rejects)),
    )
    snapshot = store.commit(table, Commit(written, landed.touched_files, recorded_now))
    return TableReport(
        Status.REFRESHED,
        rows_after,
        removed=removed_count,
        reason="records were removed",
        snapshot_id=snapshot.id,
        results=results,
    )


def _count_by_file(backend: Backend, rows: str) -> Counter[str]:
    query = f"SELECT source_file, count(*) AS n FROM ({rows}) AS r GROUP BY source_file"
    return Counter({row["source_file"]: row["n"] for row in backend.select(query)})


def _without(entry: LedgerEntry, landed: int, quarantined: int) -> LedgerEntry:
    return replace(
        entry,
        records=entry.records - landed - quarantined,
        landed=entry.landed - landed,
        quarantined=entry.quarantined - quarantined,
    )
