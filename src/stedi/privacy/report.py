"""What the lakehouse knows about one person, as values."""

from collections.abc import Mapping
from dataclasses import dataclass

from stedi.privacy.timeline import Consent


@dataclass(frozen=True)
class Hold:
    """A hold on the person's consent: a newer record of theirs is unusable.

    Attributes:
        held_since_ms: arrival of the newest unusable record (ms since the epoch, UTC).
        records: number of the person's unusable records.
        source_file: file of the newest one, relative to the landing folder.
        source_position: number of that record in its file, from 1.
        reason: why it is unusable.
        meaning: the reason as a sentence.
    """

    held_since_ms: int
    records: int
    source_file: str
    source_position: int
    reason: str
    meaning: str


@dataclass(frozen=True)
class DevicePeriod:
    """A period in which a device is the person's.

    Attributes:
        serial: serial number.
        from_ms: start on the device's clock, included (ms since the epoch, UTC); None for the device's first period.
        to_ms: end, excluded; None for its last period.
        status: confirmed, claimed or inferred.
        is_claimed: whether their records contain the serial number.
        why: the status as a sentence.
        confidence: probability, from reading times alone, that the device is the person's.
        reading_times: distinct reading times in the period.
        compared_times: reading times that were compared with phones.
        coincidences: those that coincide with the phone of the best candidate.
    """

    serial: str
    from_ms: int | None
    to_ms: int | None
    status: str
    is_claimed: bool
    why: str
    confidence: float | None
    reading_times: int
    compared_times: int
    coincidences: int


@dataclass(frozen=True)
class Claim:
    """A serial number in the person's customer records, as received; often wrong.

    Attributes:
        serial: serial number.
        records: number of records with it.
        first_ms: time of the oldest of them (ms since the epoch, UTC).
        last_ms: time of the newest of them.
        is_theirs: whether the device is the person's in some period.
    """

    serial: str
    records: int
    first_ms: int
    last_ms: int
    is_theirs: bool


@dataclass(frozen=True)
class MonthReadings:
    """The person's readings in one month, as received.

    Attributes:
        month_ms: start of the month (ms since the epoch, UTC).
        phone: accelerometer readings.
        device: readings of the devices that are the person's.
    """

    month_ms: int
    phone: int
    device: int


@dataclass(frozen=True)
class SnapshotRows:
    """A snapshot of a table that contains the person.

    Attributes:
        snapshot_id: Iceberg's ID.
        committed_at: time of the commit (ISO 8601, UTC).
        rows: the person's rows in its data files, also those that another writer marked as deleted.
    """

    snapshot_id: int
    committed_at: str
    rows: int


@dataclass(frozen=True)
class TableRows:
    """The person's rows in one table.

    Attributes:
        table: its name.
        zone: its zone.
        found_by: address, pseudonym, device, quarantined record or example of a violation; None if the rows are about no
            person.
        rows: rows in the newest finished run; None if the rows are about no person, or that run has no such table.
        snapshot_count: number of unexpired snapshots of the table.
        snapshots: those that contain the person, oldest first.
    """

    table: str
    zone: str
    found_by: str | None
    rows: int | None
    snapshot_count: int
    snapshots: tuple[SnapshotRows, ...]


@dataclass(frozen=True)
class RunRows:
    """A finished run whose tables contain the person.

    Attributes:
        run_id: its ID.
        finished_at: when it finished (ISO 8601).
        tables: the person's rows by table.
    """

    run_id: str
    finished_at: str
    tables: Mapping[str, int]


@dataclass(frozen=True)
class LearnedModel:
    """A published model that learned from the person.

    Attributes:
        model: its name.
        trained_at: when it was trained.
        run_id: the run whose tables it learned from.
        stale: whether commands refuse it, because someone it learned from withdrew, or the policy changed.
    """

    model: str
    trained_at: str | None
    run_id: str | None
    stale: bool


@dataclass(frozen=True)
class PastErasure:
    """An erasure of the person.

    Attributes:
        erasure_id: its ID, which is the name of its certificate.
        erased_at_ms: time (ms since the epoch, UTC). Data up to this time is refused.
        lifted_at_ms: when the person was let in again (ms since the epoch, UTC); None if they were not.
    """

    erasure_id: str
    erased_at_ms: int
    lifted_at_ms: int | None


@dataclass(frozen=True)
class PersonReport:
    """Everything that the lakehouse knows about one person, without the address.

    Attributes:
        pseudonym: start of the person's pseudonym.
        run_id: the newest finished run.
        finished_at: when it finished (ISO 8601).
        consent: consent to each purpose over time.
        holds: the hold on the consent, if there is one.
        devices: the devices that are the person's, by serial number and time.
        claims: serial numbers in the person's records.
        readings: readings by month.
        tables: rows and snapshots of every table, by zone.
        runs: the finished runs that contain the person, oldest first.
        models: the published models that learned from the person, oldest first.
        erasures: their erasures, oldest first.
    """

    pseudonym: str
    run_id: str
    finished_at: str
    consent: Consent
    holds: tuple[Hold, ...]
    devices: tuple[DevicePeriod, ...]
    claims: tuple[Claim, ...]
    readings: tuple[MonthReadings, ...]
    tables: tuple[TableRows, ...]
    runs: tuple[RunRows, ...]
    models: tuple[LearnedModel, ...]
    erasures: tuple[PastErasure, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether any table, snapshot or model contains the person, or they were erased."""
        return bool(self.erasures or self.models or any(table.rows or table.snapshots for table in self.tables))
