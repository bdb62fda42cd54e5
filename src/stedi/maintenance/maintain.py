"""Upkeep of a warehouse: merge small files, forget old runs, remove files that nothing names.

Every step is one commit or one removal, so it can die anywhere and be run again.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from stedi.catalog import Catalog, Commit
from stedi.catalog.file_statistics import DataFileSize, count_empty_manifests, data_file_sizes
from stedi.catalog.run_log import expire_runs, latest_run, read_runs, update_latest_run
from stedi.compute import Engine
from stedi.compute.start import start_engine
from stedi.config import Settings
from stedi.maintenance.expiry import expire, unnamed_files
from stedi.model.table import Table
from stedi.storage import open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.storage.own_files import is_own
from stedi.storage.paths import DATA, METADATA, table_folder
from stedi.tables.registry import ALL

# Merging a file four times smaller than what readers like best costs little and helps them.
SMALL_FILE_BYTES = 64 * 2**20
# Iceberg merges manifests from five on (`commit.manifest.min-count-to-merge`).
_MANY_EMPTY_MANIFESTS = 5
# Files of other writers may wait for their commit for hours; Spark's own tools wait three days.
_GRACE_SECONDS = 24 * 3600


@dataclass
class TableUpkeep:
    """What was done for one table."""

    files_before: int = 0
    files_after: int = 0
    merged: int = 0
    snapshots_expired: int = 0
    files_removed: int = 0
    bytes_removed: int = 0


@dataclass
class UpkeepReport:
    """What `maintain` did, by table."""

    tables: dict[str, TableUpkeep] = field(default_factory=dict)
    runs_forgotten: int = 0
    seconds: float = 0.0


def maintain(settings: Settings, *, progress: Callable[[str], None] = lambda _: None) -> UpkeepReport:
    """Do all upkeep of a warehouse while no run is at work.

    Raises:
        WarehouseBusyError: a run is at work.
        WarehouseError: there is no warehouse, or it can't be written.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with Catalog(warehouse):
        pass
    with (
        warehouse.sole_writer(),
        translate_storage_errors(f"warehouse {warehouse} can't be written"),
        Catalog(warehouse) as catalog,
        warehouse.scratch() as scratch,
        start_engine(settings, warehouse, scratch) as engine,
    ):
        return run_maintenance(catalog, engine, settings.keep_runs, progress)


def run_maintenance(catalog: Catalog, engine: Engine, keep_runs: int, progress: Callable[[str], None]) -> UpkeepReport:
    """Do all upkeep; the caller holds the warehouse for writing.

    Files that merging replaces stay for the readers of the moment, until the next upkeep.
    """
    started = time.monotonic()
    report = UpkeepReport({table.name: TableUpkeep() for table in ALL})
    report.runs_forgotten = expire_runs(catalog.warehouse, keep=keep_runs)
    keep = _snapshots_to_keep(catalog)
    for table in ALL:
        progress(f"{table.name}: old snapshots and unnamed files")
        done = report.tables[table.name]
        done.snapshots_expired = expire(catalog, table.name, keep[table.name])
        _remove_unnamed(catalog, table, done)
    for table in ALL:
        progress(f"{table.name}: small files")
        _merge(catalog, engine, table, report.tables[table.name])
    _publish(catalog)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _publish(catalog: Catalog) -> None:
    """Let readers of the newest run read the merged files, where these hold that run's rows."""
    run = latest_run(catalog.warehouse)
    if run is None:
        return
    snapshots = dict(run.snapshots)
    for name, snapshot_id in run.snapshots.items():
        current = catalog.snapshot(name)
        seen = next((snapshot for snapshot in catalog.history(name) if snapshot.id == snapshot_id), None)
        if current and seen and current.version == seen.version:
            snapshots[name] = current.id
    if snapshots != run.snapshots:
        update_latest_run(catalog.warehouse, snapshots)


def _snapshots_to_keep(catalog: Catalog) -> dict[str, set[int]]:
    """The snapshots that finished runs name, that say how far tables have come, or that changes are told from."""
    keep: dict[str, set[int]] = defaultdict(set)
    for run in read_runs(catalog.warehouse):
        for name, snapshot_id in run.snapshots.items():
            keep[name].add(snapshot_id)
    for table in ALL:
        ours = catalog.latest_own_snapshot(table.name)
        if ours is None or ours.metadata is None:
            continue
        keep[table.name].add(ours.id)
        for name, version in (ours.metadata.fingerprint.inputs if ours.metadata.fingerprint else {}).items():
            if version is not None and (seen := catalog.snapshot_of_version(name, version)):
                keep[name].add(seen.id)
    return keep


def _remove_unnamed(catalog: Catalog, table: Table, done: TableUpkeep) -> None:
    now, warehouse = time.time(), catalog.warehouse
    for file in unnamed_files(catalog, table.name):
        # Nobody of us is at work, which is sure only where a lock can't outlive its holder's grip.
        is_left_behind = warehouse.hold_ends_with_process and is_own(file.name)
        if not is_left_behind and now - file.modified < _GRACE_SECONDS:
            continue
        warehouse.confirm_hold()
        warehouse.remove(file.name)
        done.files_removed += 1
        done.bytes_removed += file.bytes
    for folder in (DATA, METADATA):
        warehouse.remove_empty_folders(f"{table_folder(table.name)}/{folder}")


def _merge(catalog: Catalog, engine: Engine, table: Table, done: TableUpkeep) -> None:
    """Rewrite the small files of each partition as one, and files from which other writers deleted rows."""
    current = catalog.snapshot(table.name)
    files = catalog.files(table.name)
    done.files_before = done.files_after = len(files.paths)
    # What another writer changed, the next run has to see as it is.
    if current is None or current.metadata is None:
        return
    chosen = to_merge(data_file_sizes(catalog, table.name))
    if not chosen:
        if count_empty_manifests(catalog, table.name) >= _MANY_EMPTY_MANIFESTS:
            # A commit that adds nothing and removes nothing merges the manifests.
            catalog.commit(table, Commit((), (), current.metadata))
        return
    query = f"SELECT * FROM ({engine.rows_of(table, files.part(chosen))})"
    written = engine.write(table, query, catalog.data_folder(table))
    catalog.commit(table, Commit(written, chosen, current.metadata))
    done.merged = len(chosen)
    done.files_after = done.files_before - len(chosen) + len(written)


def to_merge(files: list[DataFileSize]) -> tuple[str, ...]:
    """Which files to write anew: the small ones where a partition has several, and those with deleted rows."""
    by_partition: dict[str, list[DataFileSize]] = defaultdict(list)
    for file in files:
        if file.bytes < SMALL_FILE_BYTES or file.has_deletes:
            by_partition[file.partition].append(file)
    worth_it = (group for group in by_partition.values() if len(group) > 1 or group[0].has_deletes)
    return tuple(sorted(file.path for group in worth_it for file in group))
