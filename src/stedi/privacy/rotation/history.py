"""Remove old pseudonyms from what is not computed anew: old snapshots, manifests, rule results, the privacy log."""

import hmac
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime

from stedi.catalog import Catalog, Commit, CommitMetadata, Snapshot
from stedi.catalog.history_rewrite import rewrite_history
from stedi.catalog.run_log import expire_runs
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.errors import WarehouseError
from stedi.maintenance.orphan_files import DeletedFiles, delete_everything_unreferenced, expire_snapshots
from stedi.model.table import Table
from stedi.privacy.privacy_log import LOG_FOLDER, read_log, replace_pseudonyms
from stedi.privacy.rotation.pseudonyms import PseudonymMap, pseudonymous_tables
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.paths import table_folder
from stedi.tables.operations import rule_result

# Starts what replaces the pseudonym of a person of whom no landing table has a record.
_UNKNOWN = "unknown-"


def tables_with_history() -> tuple[Table, ...]:
    """Return the tables whose snapshots may contain pseudonyms: pseudonymous tables, and examples of rule violations."""
    return (*pseudonymous_tables(), rule_result.TABLE)


def check_references(catalog: Catalog) -> None:
    """Check that no branch and no tag of another program keeps old snapshots.

    Raises:
        WarehouseError: one does.
    """
    for table in tables_with_history():
        metadata = catalog.table_metadata(table.name)
        refs = catalog.iceberg.table(table.name, metadata).refs() if metadata else {}
        if others := len(refs.keys() - {"main"}):
            raise WarehouseError(
                f"table {table.name} has {others} branches or tags of another program, which keep snapshots with old "
                "pseudonyms; remove them, then start `stedi keys rotate` again"
            )


def remove_examples(catalog: Catalog, backend: Backend, run_id: str) -> None:
    """Remove the examples from all rule results. They contain pseudonyms of values that nobody has any longer.

    Args:
        catalog: the catalog.
        backend: reads and writes the rows.
        run_id: the run that the commit belongs to.
    """
    table = rule_result.TABLE
    current = catalog.snapshot(table.name)
    if current is None:
        return
    files = catalog.files(table.name)
    rows = backend.scan(table, files)
    if count_rows(backend, f"SELECT * FROM ({rows}) AS r WHERE examples IS NOT NULL") == 0:
        return
    kept = ", ".join("NULL AS examples" if name == "examples" else f'"{name}"' for name in table.column_names)
    written = backend.write(table, f"SELECT {kept} FROM ({rows}) AS r", catalog.data_folder(table))
    catalog.commit(table, Commit(written, files.paths, CommitMetadata(run_id, current.rows, run_id)))


def forget_old_runs(catalog: Catalog) -> None:
    """Expire all runs but the newest, and all snapshots with old pseudonyms. Can be repeated."""
    # First the runs, so that the run log never refers to an expired snapshot.
    expire_runs(catalog.warehouse, keep=1)
    for table in tables_with_history():
        if (current := catalog.snapshot(table.name)) is not None:
            expire_snapshots(catalog, table.name, {current.id})
            # The manifests of the current snapshot list removed files with their column bounds.
            rewrite_history(catalog, table.name, {}, _unchanged)


def _unchanged(snapshot: Snapshot, rows: int) -> CommitMetadata:
    assert snapshot.metadata is not None
    return replace(snapshot.metadata, rows=rows)


def delete_files(catalog: Catalog) -> DeletedFiles:
    """Delete all files of these tables that no snapshot refers to, and what the catalog's database keeps of them."""
    deleted = [delete_everything_unreferenced(catalog, table.name) for table in tables_with_history()]
    catalog.vacuum()
    return DeletedFiles(sum(files.files for files in deleted), sum(files.bytes for files in deleted))


@dataclass(frozen=True)
class OldObjects:
    """Old versions of objects: number of deleted and of locked ones, and the end of the longest lock, None if not known."""

    deleted: int = 0
    locked: int = 0
    locked_until: datetime | None = None


def delete_old_objects(warehouse: Warehouse) -> OldObjects:
    """Delete old versions of objects with pseudonyms, in a bucket that keeps versions. A folder has none."""
    found = OldObjects()
    if isinstance(warehouse, WarehouseFolder):
        return found
    # Needs the packages for S3.
    from stedi.storage.s3_versions import delete_old_versions

    for folder in (*(table_folder(table.name) for table in tables_with_history()), LOG_FOLDER):
        old = delete_old_versions(f"{warehouse.path(folder)}/")
        ends = [end for end in (found.locked_until, old.locked_until) if end]
        found = OldObjects(found.deleted + old.deleted, found.locked + old.locked, max(ends, default=None))
    return found


def rekey_log(warehouse: Warehouse, pseudonyms: PseudonymMap, subjects: Container[str], new_key: bytes) -> int:
    """Replace the old pseudonyms in the privacy log. Can be repeated.

    Args:
        warehouse: the warehouse.
        pseudonyms: old and new pseudonyms.
        subjects: keyed digests of erased people in the suppression list. They are not made with this key and stay.
        new_key: the new key. The pseudonym of an unknown person is replaced by a digest with it, so that entries about the
            same person stay equal.

    Returns:
        The number of entries that were changed.
    """
    logged = {entry.pseudonym for entry in read_log(warehouse).values()}
    others = {pseudonym for pseudonym in logged if pseudonym not in subjects and not pseudonym.startswith(_UNKNOWN)}
    known = pseudonyms.new_pseudonyms(others)
    new = {
        pseudonym: known.get(pseudonym) or f"{_UNKNOWN}{hmac.digest(new_key, pseudonym.encode(), 'sha256').hex()}"
        for pseudonym in others
    }
    return replace_pseudonyms(warehouse, {old: pseudonym for old, pseudonym in new.items() if old != pseudonym})


def count_old_pseudonyms(catalog: Catalog, backend: Backend, pseudonyms: PseudonymMap) -> int:
    """Count the rows of all pseudonymous tables that contain an old pseudonym."""
    return sum(
        pseudonyms.count_old(table, backend.scan(table, catalog.files(table.name)))
        for table in pseudonymous_tables()
        if catalog.snapshot(table.name) is not None
    )
