"""Side files of landing tables without erased people: quarantined records and ledgers of all snapshots."""

from collections.abc import Mapping
from dataclasses import replace

from stedi.compute.row_split import split_rows
from stedi.ingest import ledger
from stedi.ingest.suppression import SuppressionList
from stedi.model.data_files import DataFiles
from stedi.model.table import Table
from stedi.privacy.erasure.lakehouse import Lakehouse
from stedi.privacy.erasure.landing import name_screen
from stedi.privacy.erasure.search import quarantined_records, renaming
from stedi.storage.errors import translate_damage
from stedi.tables.landing import quarantine


def rewrite_side_files(
    lakehouse: Lakehouse, table: Table, suppression: SuppressionList, renamed: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Write the side files of a landing table anew that contain the people. The old ones stay until nothing refers to them.

    Args:
        lakehouse: the lakehouse. Its backend has the relations of `search.search`.
        table: the landing table.
        suppression: the suppression list.
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
    for name in sorted({commit.ledger for commit in commits if commit.ledger}):
        if (content := _new_ledger(lakehouse, table, name, suppression, renamed)) is not None:
            replaced[name] = (lakehouse.catalog.write_side_file(table, "ledger", ".jsonl.zlib", content),)
    return replaced


def _new_ledger(
    lakehouse: Lakehouse, table: Table, name: str, suppression: SuppressionList, renamed: Mapping[str, str]
) -> bytes | None:
    """Return a ledger without names of files that name a person; None if there are none."""
    is_theirs = name_screen(suppression)
    with translate_damage(f"ledger of {table.name}"):
        entries = ledger.decode(lakehouse.catalog.read_side_file(name))
    kept = [
        replace(entry, name=renamed.get(entry.name, entry.name))
        for entry in entries.values()
        if entry.name in renamed or not any(map(is_theirs, entry.name.split("/")))
    ]
    return None if kept == list(entries.values()) else ledger.encode(kept)
