"""The report of a run, as plain values."""

from dataclasses import dataclass, field
from enum import StrEnum

from stedi.errors import AlarmError, RuleError
from stedi.ingest.skipped_files import SkippedFiles
from stedi.model.alarms import Alarm
from stedi.model.query_settings import QuerySettings
from stedi.pipeline.checks import RuleResult
from stedi.tables.reference.consent_hold import TABLE as CONSENT_HOLD


class Status(StrEnum):
    """The outcome of a run for one table."""

    UP_TO_DATE = "up to date"
    REFRESHED = "refreshed"
    WOULD_REFRESH = "would refresh"
    # An error-level rule failed. The table keeps its last good snapshot.
    FAILED = "failed"
    # An input failed or was skipped. The table keeps its last good snapshot.
    SKIPPED = "skipped"


@dataclass(frozen=True)
class TableReport:
    """The outcome of a run for one table.

    Attributes:
        status: the outcome.
        rows: rows in the table after the run.
        added: rows added.
        removed: rows removed.
        people: persons whose rows were added or removed; None for tables that identify nobody.
        reason: why the table was refreshed.
        snapshot_id: the table's current snapshot.
        seconds: duration.
        results: results of the rules that were checked.
    """

    status: Status
    rows: int
    added: int = 0
    removed: int = 0
    people: int | None = None
    reason: str = ""
    snapshot_id: int | None = None
    seconds: float = 0.0
    results: tuple[RuleResult, ...] = field(default=(), repr=False)

    @property
    def is_refresh(self) -> bool:
        """Whether the run wrote the table, or a dry run would write it."""
        return self.status in (Status.REFRESHED, Status.WOULD_REFRESH)

    @property
    def is_stale(self) -> bool:
        """Whether the table kept a snapshot that is older than its inputs."""
        return self.status in (Status.FAILED, Status.SKIPPED)


@dataclass
class RunReport:
    """The report of a run. For a dry run, what a run would do.

    Attributes:
        run_id: ID of the run.
        settings: the settings that decide which rows the tables contain.
        dry_run: whether nothing was committed.
        tables: report of each table, in run order.
        quarantined: quarantined records by feed.
        suppressed: records of erased people in the landing files by feed. They are not stored.
        files: new and changed landing files by feed.
        not_taken: files in the landing folder that were not ingested, and why.
        outside_consent: rows by table that were recorded while their person did not consent.
        unresolved_readings: readings of devices without a clear owner; None if device_owner was not selected.
        left_behind: stale tables that were not selected. They may contain withdrawn customers.
        is_maintained: whether the run also did maintenance.
        alarms: findings that a person has to look at. The tables are correct.
        seconds: duration.
    """

    run_id: str
    settings: QuerySettings
    dry_run: bool
    tables: dict[str, TableReport] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    not_taken: SkippedFiles = field(default_factory=SkippedFiles)
    outside_consent: dict[str, int] = field(default_factory=dict)
    unresolved_readings: int | None = None
    left_behind: list[str] = field(default_factory=list)
    is_maintained: bool = False
    alarms: list[Alarm] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rules(self) -> list[RuleResult]:
        """The results of all rules that the run checked."""
        return [result for table in self.tables.values() for result in table.results]

    @property
    def on_hold(self) -> int | None:
        """Number of customers on hold; None if consent_hold was not selected."""
        report = self.tables.get(CONSENT_HOLD.name)
        return report.rows if report else None

    @property
    def failed(self) -> list[RuleResult]:
        """The error-level rules with violations. Their tables were not published."""
        return [result for result in self.rules if result.is_failure]

    def raise_failures(self) -> None:
        """Raise an error if a table could not be published.

        Raises:
            RuleError: an error-level rule failed.
        """
        if self.failed:
            first = self.failed[0]
            raise RuleError(
                f"{len(self.failed)} error-level rule(s) failed, first {first.table}.{first.rule} with "
                f"{first.failed:,} violations; these tables keep their last good snapshot; see `stedi quality`"
            )

    def raise_alarms(self) -> None:
        """Raise an error if the run has alarms.

        Raises:
            AlarmError: there is an alarm.
        """
        if self.alarms:
            names = ", ".join(alarm.name for alarm in self.alarms)
            raise AlarmError(f"the run succeeded with alarms ({names}); look at the first line of the report")
