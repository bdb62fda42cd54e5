"""Where a run finds and puts tables: the catalog itself, or a draft on top of it that is thrown away."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from stedi.catalog import Catalog, Commit, Snapshot
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.table import Table
from stedi.tables.registry import REFRESHED


class Store(Protocol):
    """The part of a catalog that the steps of a run use; see `stedi.catalog.Catalog`."""

    def snapshot(self, name: str) -> Snapshot | None: ...
    def latest_mark(self, name: str) -> Snapshot | None: ...
    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None: ...
    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles: ...
    def data_folder(self, table: Table) -> str: ...
    def side_path(self, name: str) -> str: ...
    def read_side_file(self, name: str) -> bytes: ...
    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str: ...
    def side_folder(self, table: Table) -> str: ...
    def keep_side_file(self, path: str) -> str: ...
    def discard(self, written: Iterable[WrittenFile]) -> None: ...
    def commit(self, table: Table, commit: Commit) -> Snapshot: ...


def kept(store: Store) -> tuple[Table, ...]:
    """What a run keeps current where it is not told: all tables but those on demand that nobody asked for yet."""
    return tuple(table for table in REFRESHED if not table.on_demand or store.snapshot(table.name))


class Draft:
    """A store in which commits change nothing but this draft: for plans, and to build tables for comparison.

    Files go to a folder of the caller's. Tables named in `rebuild` look as if they had never been made.
    """

    def __init__(self, catalog: Catalog | None, folder: Path, *, rebuild: Sequence[str] = ()) -> None:
        self._catalog, self._folder, self._rebuild = catalog, folder, frozenset(rebuild)
        self._snapshots: dict[str, Snapshot] = {}
        self._files: dict[str, DataFiles] = {}

    def snapshot(self, name: str) -> Snapshot | None:
        return self._snapshots.get(name) or next(self._history(name), None)

    def latest_mark(self, name: str) -> Snapshot | None:
        return self._snapshots.get(name) or next((s for s in self._history(name) if s.is_ours), None)

    def snapshot_of_version(self, name: str, version: str) -> Snapshot | None:
        drafted = self._snapshots.get(name)
        if drafted and drafted.version == version:
            return drafted
        return next((s for s in self._history(name) if s.version == version), None)

    def _history(self, name: str) -> Iterator[Snapshot]:
        if self._catalog is not None and name not in self._rebuild:
            yield from self._catalog.history(name)

    def files(self, name: str, snapshot_id: int | None = None) -> DataFiles:
        drafted = self._snapshots.get(name)
        if drafted and snapshot_id in (None, drafted.id):
            return self._files[name]
        if self._catalog is None or name in self._rebuild:
            return DataFiles()
        return self._catalog.files(name, snapshot_id)

    def data_folder(self, table: Table) -> str:
        return self._made(table, "data")

    def side_folder(self, table: Table) -> str:
        return self._made(table, "metadata")

    def _made(self, table: Table, kind: str) -> str:
        folder = self._folder / table.name / kind
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def write_side_file(self, table: Table, kind: str, suffix: str, content: bytes) -> str:
        path = Path(self.side_folder(table), f"{kind}-{uuid.uuid4()}{suffix}")
        path.write_bytes(content)
        return str(path)

    def keep_side_file(self, path: str) -> str:
        return path

    def side_path(self, name: str) -> str:
        if self._catalog is None or Path(name).is_absolute():
            return name
        return self._catalog.side_path(name)

    def read_side_file(self, name: str) -> bytes:
        if self._catalog is None or Path(name).is_absolute():
            return Path(name).read_bytes()
        return self._catalog.read_side_file(name)

    def discard(self, written: Iterable[WrittenFile]) -> None:
        for file in written:
            Path(file.path).unlink()

    def commit(self, table: Table, commit: Commit) -> Snapshot:
        before, files = self.snapshot(table.name), self.files(table.name)
        gone, added = set(commit.removed), (written.path for written in commit.added)
        self._files[table.name] = DataFiles((*(p for p in files.paths if p not in gone), *added), files.deletes)
        drafted = Snapshot.of_draft(before, commit.recorded(before), datetime.now(UTC))
        self._snapshots[table.name] = drafted
        return drafted
