"""Move data along the line: ingest what is new, refresh each table, check, commit, report."""

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stedi.catalog import Catalog, Snapshot, warehouse_errors
from stedi.config import Settings
from stedi.curated.pseudonym import padded_keys
from stedi.engines.embedded import Change, EmbeddedEngine
from stedi.history import RunRecord, new_run_id, read_runs, write_run
from stedi.landing import FEEDS, ledger, quarantine
from stedi.landing.feed import Feed
from stedi.landing.files import FilePlan, LandingFile, LedgerEntry, list_files, look, plan_files
from stedi.lock import sole_writer
from stedi.quality import RuleResult, check
from stedi.table import Table, with_ancestors
from stedi.tables import ALL, BY_NAME

Progress = Callable[[str], None]


@dataclass
class TableReport:
    """What a run did to one table."""

    status: str
    rows: int
    added: int = 0
    removed: int = 0
    snapshot_id: int | None = None
    seconds: float = 0.0


@dataclass
class RunReport:
    """What a run did."""

    run_id: str
    policy: str
    dry_run: bool
    tables: dict[str, TableReport] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    rules: list[RuleResult] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[RuleResult]:
        return [r for r in self.rules if r.level == "error" and not r.passed]


def run(
    settings: Settings,
    *,
    select: Sequence[str] = (),
    replay: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> RunReport:
    """Bring every table (or the selected ones and their inputs) up to date with the landing files.

    Files of the feeds in `replay` that have quarantined records are read again, changed or not.

    Raises:
        StediError: see `stedi.errors`; the tables are then as they were, or whole.
    """
    started = time.monotonic()
    wanted = with_ancestors(select or BY_NAME, BY_NAME)
    listed = {feed.name: list_files(settings.landing, feed) for feed in FEEDS}
    if dry_run:
        with _existing(settings.warehouse) as catalog:
            report = _plan(catalog, settings.consent.policy, wanted, listed)
    else:
        with (
            sole_writer(settings.warehouse),
            warehouse_errors(f"warehouse {settings.warehouse} can't be written"),
            Catalog(settings.warehouse, create=True) as catalog,
        ):
            report = _Run(settings, catalog, wanted, listed, replay, progress).work()
    report.seconds = round(time.monotonic() - started, 3)
    return report


@contextmanager
def _existing(warehouse: Path) -> Iterator[Catalog | None]:
    """The catalog of a warehouse, or None where there is none yet."""
    if not (warehouse / "catalog.db").exists():
        yield None
        return
    with Catalog(warehouse) as catalog:
        yield catalog


def _plan(catalog: Catalog | None, policy: str, wanted: set[str], listed: dict[str, list[LandingFile]]) -> RunReport:
    """What a run would read and refresh; writes nothing, not even a new warehouse."""
    report = RunReport(new_run_id(), policy, dry_run=True)
    stale: set[str] = set()
    for table in (t for t in ALL if t.name in wanted):
        feed = next((f for f in FEEDS if f.table.name == table.name), None)
        snapshot = catalog.snapshot(table.name) if catalog else None
        if feed is not None:
            plan = plan_files(listed[feed.name], _ledger(catalog, snapshot) if catalog else {})
            report.files[feed.name] = _file_counts(plan)
            is_stale = bool(plan.to_read) or snapshot is None
        else:
            marks = _reflects(catalog, table, policy) if catalog else None
            is_stale = snapshot is None or snapshot.reflects.get("inputs") != marks or bool(stale & set(table.inputs))
        if is_stale:
            stale.add(table.name)
        status = "would refresh" if is_stale else "up to date"
        report.tables[table.name] = TableReport(status, _rows(snapshot))
    return report


class _Run:
    """One run: holds what its steps share."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        wanted: set[str],
        listed: dict[str, list[LandingFile]],
        replay: Sequence[str],
        progress: Progress,
    ) -> None:
        self.settings, self.wanted, self.listed, self.progress = settings, wanted, listed, progress
        self.replay = set(replay)
        self.catalog = catalog
        self.report = RunReport(new_run_id(), settings.consent.policy, dry_run=False)
        self.blocked: set[str] = set()

    def work(self) -> RunReport:
        with EmbeddedEngine(
            scratch=self.settings.warehouse,
            memory_limit=self.settings.memory_limit,
            threads=self.settings.threads,
        ) as engine:
            self.engine = engine
            engine.set_parameters(
                {"consent_policy": self.settings.consent.policy, **padded_keys(pseudonym_key(self.settings))}
            )
            for table in (t for t in ALL if t.name in self.wanted):
                self.progress(f"{table.name} …")
                started = time.monotonic()
                feed = next((f for f in FEEDS if f.table.name == table.name), None)
                if feed is not None:
                    done = self._ingest(feed, table)
                elif self.blocked & set(table.inputs):
                    done = self._skip(table, "skipped")
                else:
                    done = self._refresh(table)
                done.seconds = round(time.monotonic() - started, 3)
                self.report.tables[table.name] = done
                engine.show_files(table, self.catalog.files(table.name))
        self._count_quarantined()
        self._record()
        return self.report

    def _skip(self, table: Table, status: str) -> TableReport:
        """Leave a table's last good snapshot in place, and hold back what depends on it."""
        self.blocked.add(table.name)
        snapshot = self.catalog.snapshot(table.name)
        return _unchanged(snapshot, status)

    def _commit(self, table: Table, added: Sequence[str], removed: Sequence[str], reflects: dict[str, Any]) -> TableReport:
        snapshot_id = self.catalog.commit(table, added, removed, {"run_id": self.report.run_id, **reflects})
        snapshot = self.catalog.snapshot(table.name)
        return TableReport("refreshed", _rows(snapshot), snapshot_id=snapshot_id)

    def _ingest(self, feed: Feed, table: Table) -> TableReport:
        """Take new and changed files into a landing table, their rows and their record in one commit."""
        snapshot = self.catalog.snapshot(table.name)
        entries = _ledger(self.catalog, snapshot)
        plan = plan_files(self.listed[feed.name], entries, again=feed.name in self.replay)
        self.report.files[feed.name] = _file_counts(plan)
        if not plan.to_read and snapshot is not None:
            return _unchanged(snapshot, "up to date")
        taken = self.engine.ingest(feed, plan.to_read)
        steady = [file for file in plan.to_read if _is_unchanged(file)]
        if len(steady) < len(plan.to_read):
            # Somebody is still writing: leave those files for the next run.
            self.engine.leave_out(feed, [file.name for file in plan.to_read if file not in steady])
        found = check(table, taken.landed, self.engine.count)
        self.report.rules.extend(found)
        if _breaks(found):
            self.engine.forget(feed, taken)
            return self._skip(table, "failed")
        names = {file.name for file in steady}
        replaced = [file.name for file in plan.changed if file.name in names]
        for file in steady:
            landed, quarantined = taken.counts.get(file.name, (0, 0))
            entries[file.name] = LedgerEntry(file.name, file.version, landed + quarantined, landed, quarantined)
        files = self.catalog.files(table.name)
        touched, kept = self.engine.without_sources(table, files, replaced)
        query = f'SELECT * FROM "{taken.landed}"' + (f" UNION ALL {kept}" if kept else "")
        written = self.engine.write(table, query, self.catalog.data_folder(table))
        rejects = self._rejects(table, snapshot, taken.quarantined, replaced)
        reflects = {
            "ledger": self.catalog.write_side_file(table, "ledger", ".jsonl.zlib", ledger.encode(entries.values())),
            "rejects": rejects,
        }
        before = _rows(snapshot)
        done = self._commit(table, written, touched, reflects)
        done.added = self.engine.rows(taken.landed)
        done.removed = before + done.added - done.rows
        self.engine.forget(feed, taken)
        return done

    def _rejects(self, table: Table, snapshot: Snapshot | None, quarantined: str, replaced: Sequence[str]) -> list[str]:
        """The feed's quarantined rows as files that the landing commit names, so both move together."""
        before = [str(self.catalog.warehouse / name) for name in (snapshot.reflects.get("rejects", []) if snapshot else [])]
        touched, kept = self.engine.without_sources(quarantine.TABLE, before, replaced)
        query = f'SELECT * FROM "{quarantined}"' + (f" UNION ALL {kept}" if kept else "")
        folder = self.catalog.data_folder(table).parent / "metadata"
        written = self.engine.write(quarantine.TABLE, query, folder)
        kept_files = [path for path in before if path not in touched]
        return [Path(path).relative_to(self.catalog.warehouse).as_posix() for path in (*kept_files, *written)]

    def _refresh(self, table: Table) -> TableReport:
        """Compute a table, or what changes of its inputs reach, check it, and commit the rows that differ."""
        snapshot = self.catalog.snapshot(table.name)
        marks = _reflects(self.catalog, table, self.settings.consent.policy)
        if snapshot is not None and snapshot.reflects.get("inputs") == marks:
            return _unchanged(snapshot, "up to date")
        files = self.catalog.files(table.name)
        changes = self._changes(table, snapshot, marks) if files else None
        current = None
        if snapshot is not None and table.scope is not None and changes is not None:
            candidate, current = self.engine.compute_scope(table, table.scope, files, changes)
            found = self._check_scope(table, candidate, current, snapshot, changes)
        else:
            rejects = self._reject_files() if table is quarantine.TABLE else None
            candidate = self.engine.compute(table) if rejects is None else self.engine.gather(table, rejects)
            current = self.engine.read_current(table, files) if files else None
            found = check(table, candidate, self.engine.count)
        self.report.rules.extend(found)
        if _breaks(found):
            self.engine.drop(candidate)
            return self._skip(table, "failed")
        reflects = {"inputs": marks, "rules": {result.rule: result.failed for result in found}}
        folder = self.catalog.data_folder(table)
        if current is None:
            added = self.engine.rows(candidate)
            written = self.engine.write(table, f'SELECT * FROM "{candidate}"', folder)
            done = self._commit(table, written, (), reflects)
            done.added = added
        else:
            difference = self.engine.difference(table, candidate, current)
            written = (
                self.engine.write_difference(table, difference, folder) if difference.added + difference.removed else []
            )
            done = self._commit(table, written, difference.touched_files, reflects)
            done.added, done.removed = difference.added, difference.removed
        self.engine.drop(candidate)
        return done

    def _check_scope(
        self, table: Table, candidate: str, current: str, snapshot: Snapshot, changes: Sequence[Change]
    ) -> list[RuleResult]:
        """Check the rows in scope; of warnings, which count the whole table, the rows outside stay counted.

        The current rows are counted against the inputs as they were when those rows were made, so
        what is taken off is what was once added.
        """
        found = check(table, candidate, self.engine.count)
        for change in changes:
            self.engine.show_files(change.table, change.before)
        gone = {result.rule: result for result in check(table, current, self.engine.count)}
        for change in changes:
            self.engine.show_files(change.table, change.files)
        recorded = snapshot.reflects["rules"]
        rows = _rows(snapshot)
        return [
            replace(
                result,
                checked=rows + result.checked - gone[result.rule].checked,
                failed=recorded[result.rule] + result.failed - gone[result.rule].failed,
            )
            if result.level == "warn"
            else result
            for result in found
        ]

    def _changes(self, table: Table, snapshot: Snapshot | None, marks: dict[str, Any]) -> list[Change] | None:
        """The inputs now and as the table last read them, or None where it has to be computed whole."""
        if snapshot is None or table.scope is None:
            return None
        seen = snapshot.reflects["inputs"]
        if any(seen.get(key) != mark for key, mark in marks.items() if key not in table.inputs):
            return None
        changes = []
        for name in table.inputs:
            if seen[name] is not None and self.catalog.snapshot(name, seen[name]) is None:
                return None
            before = self.catalog.files(name, seen[name]) if seen[name] is not None else []
            changes.append(Change(BY_NAME[name], self.catalog.files(name), before))
        return changes

    def _reject_files(self) -> list[str]:
        found: list[str] = []
        for feed in FEEDS:
            snapshot = self.catalog.snapshot(feed.table.name)
            found += snapshot.reflects.get("rejects", []) if snapshot else []
        return [str(self.catalog.warehouse / name) for name in found]

    def _count_quarantined(self) -> None:
        for feed in FEEDS:
            entries = _ledger(self.catalog, self.catalog.snapshot(feed.table.name))
            self.report.quarantined[feed.name] = sum(entry.quarantined for entry in entries.values())

    def _record(self) -> None:
        """Publish the run, unless nothing changed since the last one."""
        snapshots = {}
        for table in ALL:
            if snapshot := self.catalog.snapshot(table.name):
                snapshots[table.name] = snapshot.id
        runs = read_runs(self.catalog.warehouse)
        if runs and runs[-1].snapshots == snapshots and not self.report.failed:
            self.report.run_id = runs[-1].run_id
            return
        finished_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        rules = [asdict(result) for result in self.report.rules]
        write_run(
            self.catalog.warehouse,
            RunRecord(self.report.run_id, finished_at, self.report.policy, snapshots, rules),
        )


def pseudonym_key(settings: Settings) -> bytes:
    """The key of the pseudonyms: the configured one, else one made once and kept in the warehouse."""
    if settings.pseudonym_key is not None:
        # Any length of secret becomes one block's worth of key.
        return hashlib.sha256(settings.pseudonym_key.get_secret_value().encode()).digest()
    path = settings.warehouse / "pseudonym.key"
    if not path.exists():
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    return path.read_bytes()


def _reflects(catalog: Catalog, table: Table, policy: str) -> dict[str, Any]:
    """What a table's content follows from: its inputs' rows, its query, the policy.

    Inputs count by the last snapshot that changed their rows, so that a commit which only
    records progress moves nothing downstream.
    """
    definition = hashlib.sha256(repr((table.query, table.columns, table.rules, table.scope)).encode()).hexdigest()[:16]
    marks: dict[str, Any] = {"definition": definition}
    if "consent_policy" in table.parameters:
        marks["policy"] = policy
    for name in table.inputs:
        history = catalog.history(name)
        changing = (s for s in history if _changes_rows(s) or table is quarantine.TABLE)
        marks[name] = next((s.id for s in changing), None)
    return marks


def _changes_rows(snapshot: Snapshot) -> bool:
    return any(int(snapshot.summary.get(key, 0)) for key in ("added-data-files", "deleted-data-files"))


def _ledger(catalog: Catalog, snapshot: Snapshot | None) -> dict[str, LedgerEntry]:
    name = snapshot.reflects.get("ledger") if snapshot else None
    return ledger.decode(catalog.read_side_file(name)) if name else {}


def _breaks(found: Sequence[RuleResult]) -> bool:
    return any(result.level == "error" and not result.passed for result in found)


def _rows(snapshot: Snapshot | None) -> int:
    return int(snapshot.summary.get("total-records", 0)) if snapshot else 0


def _unchanged(snapshot: Snapshot | None, status: str) -> TableReport:
    return TableReport(status, _rows(snapshot), snapshot_id=snapshot.id if snapshot else None)


def _file_counts(plan: FilePlan) -> dict[str, int]:
    return {"new": len(plan.new), "changed": len(plan.changed)}


def _is_unchanged(file: LandingFile) -> bool:
    try:
        return look(Path(file.path), file.name).version == file.version
    except OSError:
        return False
