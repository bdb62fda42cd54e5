"""Side files of landing tables without erased people: quarantined records and ledgers of all snapshots."""

from collections.abc import Mapping
from dataclasses import replace

from stedi.catalog import Catalog
from stedi.compute.row_split import split_rows
from stedi.ingest import ledger
from stedi.ingest.ledger import LedgerEntry
from stedi.ingest.suppression import SuppressionList
from stedi.model.data_files import DataFiles
from stedi.model.table import Table
from stedi.privacy.erasure.file_names import name_screen, neutral_name
from stedi.privacy.erasure.search import quarantined_records, renaming
from stedi.privacy.lakehouse import Lakehouse
from stedi.storage.errors import translate_damage
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS


def rewrite_side_files(lakehouse: Lakehouse, table: Table, renamed: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Write the side files of a landing table anew that contain the people. The old ones stay until nothing refers to them.

    Args:
        lakehouse: the lakehouse. Its backend has the relations of `search.search`.
        table: the landing table.
        renamed: new names of landing files whose name contained an address, by their old names.

    Returns:
        The names of the new files, by the name of each old file that has to be replaced.
    """
    metadata = lakehouse.catalog.table_metadata(table.name)
    commits = [snapshot.metadata for snapshot in metadata.snapshots.values() if snapshot.metadata] if metadata else []
    replaced: dict[str, tuple[str, ...]] = {}
    for name in sorted({name for commit in commits for name in commit.rejects}):
        removal = renaming(quarantine.TABLE, quarantined_records(), renamed)
        path = lakehouse.catalog.side_path(name)
        split = split_rows(lakehouse.backend, quarantine.TABLE, DataFiles((path,), is_part=True), removal)
        if split.touched_files:
            folder = lakehouse.catalog.side_folder(table)
            written = lakehouse.backend.write(quarantine.TABLE, split.kept, folder)
            replaced[name] = tuple(lakehouse.catalog.keep_side_file(file.path) for file in written)
    for name in ledger_files(lakehouse.catalog, table):
        entries = read_ledger(lakehouse.catalog, table, name)
        if not renamed.keys().isdisjoint(entries):
            content = ledger.encode(replace(entry, name=renamed.get(entry.name, entry.name)) for entry in entries.values())
            replaced[name] = (lakehouse.catalog.write_side_file(table, "ledger", ".jsonl.zlib", content),)
    return replaced


def ledger_files(catalog: Catalog, table: Table) -> list[str]:
    """Return the names of the ledgers of all snapshots of a landing table."""
    metadata = catalog.table_metadata(table.name)
    snapshots = metadata.snapshots.values() if metadata else ()
    return sorted({snapshot.metadata.ledger for snapshot in snapshots if snapshot.metadata and snapshot.metadata.ledger})


def read_ledger(catalog: Catalog, table: Table, name: str) -> dict[str, LedgerEntry]:
    """Read one of the ledgers of a landing table.

    Raises:
        WarehouseError: it is damaged.
    """
    with translate_damage(f"ledger of {table.name}"):
        return ledger.decode(catalog.read_side_file(name))


def names_to_change(lakehouse: Lakehouse, suppression: SuppressionList, renamed: Mapping[str, str]) -> dict[str, str]:
    """Return a new name for each landing file in a ledger whose name is about one of the people.

    Args:
        lakehouse: the lakehouse.
        suppression: the suppression list.
        renamed: new names of the files that were renamed, by their old names. Files that are gone get neutral names.
    """
    is_theirs, catalog = name_screen(suppression), lakehouse.catalog
    tables = [feed.table for feed in FEEDS]
    names = {name for table in tables for file in ledger_files(catalog, table) for name in read_ledger(catalog, table, file)}
    gone = sorted(name for name in names - renamed.keys() if any(map(is_theirs, name.split("/"))))
    return {name: neutral_name(name, suppression) for name in gone} | dict(renamed)
