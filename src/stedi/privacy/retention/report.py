"""What retention removes, as plain values. A plan has the same form as the report of what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Retention:
    """A planned or finished removal of old records.

    Attributes:
        retention_days: days for which records are kept; None: without end, so nothing is removed.
        cutoff_ms: records up to this time are removed (ms since the epoch, UTC).
        people: people of whom records are removed.
        devices: periods of devices of which readings are removed.
        kept_on_hold: people whose records stay because their newest usable record consents, and a newer one can't be read.
        kept_owners: people whose records stay, some or all, so that readings of a device do not become somebody else's.
        records: records removed from landing files, by feed.
        rows: rows removed from the current snapshot, by table.
        history_rows: rows removed from data files of all snapshots, by table.
        files_rewritten: landing files that were rewritten.
        files_deleted: landing files that were deleted, because no record was left.
        deleted_files: files of the tables that were deleted.
        deleted_bytes: their size.
        run_id: the run that published the tables; empty if nothing changed or for a plan.
    """

    retention_days: int | None = None
    cutoff_ms: int = 0
    people: int = 0
    devices: int = 0
    kept_on_hold: int = 0
    kept_owners: int = 0
    records: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    history_rows: Mapping[str, int] = field(default_factory=dict)
    files_rewritten: int = 0
    files_deleted: int = 0
    deleted_files: int = 0
    deleted_bytes: int = 0
    run_id: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.people or self.devices or self.files_rewritten or self.files_deleted)
