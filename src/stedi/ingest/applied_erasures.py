"""Which generation of the suppression list a warehouse has applied, so that a restored backup is noticed.

An erasure adds its tombstones first, and records their generation in the warehouse last. In between, and in a backup from
before it, the warehouse is behind the list: it may contain people who were erased. No command may read it then.
"""

import json
from dataclasses import asdict, dataclass

from stedi.catalog import Catalog
from stedi.config import Settings
from stedi.errors import NoWarehouseError, WarehouseError
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.storage import Warehouse, open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.registry import ALL

# Names of the files in the warehouse: what it has applied, and the retention marks that it needs.
APPLIED_FILE = "erasures.json"
MARKS_FILE = "retention.json"


@dataclass(frozen=True)
class _Applied:
    """The generation of a list that a warehouse has applied: the list's key, and the change that led to the generation."""

    key_id: str
    generation: int
    change_id: str


def open_current_warehouse(settings: Settings) -> Warehouse:
    """Open the warehouse of the settings, after a check that all erasures were applied to it.

    Raises:
        WarehouseError: see `require_applied`, or the suppression list can't be read.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    require_applied(warehouse, open_suppression(settings))
    return warehouse


def require_applied(warehouse: Warehouse, suppression: SuppressionList) -> None:
    """Check that all erasures of the suppression list were applied to a warehouse. A new warehouse has nothing to apply.

    Raises:
        WarehouseError: the warehouse may contain erased people, or the list is older than the warehouse.
    """
    if not is_applied(warehouse, suppression):
        raise WarehouseError(
            f"warehouse {warehouse} is from before an erasure (restored from a backup, or an erasure did not finish), "
            "and may contain erased people; start `stedi erase --restore-check`"
        )


def is_applied(warehouse: Warehouse, suppression: SuppressionList) -> bool:
    """Whether all erasures of the suppression list were applied to a warehouse. A new warehouse has nothing to apply.

    Raises:
        WarehouseError: the list is missing, or older than the warehouse.
    """
    _check_marks(warehouse, suppression)
    applied = _read(warehouse)
    if applied is not None:
        _check_list(warehouse, applied, suppression)
    elif suppression.is_empty or _is_new(warehouse):
        return True
    return not suppression.has_erasures_after(applied.generation if applied else 0)


def mark_applied(warehouse: Warehouse, suppression: SuppressionList) -> None:
    """Record that a warehouse contains nobody whom the list refuses. The caller holds the warehouse's write lock.

    Does nothing if nobody was ever erased.

    Raises:
        WarehouseError: the file can't be written, or the list is older than the warehouse.
    """
    change_id = suppression.change_id(suppression.generation)
    if change_id is None:
        return
    if before := _read(warehouse):
        _check_list(warehouse, before, suppression)
    applied = _Applied(suppression.key_id, suppression.generation, change_id)
    if applied != before:
        with translate_storage_errors(f"{warehouse.path(APPLIED_FILE)} can't be written"):
            warehouse.confirm_write_lock()
            warehouse.replace(APPLIED_FILE, json.dumps(asdict(applied)).encode())


def mark_new_warehouse(warehouse: Warehouse, suppression: SuppressionList) -> None:
    """Record that a new warehouse has applied the list: its first run stops everybody who was erased.

    The caller holds the write lock, and has called `require_applied`.
    """
    if not suppression.is_empty and _read(warehouse) is None:
        mark_applied(warehouse, suppression)


def record_marks(warehouse: Warehouse, suppression: SuppressionList) -> None:
    """Record the retention marks without which a warehouse may take old records of people whose records it removed.

    The caller holds the write lock, and removes nothing before.

    Raises:
        WarehouseError: the file can't be written.
    """
    assert suppression.marks is not None
    content = json.dumps({"key_id": suppression.marks.key_id, "number": suppression.marks.number}).encode()
    with translate_storage_errors(f"{warehouse.path(MARKS_FILE)} can't be written"):
        warehouse.confirm_write_lock()
        warehouse.replace(MARKS_FILE, content)


def _check_marks(warehouse: Warehouse, suppression: SuppressionList) -> None:
    """Raise an error if the retention marks are missing, or older than those that the warehouse needs."""
    path, marks = warehouse.path(MARKS_FILE), suppression.marks
    with translate_storage_errors(f"{path} can't be read"):
        try:
            content = warehouse.read(MARKS_FILE)
        except FileNotFoundError:
            return
    try:
        needed = json.loads(content)
        is_complete = marks is not None and (marks.key_id, True) == (needed["key_id"], marks.number >= needed["number"])
    except (ValueError, TypeError, LookupError):
        raise WarehouseError(f"{path} is damaged; restore it from the newest backup of the warehouse") from None
    if not is_complete:
        raise WarehouseError(
            f"the retention marks in {suppression.storage} are missing or older than the last retention in {warehouse}; "
            "restore the privacy folder from its newest backup, or correct the setting privacy.folder"
        )


def _check_list(warehouse: Warehouse, applied: _Applied, suppression: SuppressionList) -> None:
    """Raise an error if the list is missing, another one, or older than the generation that the warehouse has applied."""
    folder = suppression.storage
    restore = "restore the privacy folder from its newest backup, or correct the setting privacy.folder"
    if suppression.is_empty:
        raise WarehouseError(f"people were erased from {warehouse}, and there is no suppression list in {folder}; {restore}")
    if applied.key_id != suppression.key_id:
        raise WarehouseError(
            f"the suppression list in {folder} is not that of the erasures from {warehouse} (another key); {restore}"
        )
    if applied.change_id != suppression.change_id(applied.generation):
        raise WarehouseError(f"the suppression list in {folder} is older than the last erasure from {warehouse}; {restore}")


def _read(warehouse: Warehouse) -> _Applied | None:
    try:
        content = warehouse.read(APPLIED_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WarehouseError(
            f"{warehouse.path(APPLIED_FILE)} can't be read: {error.strerror or error}; grant read access to it"
        ) from error
    try:
        return _Applied(**json.loads(content))
    except (ValueError, TypeError):
        raise WarehouseError(
            f"{warehouse.path(APPLIED_FILE)} is damaged; delete it, then start `stedi erase --restore-check`"
        ) from None


def _is_new(warehouse: Warehouse) -> bool:
    """Whether no table of a warehouse has rows yet."""
    try:
        with Catalog(warehouse) as catalog:
            return not any(catalog.snapshot(table.name) for table in ALL)
    except NoWarehouseError:
        return True
