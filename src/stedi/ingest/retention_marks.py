"""Retention marks: which old records of people without consent are refused, after retention has removed them.

Without a mark, an old record with consent that arrives after the withdrawal was removed would let the person in. Marks are
rows of Parquet files in the privacy folder, which the engine reads, and a small file that lists them. A run without new
files reads the small one alone.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from stedi.errors import WarehouseError
from stedi.model.data_files import DataFiles, WrittenFile
from stedi.model.table import Column, Table
from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors

# Folder of the Parquet files in the privacy folder, and the file that lists them.
FOLDER = "suppression/retention"
LIST_FILE = "suppression/retention.json"
# Journal of an unfinished retention, in the privacy folder.
JOURNAL = "retention.json"
# Kinds of marks: all records of a person, only the readings of their phone, readings of a device.
PERSON, PHONE, DEVICE = "person", "phone", "device"

TABLE = Table(
    name="retention_mark",
    zone="operations",
    meaning="times of which records are refused, because retention removed older ones",
    grain="one person or one period of a device",
    key=("kind", "digest", "from_ms"),
    columns=(
        Column("kind", "string", "person (all records), phone (its readings alone) or device", required=True),
        Column("digest", "string", "keyed digest of the address or serial number", required=True),
        Column("from_ms", "long", "records from this time on are refused (ms since the epoch, UTC)", required=True),
        Column("to_ms", "long", "up to this time, excluded (ms since the epoch, UTC)", required=True),
    ),
    sort=("kind", "digest", "from_ms"),
)


@dataclass(frozen=True)
class MarkFile:
    """A Parquet file of marks: its name in the privacy folder, and its SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True)
class RetentionMarks:
    """All marks.

    Attributes:
        storage: the privacy folder.
        key_id: identifies the suppression key of the digests.
        number: how many times the marks were replaced. A warehouse records it, so that older marks are noticed.
        people: number of people with marks.
        files: the Parquet files.
    """

    storage: Warehouse
    key_id: str
    number: int
    people: int
    files: tuple[MarkFile, ...]

    @cached_property
    def data_files(self) -> DataFiles:
        """The Parquet files, after a check of their content: a damaged digest would let a person in.

        Raises:
            WarehouseError: a file is missing or damaged.
        """
        for file in self.files:
            path = self.storage.path(file.name)
            with translate_storage_errors(f"the retention marks {path} can't be read"):
                content = self.storage.read(file.name)
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise WarehouseError(
                    f"the retention marks {path} are damaged; restore the privacy folder from its newest backup"
                )
        return DataFiles(tuple(self.storage.path(file.name) for file in self.files), is_part=True)


def require_no_unfinished_retention(storage: Warehouse) -> None:
    """Check that no retention was killed between rewriting landing files and recording their new versions.

    Objects in S3 get a new time when they are rewritten. A run would take their other records for new ones, which may end
    a hold. Local files keep their time.

    Args:
        storage: the privacy folder.

    Raises:
        WarehouseError: one was.
    """
    with translate_storage_errors(f"{storage.path(JOURNAL)} can't be read"):
        try:
            storage.read(JOURNAL)
        except FileNotFoundError:
            return
    raise WarehouseError("a retention was interrupted while it rewrote landing files; start `stedi maintain` to finish it")


def describe_marks(
    storage: Warehouse, key_id: str, number: int, people: int, written: Sequence[WrittenFile]
) -> RetentionMarks:
    """Describe Parquet files of marks that an engine wrote.

    Args:
        storage: the folder in which the files are.
        key_id: identifies the suppression key.
        number: number of these marks.
        people: number of people with marks.
        written: the files.
    """
    names = [storage.name_of(file.path) for file in written]
    files = tuple(MarkFile(name, hashlib.sha256(storage.read(name)).hexdigest()) for name in names)
    return RetentionMarks(storage, key_id, number, people, files)


def read_marks(storage: Warehouse) -> RetentionMarks | None:
    """Read the list of the files of marks; None if there are no marks.

    Raises:
        WarehouseError: it can't be read, or is damaged.
    """
    path = storage.path(LIST_FILE)
    with translate_storage_errors(f"the list of retention marks {path} can't be read"):
        try:
            content = storage.read(LIST_FILE)
        except FileNotFoundError:
            return None
    try:
        document = json.loads(content)
        is_intact = document.pop("checksum") == _checksum(document)
        files = tuple(MarkFile(**file) for file in document.pop("files"))
        marks = RetentionMarks(storage, files=files, **document)
    except (ValueError, TypeError, LookupError, AttributeError):
        is_intact = False
    if not is_intact:
        raise WarehouseError(
            f"the list of retention marks {path} is damaged; restore the privacy folder from its newest backup"
        )
    return marks


def replace_marks(marks: RetentionMarks) -> None:
    """Let the privacy folder refer to new marks, in one atomic, durable write, and delete the files of older ones.

    Args:
        marks: the new marks. The caller holds the lock of the privacy folder.

    Raises:
        WarehouseError: it can't be written.
    """
    storage, files = marks.storage, [asdict(file) for file in marks.files]
    document = {"key_id": marks.key_id, "number": marks.number, "people": marks.people, "files": files}
    content = json.dumps({**document, "checksum": _checksum(document)}, indent=1).encode()
    with translate_storage_errors(f"the retention marks in {storage} can't be written"):
        for file in marks.files:
            storage.sync(storage.path(file.name))
        storage.confirm_write_lock()
        storage.replace(LIST_FILE, content)
        current = {file.name for file in marks.files}
        for stored in storage.list(FOLDER):
            if stored.name not in current:
                storage.delete(stored.name)


def _checksum(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
