"""When withdrawals, holds and erasures were received and took effect, as values."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClockEntry:
    """A withdrawal of consent to research, or a hold on it. Times are in ms since the epoch, UTC.

    Attributes:
        kind: withdrawal or hold.
        customer: start of the customer's pseudonym.
        received_ms: arrival of the first record that says so.
        due_ms: when it must be in effect everywhere.
        tables: when it took effect in each table that requires consent: the end of the first finished run since then
            without rows of the customer. None while the newest finished run has such rows.
        snapshots: number of unexpired snapshots with rows of the customer.
        expires_after_runs: how many more runs have to finish before the last of them expires; None without such snapshots.
        models: number of models that learned from the customer and are in use.
        is_overdue: whether it is late and not in effect everywhere.
    """

    kind: str
    customer: str
    received_ms: int
    due_ms: int
    tables: Mapping[str, int | None]
    snapshots: int
    expires_after_runs: int | None
    models: int
    is_overdue: bool

    @property
    def in_effect_ms(self) -> int | None:
        """When it was in effect in all tables; None if it is not."""
        times = [time for time in self.tables.values() if time is not None]
        return max(times, default=self.received_ms) if len(times) == len(self.tables) else None

    @property
    def is_in_effect(self) -> bool:
        """Whether it is in effect in every table, snapshot and model."""
        return self.in_effect_ms is not None and not self.snapshots and not self.models


@dataclass(frozen=True)
class OpenSnapshot:
    """A snapshot with rows of customers who withdrew or are on hold.

    Attributes:
        table: its table.
        snapshot_id: Iceberg's ID.
        committed_ms: time of the commit (ms since the epoch, UTC).
        customers: number of these customers.
        expires_after_runs: how many more runs have to finish before maintenance expires it; 0: the next maintenance does.
    """

    table: str
    snapshot_id: int
    committed_ms: int
    customers: int
    expires_after_runs: int


@dataclass(frozen=True)
class OpenModel:
    """A model in use that learned from customers who withdrew or are on hold.

    Attributes:
        model: its name.
        customers: number of these customers.
    """

    model: str
    customers: int


@dataclass(frozen=True)
class WaitingFile:
    """A file of the customer feed that no run has ingested. It may contain withdrawals.

    Attributes:
        file: its name, without addresses.
        received_ms: its arrival (ms since the epoch, UTC).
        is_overdue: whether it has waited for longer than the deadline.
    """

    file: str
    received_ms: int
    is_overdue: bool


@dataclass(frozen=True)
class ClockErasure:
    """An erasure.

    Attributes:
        erasure_id: its ID.
        started_ms: its start (ms since the epoch, UTC).
        people: number of people.
        is_finished: whether it finished.
        is_overdue: whether it started before the deadline and has not finished.
    """

    erasure_id: str
    started_ms: int
    people: int
    is_finished: bool
    is_overdue: bool


@dataclass(frozen=True)
class ClockReport:
    """What was received, what is in effect, and what is overdue.

    Attributes:
        deadline_days: days in which a withdrawal must be in effect everywhere.
        withdrawals: number of withdrawals.
        holds: number of holds.
        in_effect: number of withdrawals and holds that are in effect everywhere.
        overdue: number of overdue withdrawals, holds, erasures and files, and of people whose old records are overdue.
        entries: withdrawals and holds, overdue ones first, then open ones; at most as many as were asked for.
        snapshots: the snapshots that are in the way.
        models: the models that are in the way.
        files: files of the customer feed that no run has ingested, oldest first.
        past_retention: people of whom old records should be gone; None if records are kept without end.
        overdue_retention: those of them for whom a day has passed since. They count as overdue.
        erasures: the unfinished erasure, then finished ones, the newest first; at most as many as were asked for.
    """

    deadline_days: int
    withdrawals: int
    holds: int
    in_effect: int
    overdue: int
    entries: tuple[ClockEntry, ...]
    snapshots: tuple[OpenSnapshot, ...]
    models: tuple[OpenModel, ...]
    files: tuple[WaitingFile, ...]
    past_retention: int | None
    overdue_retention: int
    erasures: tuple[ClockErasure, ...]
