"""Take new and changed landing files into a landing table: rows, rejects and their record in one commit."""

from collections.abc import Callable, Sequence

from stedi.catalog import Commit
from stedi.compute import Engine
from stedi.ingest import ledger
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import FilePlan, LedgerEntry, plan_files
from stedi.model.feed import Feed
from stedi.model.table import DataFiles, Table
from stedi.pipeline.checks import check, moved_on
from stedi.pipeline.draft import Store
from stedi.pipeline.report import TableReport
from stedi.storage.errors import translate_damage
from stedi.tables.landing import quarantine

# Each run with rejects adds a file; together they are small.
_MANY_REJECT_FILES = 20


def ledger_of(store: Store, table: Table) -> dict[str, LedgerEntry]:
    """Which landing files a landing table holds."""
    mark = store.latest_mark(table.name)
    if mark is None:
        return {}
    with translate_damage(f"record of the files in {table.name}"):
        return ledger.decode(store.read_side_file(mark.reflects["ledger"]))


def reject_files(store: Store, table: Table) -> DataFiles:
    """The Parquet files that hold a feed's quarantined records."""
    return DataFiles(tuple(store.side_path(name) for name in _rejects_named(store, table)))


def _rejects_named(store: Store, table: Table) -> list[str]:
    mark = store.latest_mark(table.name)
    return list(mark.reflects["rejects"]) if mark else []


def ingest(
    feed: Feed,
    listed: Sequence[LandingFile],
    store: Store,
    start_engine: Callable[[], Engine],
    run_id: str,
    again: Callable[[LedgerEntry], bool],
) -> tuple[TableReport, FilePlan]:
    """Bring a landing table up to date with its files, as far as these are complete."""
    table = feed.table
    mark = store.latest_mark(table.name)
    entries = ledger_of(store, table)
    plan = plan_files(listed, entries, again)
    current = store.snapshot(table.name)
    is_foreign = current is not None and not current.is_ours
    if not plan.to_read and mark is not None and current is not None and not is_foreign:
        return TableReport("up to date", current.rows, snapshot_id=current.id), plan
    engine = start_engine()
    taken = engine.ingest(feed, plan.to_read)
    try:
        # Somebody is still writing the others: those are left for the next run.
        steady = [file for file in plan.to_read if file.name in taken.counts]
        for file in steady:
            landed, quarantined = taken.counts[file.name]
            other_format = taken.other_formats.get(file.name)
            entries[file.name] = LedgerEntry(
                file.name, file.version, landed + quarantined, landed, quarantined, other_format
            )
        replaced = sorted({file.name for file in plan.changed} & {file.name for file in steady})
        files = store.files(table.name)
        touched, gone, kept = engine.split_by_source(table, files, replaced)
        before, recorded = (mark.rows, mark.reflects["rules"]) if mark else (0, {})
        if is_foreign:
            # Another writer's commit says nothing of rules, and little of rows.
            stands = check(table, engine.register_files(table, files), engine.select)
            before, recorded = engine.count(table, files), {result.rule: result.failed for result in stands}
        found = check(table, taken.landed, engine.select)
        report = TableReport("refreshed", before, reason=_reason(plan, len(plan.to_read) - len(steady), is_foreign))
        with engine.view("gone", gone):
            removed = engine.rows("gone")
            report.results = moved_on(table, before, recorded, found, check(table, "gone", engine.select))
        if report.breaks_a_rule:
            report.status = "failed"
            return report, plan
        report.added, report.removed = engine.rows(taken.landed), removed
        report.rows = before + report.added - removed
        query = f'SELECT * FROM "{taken.landed}"' + (f" UNION ALL {kept}" if touched else "")
        written = engine.write(table, query, store.data_folder(table))
        reflects = {
            "run_id": run_id,
            "rows": report.rows,
            "rules": {result.rule: result.failed for result in report.results},
            "ledger": store.write_side_file(table, "ledger", ".jsonl.zlib", ledger.encode(entries.values())),
            "rejects": _rejects(table, store, engine, taken.quarantined, replaced),
        }
        report.snapshot_id = store.commit(table, Commit(written, touched, reflects, run_id)).id
        return report, plan
    finally:
        engine.release(feed)


def _rejects(table: Table, store: Store, engine: Engine, quarantined: str, replaced: Sequence[str]) -> list[str]:
    """The feed's quarantined rows as files that the landing commit names, so that both move together."""
    before = reject_files(store, table)
    touched, _, kept = engine.split_by_source(quarantine.TABLE, before, replaced)
    if len(before.paths) > _MANY_REJECT_FILES:
        touched, kept = list(before.paths), engine.without_sources(quarantine.TABLE, before, replaced)
    query = f'SELECT * FROM "{quarantined}"' + (f" UNION ALL {kept}" if touched else "")
    written = engine.write(quarantine.TABLE, query, store.side_folder(table))
    stay = [name for name in _rejects_named(store, table) if store.side_path(name) not in touched]
    return [*stay, *(store.keep_side_file(file.path) for file in written)]


def _reason(plan: FilePlan, unsteady: int, is_foreign: bool) -> str:
    parts = [(len(plan.new), "new"), (len(plan.changed), "changed or to be read again"), (unsteady, "still being written")]
    reasons = [f"{number} file{'s' * (number != 1)} {what}" for number, what in parts if number]
    return ", ".join([*reasons, *(["another writer changed it"] if is_foreign else [])]) or "first run"
