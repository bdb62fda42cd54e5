"""The clock of withdrawals: when each was received, where it is in effect, and which are overdue.

A withdrawal counts from the arrival of the record that says so, which may be long before a run reads it. It is in effect in
a table from the first finished run without rows of the customer, in a snapshot when that has expired, and in a model when
that is stale. The unusable record of a customer on hold may be a withdrawal, so holds are treated alike.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord, read_runs
from stedi.catalog.value_search import files_by_snapshot
from stedi.compute import Backend
from stedi.compute.sql import with_relations
from stedi.compute.start import start_duckdb
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.ingest.ledger import plan_files
from stedi.ingest.listing import list_files
from stedi.ingest.skipped_files import shown_name
from stedi.model.data_files import DataFiles
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, customer_pseudonym, padded_keys
from stedi.model.progress import Progress, Report
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.pipeline.landing import ledger_of, reject_files
from stedi.pipeline.pseudonym_key import pseudonym_key
from stedi.privacy.clock_report import ClockEntry, ClockReport, OpenModel, OpenSnapshot, WaitingFile
from stedi.privacy.erasures import read_erasures
from stedi.privacy.retention.people import drop, find_people
from stedi.steps.registry.published_models import CurrentConsent, models_folder, read_models
from stedi.storage import Warehouse, open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.consent import withdrawals
from stedi.tables.curated import customers
from stedi.tables.landing import quarantine
from stedi.tables.landing.customer import FEED
from stedi.tables.reference.consent_hold import HELD_FROM
from stedi.tables.registry import ALL

# A maintenance a day is enough for retention.
_GRACE_MS = MILLISECONDS_A_DAY
# The tables that may contain only customers whose consent is in force.
_TABLES = tuple(table for table in ALL if table.requires_consent)


def read_clock(
    settings: Settings, now: datetime, *, limit: int | None = None, progress: Report = lambda _: None
) -> ClockReport:
    """Find out what was received, what is in effect, and what is overdue. Changes nothing.

    Args:
        settings: where landing files, warehouse, models and the privacy folder are, and the deadline.
        now: the time to compare with, with a zone.
        limit: maximum number of withdrawals and holds, and of erasures, to list; None for all. All of them are counted.
        progress: receives the table that is searched.

    Raises:
        LandingError: the landing folder can't be read.
        WarehouseError: there is no finished run, a file can't be read, or the warehouse is a backup from before an erasure.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    now_ms = round(now.timestamp() * 1000)
    with (
        # Not in the warehouse: a run that starts meanwhile empties its folder for temporary files.
        TemporaryDirectory(prefix="stedi-privacy-") as folder,
        translate_storage_errors(f"warehouse {warehouse} can't be read"),
        start_duckdb(settings, warehouse, Path(folder)) as backend,
    ):
        runs = _finished_runs(warehouse)
        backend.set_parameters(padded_keys(pseudonym_key(settings, create=False)))
        while True:
            try:
                with Catalog(warehouse) as catalog:
                    return _report(_Reading(settings, catalog, backend, runs, now_ms, progress), limit)
            except WarehouseError:
                # Maintenance may have deleted files meanwhile. Then start again with the runs that are left.
                before, runs = runs, _finished_runs(warehouse)
                if runs == before:
                    raise


def _finished_runs(warehouse: Warehouse) -> list[RunRecord]:
    with Catalog(warehouse):
        runs = read_runs(warehouse)
    if not runs:
        raise WarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
    return runs


@dataclass(frozen=True)
class _Reading:
    settings: Settings
    catalog: Catalog
    backend: Backend
    runs: Sequence[RunRecord]
    now_ms: int
    progress: Report

    @property
    def deadline_ms(self) -> int:
        """What arrived before this time (ms since the epoch, UTC) is due."""
        return self.now_ms - self.settings.privacy.deadline_days * MILLISECONDS_A_DAY

    def expires_after_runs(self, table: str, snapshot_id: int) -> int:
        """How many more runs have to finish before maintenance expires a snapshot. Runs beyond `keep_runs` leave the log."""
        newer = next((n for n, run in enumerate(reversed(self.runs)) if run.snapshots.get(table) == snapshot_id), None)
        return 0 if newer is None else max(0, self.settings.keep_runs - newer)


def _report(reading: _Reading, limit: int | None) -> ClockReport:
    erasures = read_erasures(reading.settings, reading.deadline_ms)
    # Listed before the tables are read: a run that ingests a file meanwhile may hide it from neither.
    files = _waiting_files(reading)
    _find_entries(reading)
    _find_rows(reading)
    models = _find_models(reading)
    _find_effects(reading)
    [counts] = reading.backend.select(
        """
        SELECT count(*) FILTER (WHERE kind = 'withdrawal') AS withdrawals, count(*) FILTER (WHERE kind = 'hold') AS holds,
            count(*) FILTER (WHERE NOT is_open) AS in_effect, count(*) FILTER (WHERE is_overdue) AS overdue
        FROM clock_state"""
    )
    counts["overdue"] += sum(file.is_overdue for file in files) + sum(erasure.is_overdue for erasure in erasures)
    past_retention, overdue_retention = _count_past_retention(reading)
    counts["overdue"] += overdue_retention
    return ClockReport(
        reading.settings.privacy.deadline_days,
        **counts,
        entries=_entries(reading, limit),
        snapshots=_snapshots(reading.backend),
        models=models,
        files=files,
        past_retention=past_retention,
        overdue_retention=overdue_retention,
        erasures=erasures[:limit],
    )


def _count_past_retention(reading: _Reading) -> tuple[int | None, int]:
    """Count the people of whom old records should be gone, and those for whom that is overdue."""
    days = reading.settings.privacy.retention_days
    if days is None:
        return None, 0
    reading.progress(Progress("searching for old records", 0, len(_TABLES), "tables"))
    cutoff_ms = reading.now_ms - days * MILLISECONDS_A_DAY
    try:
        past, overdue = (
            find_people(reading.backend, reading.catalog, cutoff).people for cutoff in (cutoff_ms, cutoff_ms - _GRACE_MS)
        )
    finally:
        drop(reading.backend)
    return past, overdue


def _waiting_files(reading: _Reading) -> tuple[WaitingFile, ...]:
    listed = list_files(reading.settings.landing, FEED)
    waiting = plan_files(listed, ledger_of(reading.catalog, FEED.table)).to_read
    arrivals = sorted((file.modified_ns // 1_000_000, shown_name(file.name)) for file in waiting)
    return tuple(WaitingFile(name, received_ms, received_ms < reading.deadline_ms) for received_ms, name in arrivals)


def _find_entries(reading: _Reading) -> None:
    """Create the relations `clock_entry` (kind, person, pseudonym, received_ms) and `clock_person`.

    The landing table is read as it is now: an unfinished run may have ingested withdrawals that no finished run has.
    """
    catalog, backend = reading.catalog, reading.backend
    reading.progress(Progress("reading customer records", 0, len(_TABLES), "tables"))
    relations = {
        FEED.table.name: backend.scan(FEED.table, catalog.files(FEED.table.name)),
        "rejects": backend.scan(quarantine.TABLE, reject_files(catalog, FEED.table)),
    }
    both = (
        f"SELECT 'withdrawal' AS kind, person, received_ms FROM ({withdrawals()}) AS withdrawn "
        f"UNION ALL SELECT 'hold' AS kind, person, received_ms FROM ({HELD_FROM}) AS held"
    )
    entries = f"SELECT kind, person, received_ms, {customer_pseudonym('person')} AS pseudonym FROM ({both}) AS received"
    backend.materialize("clock_entry", with_relations(entries, relations))
    backend.materialize("clock_person", "SELECT DISTINCT person, pseudonym FROM clock_entry")


def _find_rows(reading: _Reading) -> None:
    """Create relations that say which snapshots contain which people.

    Files that are in the same snapshots form a group. `clock_group` has for each group the table and the number of the last
    finished run with it, `clock_snapshot` its snapshots, `clock_row` the people with rows in it.
    """
    backend = reading.backend
    people = backend.select("SELECT person, pseudonym FROM clock_person")
    groups: list[tuple[str, int]] = []
    snapshots: list[tuple[int, str, int, int, int]] = []
    found = ["SELECT 0::BIGINT AS group_number, '' AS person WHERE false"]
    for number, table in enumerate(_TABLES):
        reading.progress(Progress(f"searching {table.name}", number, len(_TABLES), "tables"))
        identity = "pseudonym" if table.person_is_pseudonym else "person"
        by_group = _groups(reading, table, [row[identity] for row in people])
        first = len(groups)
        for group_number, snapshot_ids in enumerate(by_group, start=first):
            groups.append((table.name, _last_run(reading, table.name, snapshot_ids)))
            snapshots += (_snapshot(reading, table.name, group_number, snapshot_id) for snapshot_id in snapshot_ids)
        paths = {path: n for n, group in enumerate(by_group.values(), start=first) for path in group}
        if paths:
            relation = f"clock_row_{number}"
            _search(backend, table, identity, paths, relation)
            found.append(f"SELECT group_number, person FROM {relation}")
    backend.materialize("clock_row", " UNION ALL ".join(found))
    backend.materialize_values(
        "clock_group",
        [
            ("group_number", "long", range(len(groups))),
            ("table_name", "string", [name for name, _ in groups]),
            ("last_run", "long", [last for _, last in groups]),
        ],
    )
    names = ("group_number", "table_name", "snapshot_id", "committed_ms", "expires_after_runs")
    columns = list(zip(*snapshots, strict=True)) or [()] * len(names)
    backend.materialize_values(
        "clock_snapshot",
        [(name, "string" if name == "table_name" else "long", values) for name, values in zip(names, columns, strict=True)],
    )


def _groups(reading: _Reading, table: Table, people: Sequence[str]) -> dict[tuple[int, ...], list[str]]:
    """The files that may contain some people, by the snapshots that they are in."""
    column = table.person if table.person in table.column_names else None
    newest = reading.runs[-1].snapshots.get(table.name)
    files = files_by_snapshot(reading.catalog, table.name, column, people)
    if newest is not None and newest not in files:
        raise WarehouseError(f"snapshot {newest} of table {table.name} has expired; start `stedi run`, then ask again")
    snapshots_of: dict[str, list[int]] = defaultdict(list)
    for snapshot_id, listed in files.items():
        for path in listed.paths:
            snapshots_of[path].append(snapshot_id)
    by_group: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for path, snapshot_ids in snapshots_of.items():
        by_group[tuple(snapshot_ids)].append(path)
    return by_group


def _last_run(reading: _Reading, table: str, snapshot_ids: Sequence[int]) -> int:
    """The number of the last finished run with one of some snapshots, counted from 0; -1 if there is none."""
    numbers = (n for n, run in enumerate(reading.runs) if run.snapshots.get(table) in snapshot_ids)
    return max(numbers, default=-1)


def _snapshot(reading: _Reading, table: str, group_number: int, snapshot_id: int) -> tuple[int, str, int, int, int]:
    metadata = reading.catalog.table_metadata(table)
    assert metadata is not None
    committed_ms = round(metadata.snapshots[snapshot_id].committed_at.timestamp() * 1000)
    return group_number, table, snapshot_id, committed_ms, reading.expires_after_runs(table, snapshot_id)


def _search(backend: Backend, table: Table, identity: str, paths: Mapping[str, int], relation: str) -> None:
    """Create a relation with the people who have rows in files, and the group of the files.

    Rows that another writer marked as deleted count: they are in the files until the next run rewrites these.
    """
    files = DataFiles(tuple(paths), is_part=True)
    backend.materialize_values(
        "clock_file", [("path", "string", tuple(paths)), ("group_number", "long", tuple(paths.values()))]
    )
    rows = f"SELECT filename, ({table.person}) AS identity FROM ({backend.scan_with_filename(table, files)}) AS scanned"
    backend.materialize(
        relation,
        f"SELECT DISTINCT f.group_number, p.person FROM ({rows}) AS r "
        f"JOIN clock_person AS p ON p.{identity} = r.identity JOIN clock_file AS f ON f.path = r.filename",
    )


def _find_models(reading: _Reading) -> tuple[OpenModel, ...]:
    """Create the relation `clock_model` (model, pseudonym) of the models in use. Return those that are in the way."""
    models = read_models(models_folder(reading.settings))
    consent = _current_consent(reading) if models else None
    used = [model for model in models if consent and consent.staleness_reason(model) is None]
    names = [model.name for model in used for _ in range(len(model.people))]
    pseudonyms = [pseudonym for model in used for pseudonym in model.people.to_pylist()]
    reading.backend.materialize_values("clock_model", [("model", "string", names), ("pseudonym", "string", pseudonyms)])
    rows = reading.backend.select(
        "SELECT model, count(*) AS customers FROM clock_model "
        "WHERE pseudonym IN (SELECT pseudonym FROM clock_person) GROUP BY model ORDER BY model"
    )
    return tuple(OpenModel(**row) for row in rows)


def _current_consent(reading: _Reading) -> CurrentConsent:
    """The consent as of the newest finished run. Other commands refuse to read the tables during an erasure."""
    newest = reading.runs[-1]
    files = DataFiles()
    if (snapshot_id := newest.snapshots.get(customers.TABLE.name)) is not None:
        files = reading.catalog.files(customers.TABLE.name, snapshot_id)
    rows = reading.backend.select(f"SELECT customer_pseudonym FROM ({reading.backend.scan(customers.TABLE, files)}) AS rows")
    return CurrentConsent(newest.settings.policy, pa.array([row["customer_pseudonym"] for row in rows], pa.string()))


def _find_effects(reading: _Reading) -> None:
    """Create the relations `clock_effect` (entry and table) and `clock_state` (entry)."""
    backend = reading.backend
    finished = [round(datetime.fromisoformat(run.finished_at).timestamp() * 1000) for run in reading.runs]
    backend.materialize_values(
        "clock_run", [("run_number", "long", range(len(finished))), ("finished_ms", "long", finished)]
    )
    backend.materialize_values("clock_table", [("table_name", "string", [table.name for table in _TABLES])])
    # A run that read a record finished after its arrival, unless clocks disagree. Then the newest run counts.
    backend.materialize(
        "clock_effect",
        f"""
        WITH last_runs AS (
            SELECT r.person, g.table_name, max(g.last_run) AS last_run
            FROM clock_row AS r JOIN clock_group AS g ON g.group_number = r.group_number
            GROUP BY r.person, g.table_name
        )
        SELECT e.kind, e.person, t.table_name, min(r.finished_ms) AS in_effect_ms
        FROM clock_entry AS e CROSS JOIN clock_table AS t
        LEFT JOIN last_runs AS l ON l.person = e.person AND l.table_name = t.table_name
        LEFT JOIN clock_run AS r ON r.run_number > coalesce(l.last_run, -1)
            AND (r.finished_ms >= e.received_ms OR r.run_number = {len(finished) - 1})
        GROUP BY e.kind, e.person, t.table_name""",
    )
    backend.materialize(
        "clock_state",
        f"""
        WITH by_entry AS (
            SELECT kind, person, count(*) FILTER (WHERE in_effect_ms IS NULL) AS open_tables
            FROM clock_effect GROUP BY kind, person
        ),
        snapshots AS (
            SELECT r.person, count(DISTINCT (s.table_name, s.snapshot_id)) AS snapshots,
                max(s.expires_after_runs) AS expires_after_runs
            FROM clock_row AS r JOIN clock_snapshot AS s ON s.group_number = r.group_number
            GROUP BY r.person
        ),
        models AS (SELECT pseudonym, count(*) AS models FROM clock_model GROUP BY pseudonym)
        SELECT e.kind, e.person, e.pseudonym, e.received_ms,
            coalesce(s.snapshots, 0) AS snapshots, s.expires_after_runs, coalesce(m.models, 0) AS models,
            b.open_tables > 0 OR s.person IS NOT NULL OR m.pseudonym IS NOT NULL AS is_open,
            is_open AND e.received_ms < {reading.deadline_ms} AS is_overdue
        FROM clock_entry AS e JOIN by_entry AS b ON b.kind = e.kind AND b.person = e.person
        LEFT JOIN snapshots AS s ON s.person = e.person
        LEFT JOIN models AS m ON m.pseudonym = e.pseudonym""",
    )


def _entries(reading: _Reading, limit: int | None) -> tuple[ClockEntry, ...]:
    """Overdue entries first, then open ones, the oldest first; then those in effect everywhere, the newest first."""
    backend = reading.backend
    backend.materialize(
        "clock_shown",
        "SELECT *, row_number() OVER (ORDER BY is_overdue DESC, is_open DESC, "
        "CASE WHEN is_open THEN received_ms ELSE -received_ms END, pseudonym, kind) AS place FROM clock_state"
        + ("" if limit is None else f" ORDER BY place LIMIT {limit}"),
    )
    tables: dict[int, dict[str, int | None]] = defaultdict(dict)
    for row in backend.select(
        "SELECT s.place, e.table_name, e.in_effect_ms FROM clock_effect AS e "
        "JOIN clock_shown AS s ON s.kind = e.kind AND s.person = e.person"
    ):
        tables[row["place"]][row["table_name"]] = row["in_effect_ms"]
    deadline_ms = reading.settings.privacy.deadline_days * MILLISECONDS_A_DAY
    rows = backend.select(
        f"SELECT place, kind, left(pseudonym, {SHORT_PSEUDONYM_DIGITS}) AS customer, received_ms, snapshots, "
        "expires_after_runs, models, is_overdue FROM clock_shown ORDER BY place"
    )
    return tuple(_entry(row, tables[row.pop("place")], deadline_ms) for row in rows)


def _entry(row: Mapping[str, Any], tables: Mapping[str, int | None], deadline_ms: int) -> ClockEntry:
    in_order = {table.name: tables[table.name] for table in _TABLES}
    return ClockEntry(**row, due_ms=row["received_ms"] + deadline_ms, tables=in_order)


def _snapshots(backend: Backend) -> tuple[OpenSnapshot, ...]:
    rows = backend.select(
        """
        SELECT s.table_name AS "table", s.snapshot_id, s.committed_ms, s.expires_after_runs,
            count(DISTINCT r.person) AS customers
        FROM clock_row AS r JOIN clock_snapshot AS s ON s.group_number = r.group_number
        GROUP BY ALL ORDER BY s.committed_ms, s.table_name, s.snapshot_id"""
    )
    return tuple(OpenSnapshot(**row) for row in rows)
