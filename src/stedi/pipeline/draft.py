"""Store of a run's tables: the catalog, or a temporary draft on top of it."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from stedi.catalog import Catalog, Commit, CommitMetadata, Snapshot
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.table import Table
from stedi.tables.registry import REFRESHED


class Store(Protocol):
    """The part of a catalog that a run needs. `stedi.catalog.Catalog` and `Draft` implement it.

    Side files belong to a commit and are not data files of the table: ledgers and quarantined records. Their names are
    recorded in the commit metadata.
    """

    def snapshot(self, name: str) -> Snapshot | None:
        """The current snapshot of a table, or None if there is none."""

    def latest_metadata(self, name: str) -> CommitMetadata | None:
        """The metadata of STEDI's newest commit of a table, or None if there is none."""

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        """The newest snapshot with this version of the rows, or None if all such snapshots expired."""

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        """The files of a table at a snapshot, by default the current one."""

    def data_folder(self, table: Table) -> str:
        """The path of the folder for the table's data files."""

    def side_path(self, name: str) -> str:
        """The path of a side file by its recorded name."""

    def read_side_file(self, name: str) -> bytes:
        """The content of a side file by its recorded name."""

    def write_side_file(self, table: Table, prefix: str, suffix: str, content: bytes) -> str:
        """Write a side file; returns the name to record."""

    def side_folder(self, table: Table) -> str:
        """The path of the folder for the table's side files."""

    def keep_side_file(self, path: str) -> str:
        """Make a side file durable that an engine wrote; returns the name to record."""

    def discard(self, written: Iterable[WrittenFile]) -> None:
        """Remove data files that will not be committed."""

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        """Commit a change of a table; returns the new snapshot."""


def default_tables(store: Store) -> tuple[Table, ...]:
    """The tables that a run without a selection refreshes: all, except on-demand tables that no run has selected yet."""
    return tuple(table for table in REFRESHED if not table.on_demand or store.snapshot(table.name))


class Draft(Store):
    """A store whose commits are kept in memory and whose files are in a temporary folder.

    Dry runs plan with it, and verification rebuilds tables in it.
    """

    def __init__(self, catalog: Catalog | None, folder: Path, *, rebuild: Sequence[str] = ()) -> None:
        """Start an empty draft.

        Args:
            catalog: the catalog to read tables from that the draft has not committed; None for a new warehouse.
            folder: folder for the files that the draft writes.
            rebuild: tables to treat as missing, so that they are computed again.
        """
        self._catalog, self._folder, self._rebuild = catalog, folder, frozenset(rebuild)
        self._snapshots: dict[str, Snapshot] = {}
        self._files: dict[str, DataFiles] = {}

    @override
    def snapshot(self, name: str) -> Snapshot | None:
        return self._snapshots.get(name) or next(self._history(name), None)

    @override
    def latest_metadata(self, name: str) -> CommitMetadata | None:
        if drafted := self._snapshots.get(name):
            return drafted.metadata
        return next((snapshot.metadata for snapshot in self._history(name) if snapshot.metadata), None)

    @override
    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        drafted = self._snapshots.get(name)
        if drafted and drafted.version == version:
            return drafted
        return next((s for s in self._history(name) if s.version == version), None)

    def _history(self, name: str) -> Iterator[Snapshot]:
        if self._catalog is not None and name not in self._rebuild:
            yield from self._catalog.history(name)

    @override
    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        drafted = self._snapshots.get(name)
        if drafted and snapshot_id in (None, drafted.id):
            return self._files[name]
        if self._catalog is None or name in self._rebuild:
            return DataFiles()
        return self._catalog.files(name, snapshot_id)

    @override
    def data_folder(self, table: Table) -> str:
        return self._create_folder(table, "data")

    @override
    def side_folder(self, table: Table) -> str:
        return self._create_folder(table, "metadata")

    def _create_folder(self, table: Table, kind: str) -> str:
        folder = self._folder / table.name / kind
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @override
    def write_side_file(self, table: Table, prefix: str, suffix: str, content: bytes) -> str:
        path = Path(self.side_folder(table), f"{prefix}-{uuid.uuid4()}{suffix}")
        path.write_bytes(content)
        return str(path)

    @override
    def keep_side_file(self, path: str) -> str:
        return path

    @override
    def side_path(self, name: str) -> str:
        if self._catalog is None or Path(name).is_absolute():
            return name
        return self._catalog.side_path(name)

    @override
    def read_side_file(self, name: str) -> bytes:
        if self._catalog is None or Path(name).is_absolute():
            return Path(name).read_bytes()
        return self._catalog.read_side_file(name)

    @override
    def discard(self, written: Iterable[WrittenFile]) -> None:
        for file in written:
            Path(file.path).unlink()

    @override
    def commit(self, table: Table, commit: Commit) -> Snapshot:
        before, files = self.snapshot(table.name), self.files(table.name)
        removed, added = set(commit.removed), (written.path for written in commit.added)
        self._files[table.name] = DataFiles((*(p for p in files.paths if p not in removed), *added), files.deletes)
        drafted = Snapshot.of_draft(before, commit.metadata_after(before), datetime.now(UTC))
        self._snapshots[table.name] = drafted
        return drafted
