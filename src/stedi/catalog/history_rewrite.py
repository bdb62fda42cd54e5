"""Rewrite the history of a table, so that no snapshot contains certain rows and time travel still works.

Snapshots keep their IDs, parents, times and sequence numbers. Their manifest lists are new where a file was replaced. The
catalog's pointer is swapped last, so a killed rewrite leaves orphan files and changes nothing else.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyiceberg.table.metadata import TableMetadata as IcebergMetadata

from stedi.catalog import manifests
from stedi.catalog.catalog import Catalog
from stedi.catalog.data_file import as_data_file
from stedi.catalog.history import History, LiveFile, SnapshotFiles, is_delete_file, is_live
from stedi.catalog.manifests import AvroContent, Fields
from stedi.catalog.snapshot import METADATA_KEY, CommitMetadata, Snapshot
from stedi.errors import WarehouseError
from stedi.model.data_files import WrittenFile
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import plain_path

# The files that replace each data file. A file without other rows has none.
Replacements = Mapping[LiveFile, Sequence[WrittenFile]]
# Returns what to record in a snapshot of STEDI's, from the snapshot and the number of its rows after the rewrite.
NewCommitMetadata = Callable[[Snapshot, int], CommitMetadata]

# Parts of summary keys about delete files.
_ABOUT_DELETES = ("delete-files", "position-deletes", "equality-deletes", "-dvs")


@dataclass(frozen=True)
class HistoryRewrite:
    """What a rewrite changed.

    Attributes:
        snapshots: number of rewritten snapshots.
        expired: why a snapshot was expired instead, by snapshot ID.
        files_replaced: number of data files that others with the remaining rows replace.
        files_removed: number of data files without remaining rows.
        delete_files_removed: number of delete files.
        manifests: number of manifests written.
        is_changed: whether the table has new metadata.
    """

    snapshots: int = 0
    expired: Mapping[int, str] = field(default_factory=dict)
    files_replaced: int = 0
    files_removed: int = 0
    delete_files_removed: int = 0
    manifests: int = 0
    is_changed: bool = False


def rewrite_history(
    catalog: Catalog, name: str, replacements: Replacements, commit_metadata: NewCommitMetadata
) -> HistoryRewrite:
    """Replace data files in all snapshots of a table, also those of branches and tags.

    Call it for the files that `data_files_of_all_snapshots` returned for the same metadata. A file that no snapshot contains
    any longer is ignored, so the call can be repeated.

    Delete files of other writers may contain what was deleted. A snapshot whose files with deletes are all replaced has no
    delete files afterwards. If only some of these files are replaced, the snapshot is expired, with its branches and tags.

    Manifests also list removed files, with their column bounds. Such an entry is dropped if no snapshot contains the file.
    If anything changes, the table loses its statistics files and the log of its previous metadata files.

    Args:
        catalog: the catalog. The caller holds the write lock.
        name: the table.
        replacements: the files that replace each data file.
        commit_metadata: returns what to record in a snapshot of STEDI's. The version must stay.

    Raises:
        CommitConflictError: another writer committed to the table at the same time.
        WarehouseBusyError: another run took over the write lock.
        WarehouseError: a manifest is damaged, or the current snapshot can't be rewritten.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return HistoryRewrite()
    history = History(catalog, name, metadata)
    expired = _expire_incomplete(name, history, metadata.current_id, replacements)
    for files in replacements.values():
        for file in files:
            catalog.warehouse.sync(file.path)
    folder = metadata.location.rpartition("/")[0]
    rewriter = _Rewriter(history, replacements, catalog.iceberg.table(name, metadata).metadata, folder)
    snapshots = []
    for snapshot in history.snapshots.values():
        document, rows = rewriter.rewrite(snapshot)
        snapshots.append(_with_commit_metadata(document, rows, metadata.snapshots[snapshot.id], commit_metadata))
    if snapshots == (history.document.get("snapshots") or []):
        return HistoryRewrite()
    document = _without_snapshots(history.document, expired) | {"snapshots": snapshots, "metadata-log": []}
    document["last-updated-ms"] = max(document["last-updated-ms"], time.time_ns() // 1_000_000)
    for statistics in ("statistics", "partition-statistics"):
        document.pop(statistics, None)
    catalog.warehouse.confirm_write_lock()
    catalog.forget(name)
    catalog.iceberg.replace_metadata(name, metadata, json.dumps(document))
    return HistoryRewrite(
        rewriter.snapshots,
        expired,
        len(rewriter.replaced),
        len(rewriter.removed),
        len(rewriter.delete_files),
        rewriter.written,
        is_changed=True,
    )


def _expire_incomplete(name: str, history: History, current_id: int | None, replacements: Replacements) -> dict[int, str]:
    """Remove the snapshots that would be left with deletes or with a replaced data file. Return why, by snapshot ID."""
    replaced_paths = {file.path for file in replacements}
    expired = {}
    for snapshot in history.snapshots.values():
        files = [file for file, _ in snapshot.live_files]
        remaining = sum(file.has_deletes and file not in replacements for file in files)
        if remaining and any(file.path in replaced_paths for file in files):
            expired[snapshot.id] = f"deletes of another writer apply to {remaining:,} data files that were not replaced"
    if current_id in expired:
        raise WarehouseError(
            f"the history of table {name} can't be rewritten: in its current snapshot {expired[current_id]}; "
            "run `stedi run`, then try again"
        )
    for snapshot_id in expired:
        del history.snapshots[snapshot_id]
    return expired


def _without_snapshots(document: Mapping[str, Any], expired: Mapping[int, str]) -> dict[str, Any]:
    """Return a metadata document whose log and references contain no expired snapshot."""
    changed = {}
    if log := document.get("snapshot-log"):
        # By Iceberg's specification, entries before that of an expired snapshot are removed, too.
        end = max((number for number, entry in enumerate(log, start=1) if entry["snapshot-id"] in expired), default=0)
        changed["snapshot-log"] = log[end:]
    if refs := document.get("refs"):
        changed["refs"] = {name: ref for name, ref in refs.items() if ref["snapshot-id"] not in expired}
    return {**document, **changed}


def _with_commit_metadata(
    document: Mapping[str, Any], rows: int | None, before: Snapshot, commit_metadata: NewCommitMetadata
) -> Mapping[str, Any]:
    """Return a snapshot's document with new commit metadata, if STEDI made the commit.

    Args:
        document: the document.
        rows: number of rows; None if it is the same as before.
        before: the snapshot before.
        commit_metadata: see `rewrite_history`.
    """
    if before.metadata is None:
        return document
    metadata = commit_metadata(before, before.rows if rows is None else rows)
    if metadata == before.metadata:
        return document
    return {**document, "summary": {**document["summary"], METADATA_KEY: metadata.encode()}}


class _Rewriter:
    """Writes new manifests and manifest lists. A manifest that several snapshots share is written once.

    Attributes:
        snapshots: number of rewritten snapshots.
        written: number of new manifests.
        replaced: data files that others replace.
        removed: data files without remaining rows.
        delete_files: locations of delete files that are no longer listed.
    """

    def __init__(self, history: History, replacements: Replacements, metadata: IcebergMetadata, folder: str) -> None:
        self._history, self._metadata, self._folder = history, metadata, folder
        self._replacements = {file: tuple(new.path for new in files) for file, files in replacements.items()}
        self._new_files = {new.path: new for files in replacements.values() for new in files}
        self._live_files = {file for snapshot in history.snapshots.values() for file, _ in snapshot.live_files}
        # The new manifest, None if no entry remains, by the location of the old one, its first row ID, and the paths that
        # replace each entry.
        self._manifests: dict[tuple[str, int | None, tuple[tuple[str, ...] | None, ...]], Fields | None] = {}
        self.snapshots = self.written = 0
        self.replaced: set[str] = set()
        self.removed: set[str] = set()
        self.delete_files: set[str] = set()

    def rewrite(self, snapshot: SnapshotFiles) -> tuple[Mapping[str, Any], int | None]:
        """Write the manifests and the manifest list of a snapshot, if a file in it is replaced.

        Returns:
            The snapshot's document, and the number of its rows, None if that is the same as before.
        """
        loses_deletes = all(file in self._replacements for file, _ in snapshot.live_files if file.has_deletes)
        rewritten = (self._rewrite_manifest(snapshot, manifest, loses_deletes) for manifest in snapshot.manifests)
        kept = tuple(manifest for manifest in rewritten if manifest is not None)
        if kept == snapshot.manifests:
            return snapshot.document, None
        self.snapshots += 1
        location = f"{self._folder}/snap-{snapshot.id}-{own_uuid()}.avro"
        manifests.write_avro(self._history.io, location, "manifest_file", replace(snapshot.list, records=kept))
        # Read back: what can't be read must not become part of the table.
        after = SnapshotFiles(self._history, {**snapshot.document, "manifest-list": location})
        rows = sum(entry[manifests.DATA_FILE][manifests.RECORD_COUNT] for _, entry in after.live_files)
        return {**after.document, "summary": _summary(after)}, rows if loses_deletes else None

    def _rewrite_manifest(self, snapshot: SnapshotFiles, manifest: Fields, loses_deletes: bool) -> Fields | None:
        """Return a manifest with other files in place of replaced ones; None if no entry remains."""
        content = self._history.content(manifest)
        spec_id = manifest[manifests.SPEC_ID]
        paths = tuple(self._replacing(snapshot, entry, spec_id, loses_deletes) for entry in content.records)
        if all(new is None for new in paths):
            return manifest
        key = (manifest[manifests.MANIFEST_PATH], manifest.get(manifests.MANIFEST_FIRST_ROW_ID), paths)
        if key not in self._manifests:
            entries = tuple(
                new_entry
                for entry, new in zip(content.records, paths, strict=True)
                for new_entry in ([entry] if new is None else self._new_entries(entry, new))
            )
            self._manifests[key] = self._write(manifest, replace(content, records=entries)) if entries else None
        return self._manifests[key]

    def _replacing(
        self, snapshot: SnapshotFiles, entry: Fields, spec_id: int, loses_deletes: bool
    ) -> tuple[str, ...] | None:
        """Return the paths of the files that replace an entry's file; None if the entry stays."""
        if is_delete_file(entry):
            if loses_deletes and is_live(entry):
                self.delete_files.add(entry[manifests.DATA_FILE][manifests.FILE_PATH])
            return () if loses_deletes else None
        if is_live(entry):
            file = snapshot.live_file(entry, spec_id)
            paths = self._replacements.get(file)
            if paths is not None:
                (self.replaced if paths else self.removed).add(file.path)
            return paths
        # The entry of a removed file. The parent of the snapshot that removed it contains the file.
        path = plain_path(entry[manifests.DATA_FILE][manifests.FILE_PATH])
        parent = self._history.parent(entry[manifests.SNAPSHOT_ID])
        file = parent.live_file(entry, spec_id) if parent else LiveFile(path)
        return self._replacements.get(file, None if file in self._live_files else ())

    def _new_entries(self, entry: Fields, paths: Sequence[str]) -> Iterator[Fields]:
        """Yield an entry for each file that replaces an entry's file. Status, sequence numbers and partition stay."""
        old = entry[manifests.DATA_FILE]
        kept = {field_id: old.get(field_id) for field_id in (manifests.PARTITION, manifests.BLOCK_SIZE)}
        row_id = old.get(manifests.FIRST_ROW_ID)
        for path in paths:
            written = self._new_files[path]
            new = {**kept, **_described(written, self._metadata), manifests.FIRST_ROW_ID: row_id}
            row_id = None if row_id is None else row_id + written.rows
            yield {**entry, manifests.DATA_FILE: new}

    def _write(self, manifest: Fields, content: AvroContent) -> Fields:
        """Write a manifest. Return its record in manifest lists."""
        location = f"{self._folder}/{own_uuid()}-m0.avro"
        size = manifests.write_avro(self._history.io, location, "manifest_entry", content)
        self.written += 1
        place = {manifests.MANIFEST_PATH: location, manifests.MANIFEST_LENGTH: size}
        return {**manifests.summarized(manifest, content), **place}


def _described(written: WrittenFile, metadata: IcebergMetadata) -> Fields:
    """Describe a file as manifests do."""
    file = as_data_file(written, metadata)
    return {
        manifests.CONTENT: manifests.DATA,
        manifests.FILE_PATH: file.file_path,
        manifests.FILE_FORMAT: file.file_format.value,
        manifests.RECORD_COUNT: file.record_count,
        manifests.FILE_SIZE: file.file_size_in_bytes,
        manifests.COLUMN_SIZES: file.column_sizes,
        manifests.VALUE_COUNTS: file.value_counts,
        manifests.NULL_COUNTS: file.null_value_counts,
        manifests.NAN_COUNTS: file.nan_value_counts,
        manifests.LOWER_BOUNDS: file.lower_bounds,
        manifests.UPPER_BOUNDS: file.upper_bounds,
    }


def _summary(snapshot: SnapshotFiles) -> dict[str, str]:
    """Return the summary of a rewritten snapshot: its writer's, with new counts of files and rows."""
    own = [entry for entry, _ in snapshot.entries() if entry[manifests.SNAPSHOT_ID] == snapshot.id]
    counts = {
        **_counts([entry for _, entry in snapshot.live_files], "total-data-files", "total-records", "total-files-size"),
        **_counts(_with_status(own, manifests.ADDED), "added-data-files", "added-records", "added-files-size"),
        **_counts(_with_status(own, manifests.DELETED), "deleted-data-files", "deleted-records", "removed-files-size"),
    }
    summary: dict[str, str] = {}
    for key, value in (snapshot.document.get("summary") or {}).items():
        if not snapshot.has_deletes and any(part in key for part in _ABOUT_DELETES):
            summary |= {key: "0"} if key.startswith("total-") else {}
        # A summary of one partition contains the partition's values.
        elif not key.startswith("partitions."):
            summary[key] = str(counts.get(key, value))
    return summary


def _with_status(entries: Sequence[Fields], status: int) -> list[Fields]:
    return [entry for entry in entries if entry[manifests.STATUS] == status and not is_delete_file(entry)]


def _counts(entries: Sequence[Fields], files: str, rows: str, size: str) -> dict[str, int]:
    """Return number, rows and bytes of data files, under these names."""
    data_files = [entry[manifests.DATA_FILE] for entry in entries]
    return {
        files: len(data_files),
        rows: sum(file[manifests.RECORD_COUNT] for file in data_files),
        size: sum(file[manifests.FILE_SIZE] for file in data_files),
    }
