"""Remove people's rows from every snapshot of a table, so that time travel still works for everybody else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stedi.catalog import Catalog, CommitMetadata, Snapshot
from stedi.catalog.history import HistoryFile, LiveFile, data_files_of_all_snapshots
from stedi.catalog.history_rewrite import rewrite_history
from stedi.compute import Backend
from stedi.compute.surviving_rows import surviving_rows
from stedi.errors import WarehouseError
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.sql import columns
from stedi.model.table import Table
from stedi.privacy.certificate import RewrittenFile, RewrittenHistory
from stedi.privacy.erasure.search import Search


@dataclass(frozen=True)
class TableHistory:
    """Where a table's snapshots contain people's rows.

    Attributes:
        table: the table.
        snapshots: number of unexpired snapshots.
        files: the data files to replace.
        rows: the people's rows by file, where there are some.
    """

    table: Table
    snapshots: int
    files: tuple[HistoryFile, ...]
    rows: Mapping[LiveFile, int]

    @property
    def row_count(self) -> int:
        """The people's rows in all files. A row that several snapshots share counts once."""
        return sum(self.rows.values())

    @property
    def other_rows(self) -> int:
        """Rows of others in these files, which are rewritten."""
        return sum(file.rows for file in self.files) - self.row_count

    @property
    def snapshot_ids(self) -> set[int]:
        """IDs of the snapshots to rewrite."""
        return {snapshot_id for file in self.files for snapshot_id in file.snapshot_ids}


def find_history(
    catalog: Catalog, backend: Backend, table: Table, search: Search, *, without: int | None = None
) -> TableHistory:
    """Find the data files of all snapshots that contain people's rows.

    Args:
        catalog: the catalog.
        backend: reads the files.
        table: the table.
        search: how to find the rows.
        without: ID of a snapshot whose files need no search, because it was just computed without the people.
    """
    history = [file for file in data_files_of_all_snapshots(catalog, table.name) if without not in file.snapshot_ids]
    metadata = catalog.table_metadata(table.name)
    candidates = [file for file in history if search.column is None or file.may_contain(search.column, search.values)]
    counted = _count(backend, table, search.removal.condition, sorted({file.file.path for file in candidates}))
    rows = {file.file: counted[file.file.path] for file in candidates if counted[file.file.path]}
    chosen = {file.file for file in history if file.file in rows or file.bounds_contain(search.values)}
    files = _with_deletes(history, chosen)
    return TableHistory(table, len(metadata.snapshots) if metadata else 0, files, rows)


def _count(backend: Backend, table: Table, condition: str, paths: Sequence[str]) -> Mapping[str, int]:
    """Count the rows by file for which a condition is true, rows that another writer deleted included."""
    counts: dict[str, int] = defaultdict(int)
    if paths:
        scanned = backend.scan_with_filename(table, DataFiles(tuple(paths), is_part=True))
        query = f"SELECT filename, count(*) AS n FROM ({scanned}) AS r WHERE {condition} GROUP BY filename"
        counts.update({row["filename"]: row["n"] for row in backend.select(query)})
    return counts


def _with_deletes(history: Sequence[HistoryFile], chosen: set[LiveFile]) -> tuple[HistoryFile, ...]:
    """Add files with deletes, until each affected snapshot has all of them.

    A delete file may contain what was deleted, so a rewritten snapshot must not refer to any.
    """
    chosen = chosen | {file.file for file in history if file.file.equality_deletes}
    while True:
        affected = {snapshot_id for file in history if file.file in chosen for snapshot_id in file.snapshot_ids}
        added = {
            file.file for file in history if file.file.has_deletes and not affected.isdisjoint(file.snapshot_ids)
        } - chosen
        if not added:
            return tuple(file for file in history if file.file in chosen)
        chosen |= added


@dataclass(frozen=True)
class RewrittenTable:
    """The history of a table after a rewrite.

    Attributes:
        files: the replaced data files, with checksums of the rows of others before and after.
        history: what was done to the snapshots.
    """

    files: tuple[RewrittenFile, ...]
    history: RewrittenHistory


def rewrite(catalog: Catalog, backend: Backend, found: TableHistory, search: Search) -> RewrittenTable:
    """Replace the files of `find_history` by files without the people's rows, in all snapshots.

    Args:
        catalog: the catalog. The caller holds the write lock.
        backend: writes the files.
        found: the files to replace.
        search: as for `find_history`.

    Raises:
        WarehouseError: a row of somebody else would change. Nothing is changed.
    """
    table, files = found.table, []
    replacements: dict[LiveFile, Sequence[WrittenFile]] = {}
    for group in _groups(found.files):
        rows = " UNION ALL ".join(f"({surviving_rows(backend, catalog, table, file)})" for file in group)
        kept = search.removal.kept(rows)
        written = backend.write(table, kept, catalog.data_folder(table))
        new = backend.scan(table, DataFiles(tuple(file.path for file in written), is_part=True))
        before, after = _checksum(backend, table, kept), _checksum(backend, table, new)
        if before != after:
            raise WarehouseError(
                f"rows of other people in table {table.name} would change; nothing was changed there; run `stedi verify`"
            )
        name = catalog.warehouse.name_of(group[0].file.path)
        files.append(
            RewrittenFile(
                name if len(group) == 1 else f"{name} and {len(group) - 1} more",
                ", ".join(catalog.warehouse.name_of(file.path) for file in written) or None,
                sum(found.rows.get(file.file, 0) for file in group),
                sum(file.size for file in group),
                sum(file.bytes for file in written),
                before,
                after,
            )
        )
        replacements |= {file.file: () for file in group[1:]} | {group[0].file: written}
    result = rewrite_history(catalog, table.name, replacements, _with_rows)
    return RewrittenTable(tuple(files), RewrittenHistory(table.name, result.snapshots, len(result.expired)))


def _checksum(backend: Backend, table: Table, rows: str) -> str:
    """Return the number of rows and a checksum that does not depend on their order."""
    [row] = backend.select(f"SELECT count(*) AS n, {backend.checksum(columns(table))} AS checksum FROM ({rows}) AS r")
    return f"{row['n']} rows, {row['checksum']}"


def _with_rows(snapshot: Snapshot, rows: int) -> CommitMetadata:
    assert snapshot.metadata is not None
    return replace(snapshot.metadata, rows=rows)


def replace_side_files(catalog: Catalog, table: Table, replaced: Mapping[str, tuple[str, ...]]) -> None:
    """Let all snapshots of a landing table refer to new side files.

    Args:
        catalog: the catalog. The caller holds the write lock.
        table: the landing table.
        replaced: names of the new files, by the name of each old file.
    """

    def with_new_files(snapshot: Snapshot, rows: int) -> CommitMetadata:
        assert snapshot.metadata is not None
        before = snapshot.metadata
        return replace(
            before,
            ledger=replaced.get(before.ledger, (before.ledger,))[0] if before.ledger else None,
            rejects=tuple(new for name in before.rejects for new in replaced.get(name, (name,))),
        )

    rewrite_history(catalog, table.name, {}, with_new_files)


def _groups(files: Iterable[HistoryFile]) -> list[list[HistoryFile]]:
    """Group the files that the same snapshots contain in the same partition: new files can replace each group as a whole."""
    groups: dict[tuple[object, ...], list[HistoryFile]] = defaultdict(list)
    for file in files:
        groups[file.snapshot_ids, file.partition].append(file)
    return list(groups.values())
