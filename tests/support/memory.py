"""Tables in DuckDB's memory, for tests with literal records. No file is read or written.

Queries, rules and incremental refresh are the program's own. Files, catalogs and commits are tested in tests/integration.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from stedi.catalog import Commit, CommitMetadata, Snapshot
from stedi.compute.counts import count_differences, count_rows
from stedi.compute.duckdb import DuckDBBackend
from stedi.compute.incremental import candidate_query
from stedi.compute.sql import typed_columns, with_relations
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.identity import identity_of
from stedi.model.query_settings import QuerySettings
from stedi.model.sql import columns, literal, no_rows, quoted
from stedi.model.table import Table, with_ancestors
from stedi.pipeline import RunReport
from stedi.pipeline.checks import check
from stedi.pipeline.draft import Draft
from stedi.pipeline.pseudonym_key import query_parameters
from stedi.pipeline.refresh import ComputedDelta, refresh
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.landing.quarantine import TABLE as QUARANTINE
from stedi.tables.registry import BY_NAME, REFRESHED
from tests.support.lake import KEY, Record

LANDING = {feed.name: feed.table for feed in FEEDS}
DERIVED = tuple(t for t in REFRESHED if not t.on_demand and t is not QUARANTINE and t not in LANDING.values())


def _identities(feed: str, record: Record) -> dict[str, str | None]:
    """Return the normalised identities of a record, as the landing reader does."""
    identifying = next(f for f in FEEDS if f.name == feed).identifying
    spellings = {identity: record.get(field.name) for identity, field in identifying.items()}
    return {identity: identity_of(identity, spelling) if spelling else None for identity, spelling in spellings.items()}


class InMemoryBackend(DuckDBBackend):
    """DuckDB without files: the path of a data file is the name of a relation."""

    numbers = count()

    def scan(self, table: Table, files: DataFiles) -> str:
        return " UNION ALL ".join(f"SELECT {columns(table)} FROM {quoted(p)}" for p in files.paths) or no_rows(table)

    def scan_with_filename(self, table: Table, files: DataFiles) -> str:
        return " UNION ALL ".join(f"SELECT {columns(table)}, {literal(p)} AS filename FROM {quoted(p)}" for p in files.paths)

    def write(self, table: Table, query: str, folder: str, *, sort_by: Sequence[str] = ()) -> list[WrittenFile]:
        relation = f"file_{next(self.numbers)}"
        self.materialize(relation, f"SELECT {typed_columns(table)} FROM ({query}) AS q")
        return [WrittenFile(relation, count_rows(self, f"SELECT * FROM {quoted(relation)}"), 0, {})]


class Commits(Draft):
    """A store that keeps all commits of each table in memory."""

    def __init__(self) -> None:
        super().__init__(None, Path())
        self._commits: dict[str, list[tuple[Snapshot, DataFiles]]] = defaultdict(list)

    def snapshot(self, name: str) -> Snapshot | None:
        return self._commits[name][-1][0] if self._commits[name] else None

    def latest_metadata(self, name: str) -> CommitMetadata | None:
        snapshot = self.snapshot(name)
        return snapshot.metadata if snapshot else None

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        return next((snapshot for snapshot, _ in reversed(self._commits[name]) if snapshot.version == version), None)

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        matching = (files for snapshot, files in reversed(self._commits[name]) if snapshot_id in (None, snapshot.id))
        return next(matching, DataFiles())

    def data_folder(self, table: Table) -> str:
        return ""

    def discard(self, written: Iterable[WrittenFile]) -> None:
        pass

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        before, files = self.snapshot(table.name), self.files(table.name)
        kept = (path for path in files.paths if path not in commit.removed)
        snapshot = Snapshot.of_draft(before, commit.metadata_after(before), datetime.now(UTC))
        self._commits[table.name].append((snapshot, DataFiles((*kept, *(file.path for file in commit.added)))))
        return snapshot


class MemoryTables:
    """Implements `tests.support.tables.Tables` in memory.

    Only the `derived` tables are computed. The test gives the rows of the others.
    """

    def __init__(self, engine: InMemoryBackend, policy: str = "customer", derived: Sequence[Table] = DERIVED) -> None:
        self.engine, self.settings, self._store, self._derived = engine, QuerySettings(policy), Commits(), derived
        self.use_key(KEY)
        self._landed: dict[str, list[Record]] = {}
        self._relations: dict[str, str] = {}
        self._rejects: dict[str, str] = {}
        for table in (*LANDING.values(), *(t for t in DERIVED if t not in derived)):
            self._put(table, {})
        self._waiting: dict[str, list[Record]] = {}
        self._arrivals: dict[str, int] = {}

    def land(self, name: str, records: Iterable[Record], *, arrived_at: int = 0) -> None:
        """Land a file. The next run replaces the records of an earlier version of the file."""
        self._waiting[name] = list(records)
        self._arrivals[name] = arrived_at

    def give(self, table: Table, rows: Sequence[Record]) -> None:
        """Set the rows of a table that is not computed."""
        self._put(table, {table.name: rows})

    def quarantine(self, name: str, people: Sequence[str], *, arrived_at: int = 0) -> None:
        """Quarantine customer records of a file, instead of its earlier ones. `people` gives the people of each record."""
        rows = [
            {
                "feed": "customer",
                "source_file": name,
                "source_position": position,
                "raw_record": "{",
                "reason": "not_json",
                "arrived_at": arrived_at,
                "people": record_people,
            }
            for position, record_people in enumerate(people, start=1)
        ]
        self._rejects[name] = self._hold(QUARANTINE, rows)
        self._ingest("customer", {})

    def remove(self, name: str) -> None:
        """Do nothing: the rows of a deleted file stay."""

    def use_key(self, key: str) -> None:
        """Change the pseudonym key."""
        self._key = hashlib.sha256(key.encode()).digest()
        self.use(self.settings)

    def use(self, settings: QuerySettings) -> None:
        """Change the settings of queries."""
        self.settings, self._parameters = settings, query_parameters(settings, self._key)
        self.engine.set_parameters(self._parameters)

    def _ingest(self, feed: str, files: Mapping[str, Sequence[Record]]) -> None:
        rows = {
            name: [
                {
                    **record,
                    **_identities(feed, record),
                    "source_file": name,
                    "source_position": position,
                    "arrived_at": self._arrivals[name],
                }
                for position, record in enumerate(records, start=1)
            ]
            for name, records in files.items()
        }
        self._put(LANDING[feed], rows)
        self._landed.update({name: list(records) for name, records in files.items()})

    def _put(self, table: Table, files: Mapping[str, Sequence[Record]]) -> None:
        added, removed = [], []
        for name, rows in files.items():
            added.append(WrittenFile(self._hold(table, rows), len(rows), 0, {}))
            removed += [self._relations[name]] if name in self._relations else []
            self._relations[name] = added[-1].path
        rejects = list(self._rejects.values()) if table is LANDING["customer"] else []
        number = next(self.engine.numbers)
        metadata = CommitMetadata("", 0, f"v{number}", ledger="", rejects=tuple(rejects))
        self._store.commit(table, Commit(added, removed, metadata))

    def _hold(self, table: Table, rows: Sequence[Record]) -> str:
        assert {key for row in rows for key in row} <= set(table.column_names)
        relation = f"landed_{next(self.engine.numbers)}"
        self.engine.materialize_values(
            relation, [(c.name, c.type, [row.get(c.name) for row in rows]) for c in table.columns]
        )
        return relation

    def run(self, *, select: Sequence[str] = ()) -> RunReport:
        """Refresh every table, or the selected ones and their inputs, as a run does."""
        selected = with_ancestors(select, BY_NAME) or set(BY_NAME)
        for feed in LANDING:
            if files := {name: records for name, records in self._waiting.items() if name.startswith(f"{feed}/")}:
                self._ingest(feed, files)
        self._waiting.clear()
        report = RunReport(f"v{next(self.engine.numbers)}", self.settings, dry_run=False)
        deltas: dict[str, ComputedDelta] = {}
        for table in (t for t in self._derived if t.name in selected):
            report.tables[table.name] = refresh(
                table, self._store, lambda: self.engine, report.run_id, self._parameters, deltas=deltas
            )
            outside = self.counts(table).get("taken_after_consent")
            if outside is not None:
                report.outside_consent[table.name] = outside
        return report

    def counts(self, table: Table) -> dict[str, int]:
        """Return the violation counts in a table's newest commit."""
        snapshot = self._store.snapshot(table.name)
        return {**snapshot.metadata.violations} if snapshot and snapshot.metadata else {}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on all tables."""
        tables = (*LANDING.values(), *DERIVED, *self._derived)
        scans = {table.name: self.engine.scan(table, self._store.files(table.name)) for table in tables}
        return [tuple(row.values()) for row in self.engine.select(with_relations(sql, scans))]

    def found_wrong(self) -> list[str]:
        """Return the tables whose rows or violation counts differ from a full rebuild."""
        different = []
        for table in self._derived:
            inputs = {name: self.engine.scan(BY_NAME[name], self._store.files(name)) for name in table.inputs}
            inputs["rejects"] = self.engine.scan(QUARANTINE, DataFiles(tuple(self._rejects.values())))
            rebuilt, actual = candidate_query(table, inputs), self.engine.scan(table, self._store.files(table.name))
            violations = {r.rule: r.failed for r in check(self.engine, table, actual, inputs)}
            if count_differences(self.engine, table, rebuilt, actual) or violations != self.counts(table):
                different.append(table.name)
        return different

    def is_like_new(self) -> bool:
        """Whether the tables equal those of one run on the same records."""
        fresh = MemoryTables(self.engine, self.settings.policy)
        for name, records in self._landed.items():
            fresh.land(name, records, arrived_at=self._arrivals[name])
        fresh.run()
        return fresh.contents() == self.contents() and all(self.counts(t) == fresh.counts(t) for t in DERIVED)

    def contents(self) -> dict[str, list[str]]:
        """All rows of every derived table, as text."""
        return {t.name: sorted(str(row) for row in self.rows(f"SELECT {columns(t)} FROM {t.name}")) for t in DERIVED}
