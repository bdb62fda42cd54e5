"""The data files of all snapshots of a table, each with the deletes that apply to it."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stedi.catalog import manifests
from stedi.catalog.catalog import Catalog
from stedi.catalog.manifests import AvroContent, Fields
from stedi.catalog.metadata import TableMetadata
from stedi.catalog.value_search import bounds_admit
from stedi.storage.errors import translate_damage
from stedi.storage.paths import plain_path

# Field ID of the path in a position-delete file (Iceberg's specification, "Reserved Field IDs").
_DELETED_PATH = 2147483546
# Iceberg's writers cut text bounds after 16 characters, so longer values have at least this start in a bound. The last
# character of a cut upper bound is raised.
_MIN_START_BYTES = 15


@dataclass(frozen=True)
class EqualityDeletes:
    """An equality-delete file: the rows that equal one of its rows in some columns are deleted.

    Attributes:
        path: its path.
        columns: the names of these columns.
    """

    path: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class LiveFile:
    """A data file as a snapshot contains it: with the delete files of other writers that apply to it there.

    Snapshots that share a data file may have different deletes.

    Attributes:
        path: path of the data file.
        position_deletes: paths of the position-delete files, and of the Puffin files with deletion vectors.
        equality_deletes: the equality-delete files.
    """

    path: str
    position_deletes: tuple[str, ...] = ()
    equality_deletes: tuple[EqualityDeletes, ...] = ()

    @property
    def has_deletes(self) -> bool:
        """Whether rows of the file are deleted."""
        return bool(self.position_deletes or self.equality_deletes)


@dataclass(frozen=True)
class HistoryFile:
    """A data file of a table's history.

    Attributes:
        file: the data file and its deletes.
        rows: number of rows, deleted ones included.
        size: size in bytes.
        partition: the values of the partition's fields.
        snapshot_ids: IDs of the snapshots that contain it with these deletes.
        bounds: lower and upper bound by column, encoded as in Iceberg's metadata. A column that the table no longer has is
            called by its field ID.
    """

    file: LiveFile
    rows: int
    size: int
    partition: tuple[Any, ...]
    snapshot_ids: tuple[int, ...]
    bounds: Mapping[str, tuple[bytes | None, bytes | None]] = field(repr=False)

    def may_contain(self, column: str, values: Sequence[str]) -> bool:
        """Whether the bounds of a text column admit one of some values."""
        lower, upper = self.bounds.get(column, (None, None))
        return bounds_admit(lower, upper, sorted(value.encode() for value in values))

    def bounds_contain(self, values: Sequence[str]) -> bool:
        """Whether a bound literally contains one of some values, or the start that remains of a longer one.

        The bounds of other writers may be wider than the rows, so that a value remains in them after its rows were deleted.
        """
        encoded = [value.encode() for value in values if value]
        bounds = [bound for pair in self.bounds.values() for bound in pair if bound]
        return any(value in bound or _is_start(bound, value) for bound in bounds for value in encoded)


def _is_start(bound: bytes, value: bytes) -> bool:
    start = bound[:-1]
    return len(start) >= _MIN_START_BYTES and value.startswith(start)


@dataclass(frozen=True)
class _Delete:
    """A delete file in a manifest, with the partition spec of the manifest."""

    entry: Fields
    spec_id: int

    @property
    def file(self) -> Fields:
        file: Fields = self.entry[manifests.DATA_FILE]
        return file

    @property
    def path(self) -> str:
        return plain_path(self.file[manifests.FILE_PATH])

    @property
    def is_equality(self) -> bool:
        return bool(self.file[manifests.CONTENT] == manifests.EQUALITY_DELETES)

    @property
    def partition(self) -> tuple[Any, ...] | None:
        """The partition whose files it may apply to; None if it may apply to all."""
        if self.is_equality and not self.file[manifests.PARTITION]:
            return None
        return _partition(self.spec_id, self.file)

    def applies_to(self, entry: Fields) -> bool:
        """Whether it applies to a data file of its partition (Iceberg's specification, "Scan Planning")."""
        written, deleted = entry[manifests.SEQUENCE_NUMBER], self.entry[manifests.SEQUENCE_NUMBER]
        if self.is_equality:
            return bool(written < deleted)
        if written > deleted:
            return False
        location = entry[manifests.DATA_FILE][manifests.FILE_PATH]
        if referenced := self.file.get(manifests.REFERENCED_DATA_FILE):
            return plain_path(referenced) == plain_path(location)
        lower, upper = (
            (self.file.get(field_id) or {}).get(_DELETED_PATH)
            for field_id in (manifests.LOWER_BOUNDS, manifests.UPPER_BOUNDS)
        )
        return bounds_admit(lower, upper, [location.encode()])


def _partition(spec_id: int, file: Fields) -> tuple[Any, ...]:
    return (spec_id, *file[manifests.PARTITION].items())


class SnapshotFiles:
    """The files of one snapshot.

    Attributes:
        document: the snapshot in the table's metadata file.
        list: its manifest list.
    """

    def __init__(self, history: "History", document: Mapping[str, Any]) -> None:
        self._history = history
        self.document = document
        self.list = manifests.read_avro(history.io, document["manifest-list"])

    @property
    def id(self) -> int:
        """The snapshot's ID."""
        snapshot_id: int = self.document["snapshot-id"]
        return snapshot_id

    @property
    def manifests(self) -> tuple[Fields, ...]:
        """The manifests, as the manifest list describes them."""
        return self.list.records

    def entries(self) -> Iterator[tuple[Fields, int]]:
        """Yield the entries of the manifests, and the partition spec of each. Removed files have entries, too."""
        for manifest in self.manifests:
            for entry in self._history.content(manifest).records:
                yield entry, manifest[manifests.SPEC_ID]

    @cached_property
    def live_files(self) -> tuple[tuple[LiveFile, Fields], ...]:
        """The data files, and their entries in the manifests."""
        return tuple(
            (self.live_file(entry, spec_id), entry)
            for entry, spec_id in self.entries()
            if is_live(entry) and not is_delete_file(entry)
        )

    @property
    def has_deletes(self) -> bool:
        """Whether the snapshot has delete files."""
        return bool(self._deletes)

    def live_file(self, entry: Fields, spec_id: int) -> LiveFile:
        """Return a data file with the deletes of this snapshot.

        Args:
            entry: the file's entry in a manifest.
            spec_id: the manifest's partition spec.
        """
        file = entry[manifests.DATA_FILE]
        path = plain_path(file[manifests.FILE_PATH])
        if not self._deletes:
            return LiveFile(path)
        deletes = [
            delete
            for partition in (None, _partition(spec_id, file))
            for delete in self._deletes.get(partition, ())
            if delete.applies_to(entry)
        ]
        return LiveFile(
            path,
            tuple(sorted({delete.path for delete in deletes if not delete.is_equality})),
            tuple(
                EqualityDeletes(delete.path, tuple(map(self._history.column, delete.file[manifests.EQUALITY_IDS])))
                for delete in sorted(deletes, key=lambda delete: delete.path)
                if delete.is_equality
            ),
        )

    @cached_property
    def _deletes(self) -> Mapping[tuple[Any, ...] | None, Sequence[_Delete]]:
        """The delete files by partition."""
        deletes = defaultdict(list)
        for entry, spec_id in self.entries():
            if is_live(entry) and is_delete_file(entry):
                delete = _Delete(entry, spec_id)
                deletes[delete.partition].append(delete)
        return deletes


def is_live(entry: Fields) -> bool:
    """Whether the file of a manifest's entry is in the table. Manifests list removed files, too."""
    return bool(entry[manifests.STATUS] != manifests.DELETED)


def is_delete_file(entry: Fields) -> bool:
    """Whether an entry's file contains deletes. The file decides: PyIceberg lists such files in manifests of data files."""
    return bool(entry[manifests.DATA_FILE].get(manifests.CONTENT))


class History:
    """The snapshots of a table with their files. Each manifest is read once.

    Attributes:
        document: the JSON document of the table's metadata file.
        io: PyIceberg's access to files.
        snapshots: the unexpired snapshots by ID, also those of branches and tags.
    """

    def __init__(self, catalog: Catalog, name: str, metadata: TableMetadata) -> None:
        """Read the manifest lists.

        Raises:
            WarehouseError: a file is damaged.
        """
        iceberg = catalog.iceberg.table(name, metadata)
        self.document: dict[str, Any] = json.loads(metadata.text)
        self.io = iceberg.io
        self._name = name
        self._columns = {field.field_id: field.name for field in iceberg.schema().fields}
        # By location and first row ID: an upgrade to format version 3 gives IDs to the rows of manifests that exist.
        self._contents: dict[tuple[str, int | None], AvroContent] = {}
        with translate_damage(f"file list of {name}"):
            self.snapshots = {
                entry["snapshot-id"]: SnapshotFiles(self, entry) for entry in self.document.get("snapshots") or ()
            }

    def parent(self, snapshot_id: int) -> SnapshotFiles | None:
        """Return the parent of a snapshot, None if either has expired."""
        snapshot = self.snapshots.get(snapshot_id)
        return self.snapshots.get(snapshot.document.get("parent-snapshot-id") or 0) if snapshot else None

    def column(self, field_id: int) -> str:
        """Return the name of a column, or its field ID as text if the table no longer has it."""
        return self._columns.get(field_id) or str(field_id)

    def content(self, manifest: Fields) -> AvroContent:
        """Return the content of a manifest.

        Raises:
            WarehouseError: it is damaged.
        """
        key = (manifest[manifests.MANIFEST_PATH], manifest.get(manifests.MANIFEST_FIRST_ROW_ID))
        if key not in self._contents:
            with translate_damage(f"file list of {self._name}"):
                self._contents[key] = manifests.read_manifest(self.io, manifest)
        return self._contents[key]


def data_files_of_all_snapshots(catalog: Catalog, name: str) -> list[HistoryFile]:
    """Return the data files of all unexpired snapshots of a table, also of branches and tags.

    A data file that snapshots contain with different deletes is listed once for each.

    Args:
        catalog: the catalog.
        name: the table.

    Raises:
        WarehouseError: a manifest is damaged.
    """
    metadata = catalog.table_metadata(name)
    if metadata is None:
        return []
    history = History(catalog, name, metadata)
    entries: dict[LiveFile, Fields] = {}
    snapshot_ids: dict[LiveFile, list[int]] = defaultdict(list)
    for snapshot_id, snapshot in history.snapshots.items():
        for file, entry in snapshot.live_files:
            entries[file] = entry[manifests.DATA_FILE]
            snapshot_ids[file].append(snapshot_id)
    return [
        HistoryFile(
            file,
            fields[manifests.RECORD_COUNT],
            fields[manifests.FILE_SIZE],
            tuple(fields[manifests.PARTITION].values()),
            tuple(dict.fromkeys(snapshot_ids[file])),
            _bounds(history, fields),
        )
        for file, fields in entries.items()
    ]


def _bounds(history: History, file: Fields) -> dict[str, tuple[bytes | None, bytes | None]]:
    lower, upper = file.get(manifests.LOWER_BOUNDS) or {}, file.get(manifests.UPPER_BOUNDS) or {}
    return {history.column(field_id): (lower.get(field_id), upper.get(field_id)) for field_id in lower | upper}
