"""Maintenance of a warehouse: compact small files, expire old runs, delete orphan files.

Each step is one commit or one deletion, so maintenance can be interrupted at any time and run again.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from stedi.catalog import Catalog, Commit
from stedi.catalog.file_statistics import DataFileSize, count_empty_manifests, data_file_sizes
from stedi.catalog.run_log import expire_runs, latest_run, read_runs, update_latest_run
from stedi.compute import Backend
from stedi.compute.start import start_backend
from stedi.config import Settings
from stedi.ingest.applied_erasures import open_current_warehouse
from stedi.maintenance.orphan_files import expire_snapshots, orphan_files
from stedi.model.progress import Progress, Report
from stedi.model.table import Table
from stedi.storage.errors import translate_storage_errors
from stedi.storage.own_files import is_own
from stedi.storage.paths import DATA, METADATA, table_folder
from stedi.tables.registry import ALL

# A quarter of the usual target size of Parquet files (256 MB). Rewriting smaller files is cheap and speeds up reading.
SMALL_FILE_BYTES = 64 * 2**20
# Iceberg merges five or more manifests (`commit.manifest.min-count-to-merge`).
_MANY_EMPTY_MANIFESTS = 5
# Another writer may commit a file hours after writing it. Spark's own tools wait three days.
_GRACE_SECONDS = 24 * 3600


@dataclass
class TableMaintenance:
    """What maintenance did to one table.

    Attributes:
        files_before: data files before.
        files_after: data files after.
        merged: data files that compaction rewrote.
        snapshots_expired: number of expired snapshots.
        files_removed: number of deleted orphan files.
        bytes_removed: size of the deleted orphan files.
    """

    files_before: int = 0
    files_after: int = 0
    merged: int = 0
    snapshots_expired: int = 0
    files_removed: int = 0
    bytes_removed: int = 0


@dataclass
class MaintenanceReport:
    """What maintenance did, by table.

    Attributes:
        tables: by table name.
        runs_forgotten: number of runs removed from the run log.
        made_private: number of files and folders that other users could access.
        seconds: duration.
    """

    tables: dict[str, TableMaintenance] = field(default_factory=dict)
    runs_forgotten: int = 0
    made_private: int = 0
    seconds: float = 0.0


def maintain(settings: Settings, *, progress: Report = lambda _: None) -> MaintenanceReport:
    """Run the maintenance of a warehouse.

    Args:
        settings: where the warehouse is, and how many runs to keep.
        progress: receives the number of finished tables.

    Raises:
        WarehouseBusyError: a run is in progress.
        WarehouseError: there is no warehouse, or it can't be written.
    """
    warehouse = open_current_warehouse(settings)
    # Taking the write lock would create a missing warehouse.
    with Catalog(warehouse):
        pass
    with (
        warehouse.write_lock(),
        translate_storage_errors(f"warehouse {warehouse} can't be written"),
        Catalog(warehouse) as catalog,
        warehouse.scratch() as scratch,
        start_backend(settings, warehouse, scratch) as backend,
    ):
        return run_maintenance(catalog, backend, settings.keep_runs, progress)


def run_maintenance(catalog: Catalog, backend: Backend, keep_runs: int, progress: Report) -> MaintenanceReport:
    """Run the maintenance of a warehouse whose write lock the caller holds.

    Files that compaction replaces stay until the next maintenance, because running queries may read them.

    Args:
        catalog: the catalog of the warehouse.
        backend: rewrites small files.
        keep_runs: number of finished runs to keep.
        progress: receives the number of finished tables.
    """
    started = time.monotonic()
    report = MaintenanceReport({table.name: TableMaintenance() for table in ALL})
    report.runs_forgotten = expire_runs(catalog.warehouse, keep=keep_runs)
    keep = _snapshots_to_keep(catalog)
    for number, table in enumerate(ALL):
        progress(Progress(f"deleting orphan files of {table.name}", number, len(ALL), "tables"))
        outcome = report.tables[table.name]
        outcome.snapshots_expired = expire_snapshots(catalog, table.name, keep[table.name])
        _remove_orphan_files(catalog, table, outcome)
    for number, table in enumerate(ALL):
        progress(Progress(f"compacting {table.name}", number, len(ALL), "tables"))
        _compact(catalog, backend, table, report.tables[table.name])
    _publish_compacted_tables(catalog)
    report.made_private = catalog.warehouse.restrict_access()
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _publish_compacted_tables(catalog: Catalog) -> None:
    """Replace the snapshots of the newest run by those that have the same rows in compacted files."""
    run = latest_run(catalog.warehouse)
    if run is None:
        return
    snapshots = dict(run.snapshots)
    for name, snapshot_id in run.snapshots.items():
        current = catalog.snapshot(name)
        published = next((snapshot for snapshot in catalog.history(name) if snapshot.id == snapshot_id), None)
        if current and published and current.version == published.version:
            snapshots[name] = current.id
    if snapshots != run.snapshots:
        update_latest_run(catalog.warehouse, snapshots)


def _snapshots_to_keep(catalog: Catalog) -> dict[str, set[int]]:
    """The IDs of the snapshots that are still needed, by table.

    These are the snapshots of the runs in the run log, STEDI's newest commit of each table, and the snapshots of inputs
    that the next incremental refresh compares with.
    """
    keep: dict[str, set[int]] = defaultdict(set)
    for run in read_runs(catalog.warehouse):
        for name, snapshot_id in run.snapshots.items():
            keep[name].add(snapshot_id)
    for table in ALL:
        ours = catalog.latest_own_snapshot(table.name)
        if ours is None or ours.metadata is None:
            continue
        keep[table.name].add(ours.id)
        fingerprint = ours.metadata.fingerprint
        for name, version in (fingerprint.inputs if fingerprint else {}).items():
            if version is not None and (snapshot := catalog.snapshot_of_version(name, version)):
                keep[name].add(snapshot.id)
    return keep


def _remove_orphan_files(catalog: Catalog, table: Table, outcome: TableMaintenance) -> None:
    now, warehouse = time.time(), catalog.warehouse
    for file in orphan_files(catalog, table.name):
        # An orphan file of STEDI's own is left from a killed run. That is certain only if the write lock ends with its
        # process. In S3 a suspended run may still commit the file later.
        is_of_dead_run = warehouse.lock_ends_with_process and is_own(file.name)
        if not is_of_dead_run and now - file.modified < _GRACE_SECONDS:
            continue
        warehouse.confirm_write_lock()
        warehouse.delete(file.name)
        outcome.files_removed += 1
        outcome.bytes_removed += file.bytes
    for folder in (DATA, METADATA):
        warehouse.delete_empty_folders(f"{table_folder(table.name)}/{folder}")


def _compact(catalog: Catalog, backend: Backend, table: Table, outcome: TableMaintenance) -> None:
    """Rewrite the small files of each partition into one, and files from which another writer deleted rows."""
    current = catalog.snapshot(table.name)
    files = catalog.files(table.name)
    outcome.files_before = outcome.files_after = len(files.paths)
    # If another writer made the newest commit, leave it as it is for the next run to compare with.
    if current is None or current.metadata is None:
        return
    chosen = files_to_compact(data_file_sizes(catalog, table.name))
    if chosen:
        query = f"SELECT * FROM ({backend.scan(table, files.part(chosen))})"
        written = backend.write(table, query, catalog.data_folder(table))
        catalog.commit(table, Commit(written, chosen, current.metadata))
        outcome.merged = len(chosen)
        outcome.files_after = outcome.files_before - len(chosen) + len(written)
    elif count_empty_manifests(catalog, table.name) >= _MANY_EMPTY_MANIFESTS:
        # A commit without files merges the manifests.
        catalog.commit(table, Commit((), (), current.metadata))


def files_to_compact(files: Iterable[DataFileSize]) -> tuple[str, ...]:
    """Choose the files to rewrite: small ones in partitions with several, and those with deleted rows."""
    by_partition: dict[str, list[DataFileSize]] = defaultdict(list)
    for file in files:
        if file.bytes < SMALL_FILE_BYTES or file.has_deletes:
            by_partition[file.partition].append(file)
    chosen = (group for group in by_partition.values() if len(group) > 1 or group[0].has_deletes)
    return tuple(sorted(file.path for group in chosen for file in group))
