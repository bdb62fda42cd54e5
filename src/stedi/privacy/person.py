"""Collect everything that the lakehouse knows about one person.

Reads the tables of the newest finished run, all snapshots that have not expired, the run log and the published models. Each
question is written to the privacy log first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord, read_runs
from stedi.catalog.value_search import files_by_snapshot
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.compute.start import start_duckdb
from stedi.config import Settings
from stedi.errors import StediError, WarehouseError
from stedi.ingest.applied_erasures import open_current_warehouse
from stedi.ingest.reasons import explain
from stedi.ingest.skipped_files import shown_name
from stedi.ingest.suppression import open_suppression
from stedi.model.data_files import DataFiles
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, padded_keys
from stedi.model.progress import Progress, Report
from stedi.model.table import Table
from stedi.pipeline.pseudonym_key import pseudonym_key
from stedi.privacy.privacy_log import log_question_about
from stedi.privacy.report import (
    Claim,
    DevicePeriod,
    Hold,
    LearnedModel,
    MonthReadings,
    PastErasure,
    PersonReport,
    RunRows,
    SnapshotRows,
    TableRows,
)
from stedi.privacy.timeline import read_consent
from stedi.privacy.whose_rows import (
    PEOPLE,
    TIMES,
    FileRows,
    RowMatch,
    count_by_file,
    row_match,
    search_devices,
    search_people,
)
from stedi.steps.registry.published_models import models_folder, read_current_consent, read_models
from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.registry import ALL, BY_NAME, ZONES


def describe_person(settings: Settings, person: str, command: str, *, progress: Report = lambda _: None) -> PersonReport:
    """Log the question, then collect everything that the lakehouse knows about a person.

    Args:
        settings: where the warehouse and the models are.
        person: normalised e-mail address (`identity.person_of`).
        command: the command to log.
        progress: receives the table that is searched, and the number of finished tables.

    Raises:
        StediError: nothing is known about the person.
        WarehouseError: there is no finished run, the question can't be logged, or a file can't be read.
    """
    warehouse = open_current_warehouse(settings)
    with (
        # Not in the warehouse: a run that starts meanwhile empties its folder for temporary files.
        TemporaryDirectory(prefix="stedi-person-") as folder,
        translate_storage_errors(f"warehouse {warehouse} can't be read"),
        start_duckdb(settings, warehouse, Path(folder)) as backend,
    ):
        finished_runs(warehouse)
        backend.set_parameters(padded_keys(pseudonym_key(settings, create=False)))
        search_people(backend, [person])
        [row] = backend.select(f"SELECT pseudonym FROM {PEOPLE}")
        suppression = open_suppression(settings)
        erasures = tuple(
            PastErasure(stone.erasure_id, stone.erased_at_ms, stone.lifted_at_ms) for stone in suppression.find(person)
        )
        log_question_about(warehouse, suppression, command, person, row["pseudonym"])
        report = _read_report(settings, warehouse, backend, _Identity(person, row["pseudonym"]), progress)
        report = replace(report, erasures=erasures)
    if not report.is_known:
        raise StediError(
            "the lakehouse contains nothing about this address; check it, or start `stedi run` if its files are new"
        )
    return report


@dataclass(frozen=True)
class _Identity:
    address: str
    pseudonym: str


def finished_runs(warehouse: Warehouse) -> list[RunRecord]:
    """Return the finished runs, oldest first.

    Raises:
        WarehouseError: there is none.
    """
    with Catalog(warehouse):
        runs = read_runs(warehouse)
    if not runs:
        raise WarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
    return runs


def _read_report(
    settings: Settings, warehouse: Warehouse, backend: Backend, identity: _Identity, progress: Report
) -> PersonReport:
    """Read the report. If maintenance deletes files meanwhile, start again with the runs that are left."""
    while True:
        runs = finished_runs(warehouse)
        try:
            with Catalog(warehouse) as catalog:
                models = learned_models(settings, identity.pseudonym)
                return _report(_Reading(catalog, backend, runs, progress), identity, models)
        except WarehouseError:
            if finished_runs(warehouse) == runs:
                raise


@dataclass
class _Reading:
    """The tables while a report is read: which of their files contain the person.

    Attributes:
        catalog: the catalog.
        backend: has the relation `PEOPLE` with the person.
        runs: the finished runs, oldest first.
        progress: receives the table that is searched.
        files: files that may contain the person, by table and snapshot ID.
        counts: the person's rows by table and path of the file, where there are some.
    """

    catalog: Catalog
    backend: Backend
    runs: Sequence[RunRecord]
    progress: Report
    files: dict[str, dict[int, DataFiles]] = field(default_factory=dict)
    counts: dict[str, dict[str, list[FileRows]]] = field(default_factory=dict)

    def count(self, table: Table, match: RowMatch, values: Sequence[str]) -> None:
        """Count the person's rows in all files of a table's snapshots. Each file is read once."""
        self.progress(Progress(f"searching {table.name}", len(self.counts), len(ALL), "tables"))
        by_snapshot = self.files[table.name] = files_by_snapshot(self.catalog, table.name, match.column, values)
        paths = sorted({path for files in by_snapshot.values() for path in files.paths})
        self.counts[table.name] = defaultdict(list)
        for rows in count_by_file(self.backend, table, match, paths):
            self.counts[table.name][rows.path].append(rows)

    def rows_in(self, table: str, snapshot_id: int) -> int:
        """The person's rows in the files of a snapshot."""
        return sum(rows.rows for rows in self.counts_in(table, snapshot_id))

    def counts_in(self, table: str, snapshot_id: int) -> list[FileRows]:
        """The person's rows by file of a snapshot and month."""
        files = self.files.get(table, {}).get(snapshot_id, DataFiles())
        return [rows for path in files.paths for rows in self.counts[table].get(path, ())]

    def newest_files(self, table: str) -> DataFiles:
        """The files of the newest finished run that contain the person, with the files of deleted rows."""
        snapshot_id = self.runs[-1].snapshots.get(table)
        if snapshot_id is None or snapshot_id not in self.files[table]:
            return DataFiles()
        return self.files[table][snapshot_id].part(sorted({rows.path for rows in self.counts_in(table, snapshot_id)}))

    def newest_rows(self, table: Table, match: RowMatch) -> str:
        """SQL query for the person's rows in the newest finished run."""
        return f"SELECT * FROM ({self.backend.scan(table, self.newest_files(table.name))}) AS r WHERE {match.condition}"


def _report(reading: _Reading, identity: _Identity, models: Iterable[LearnedModel]) -> PersonReport:
    backend, run = reading.backend, reading.runs[-1]
    matches = {table.name: match for table in ALL if (match := row_match(table))}
    values: dict[str, tuple[str, ...]] = {"address": (identity.address,), "pseudonym": (identity.pseudonym,)}
    # The person's devices must be known before the tables in which rows are found by them.
    for name, match in matches.items():
        if not match.needs_devices:
            reading.count(BY_NAME[name], match, values.get(match.by, ()))
    for name in ("customer_landing", "consent_hold", "device_owner"):
        backend.materialize(name, reading.newest_rows(BY_NAME[name], matches[name]))
    devices = read_devices(backend)
    values["device"] = tuple({device.serial for device in devices})
    search_devices(backend, "device_owner")
    for name, match in matches.items():
        if match.needs_devices:
            reading.count(BY_NAME[name], match, values.get(match.by, ()))
    return PersonReport(
        identity.pseudonym[:SHORT_PSEUDONYM_DIGITS],
        run.run_id,
        run.finished_at,
        read_consent(backend),
        read_holds(backend),
        devices,
        read_claims(backend),
        _readings(reading),
        tuple(_table_rows(reading, table, matches.get(table.name)) for zone in ZONES for table in ALL if table.zone == zone),
        _runs(reading),
        tuple(models),
    )


def read_holds(backend: Backend) -> tuple[Hold, ...]:
    """Read the hold on a person's consent from the relation `consent_hold`, which has their rows alone."""
    rows = backend.select(
        "SELECT epoch_ms(held_since) AS held_since_ms, records, source_file, source_position, reason FROM consent_hold"
    )
    for row in rows:
        row |= {"source_file": shown_name(row["source_file"]), "meaning": explain(row["reason"])}
    return tuple(Hold(**row) for row in rows)


def read_devices(backend: Backend) -> tuple[DevicePeriod, ...]:
    """Read a person's devices from the relations `device_owner` and `customer_landing`, which have their rows alone."""
    rows = backend.select(
        """
        SELECT serialNumber AS serial, from_ms, to_ms, status,
            serialNumber IN (SELECT device FROM customer_landing WHERE device IS NOT NULL) AS is_claimed,
            confidence, reading_times, compared_times, coincidences
        FROM device_owner ORDER BY serialNumber, period"""
    )
    return tuple(DevicePeriod(**row, why=_why(row["status"], row["is_claimed"])) for row in rows)


def _why(status: str, is_claimed: bool) -> str:
    """Return why a device is the person's (see docs/device-owners.md); empty for statuses of other versions."""
    if status == "confirmed":
        return "only their records contain its serial number, and its reading times coincide with their phone's"
    if status == "claimed":
        return "only their records contain its serial number; reading times do not decide"
    if status == "inferred" and is_claimed:
        return "its reading times coincide with their phone's; not only their records contain its serial number"
    if status == "inferred":
        return "its reading times coincide with their phone's, although their records do not contain its serial number"
    return ""


def read_claims(backend: Backend) -> tuple[Claim, ...]:
    """Read the serial numbers in a person's records from `customer_landing` and `device_owner`, with their rows alone."""
    rows = backend.select(
        """
        SELECT device AS serial, count(*) AS records,
            min(coalesce(lastUpdateDate, registrationDate)) AS first_ms,
            max(coalesce(lastUpdateDate, registrationDate)) AS last_ms,
            device IN (SELECT serialNumber FROM device_owner) AS is_theirs
        FROM customer_landing WHERE device IS NOT NULL GROUP BY device ORDER BY last_ms DESC, device"""
    )
    return tuple(Claim(**row) for row in rows)


def _readings(reading: _Reading) -> tuple[MonthReadings, ...]:
    months: dict[int, dict[str, int]] = defaultdict(lambda: {"phone": 0, "device": 0})
    for name in TIMES:
        snapshot_id = reading.runs[-1].snapshots.get(name)
        sensor = "phone" if "person" in BY_NAME[name].column_names else "device"
        for rows in reading.counts_in(name, snapshot_id) if snapshot_id is not None else ():
            if rows.month_ms is not None:
                months[rows.month_ms][sensor] += rows.rows
    return tuple(MonthReadings(month_ms, **counts) for month_ms, counts in sorted(months.items()))


def _table_rows(reading: _Reading, table: Table, match: RowMatch | None) -> TableRows:
    metadata = reading.catalog.table_metadata(table.name)
    snapshots = metadata.snapshots if metadata else {}
    if match is None:
        return TableRows(table.name, table.zone, None, None, len(snapshots), ())
    newest_id = reading.runs[-1].snapshots.get(table.name)
    rows = None
    if newest_id is not None:
        if newest_id not in snapshots:
            raise WarehouseError(
                f"snapshot {newest_id} of table {table.name} has expired; start `stedi run`, then ask again"
            )
        rows = reading.rows_in(table.name, newest_id)
        if reading.newest_files(table.name).deletes:
            # Only these rows are read twice: another writer deleted rows of the table.
            rows = count_rows(reading.backend, reading.newest_rows(table, match))
    with_person = (
        SnapshotRows(snapshot_id, snapshots[snapshot_id].committed_at.isoformat(), count)
        for snapshot_id in reading.files[table.name]
        if (count := reading.rows_in(table.name, snapshot_id))
    )
    return TableRows(table.name, table.zone, match.by, rows, len(snapshots), tuple(with_person))


def _runs(reading: _Reading) -> tuple[RunRows, ...]:
    runs = []
    for run in reading.runs:
        rows = {name: reading.rows_in(name, snapshot_id) for name, snapshot_id in run.snapshots.items()}
        if any(rows.values()):
            runs.append(RunRows(run.run_id, run.finished_at, {name: n for name, n in rows.items() if n}))
    return tuple(runs)


def learned_models(settings: Settings, pseudonym: str) -> list[LearnedModel]:
    """Return the published models that learned from a person, oldest first."""
    models = [model for model in read_models(models_folder(settings)) if pseudonym in model.people.to_pylist()]
    consent = read_current_consent(settings) if models else None
    return [
        LearnedModel(
            model.name,
            _text(model.card, "trained_at"),
            _text(model.card, "run_id"),
            consent is None or consent.staleness_reason(model) is not None,
        )
        for model in models
    ]


def _text(card: Mapping[str, Any], key: str) -> str | None:
    value = card.get(key)
    return None if value is None else str(value)
