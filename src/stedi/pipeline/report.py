"""What a run did, as plain values."""

from dataclasses import dataclass, field

from stedi.errors import AlarmError, RuleError
from stedi.ingest.skipped_files import SkippedFiles
from stedi.model.alarms import Alarm
from stedi.model.query_settings import QuerySettings
from stedi.pipeline.checks import RuleResult
from stedi.tables.reference.consent_hold import TABLE as CONSENT_HOLD


@dataclass
class TableReport:
    """What a run did to one table, and why.

    `added` and `removed` count rows, `people` the persons whose rows came or went (None where
    rows name nobody).
    """

    status: str
    rows: int
    added: int = 0
    removed: int = 0
    people: int | None = None
    reason: str = ""
    snapshot_id: int | None = None
    seconds: float = 0.0
    results: list[RuleResult] = field(default_factory=list, repr=False)

    @property
    def breaks_a_rule(self) -> bool:
        """Whether an error-level rule failed: the table's last good snapshot then stays in place."""
        return any(result.level == "error" and not result.passed for result in self.results)

    @property
    def is_held_back(self) -> bool:
        """Whether the table kept an older state than its inputs call for."""
        return self.status in ("failed", "skipped")


@dataclass
class RunReport:
    """What a run did, or under `dry_run` would do.

    `left_behind` names the tables that were not selected and no longer follow from what was: they
    may still hold rows of people who have withdrawn. `unresolved_readings` counts those of devices whose owner is
    not clear, or is None if the run did not include device_owner. `alarms` are for a person to look at: the tables
    are as they should be.
    """

    run_id: str
    settings: QuerySettings
    dry_run: bool
    tables: dict[str, TableReport] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    not_taken: SkippedFiles = field(default_factory=SkippedFiles)
    outside_consent: dict[str, int] = field(default_factory=dict)
    unresolved_readings: int | None = None
    left_behind: list[str] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rules(self) -> list[RuleResult]:
        """What every rule found that this run checked."""
        return [result for table in self.tables.values() for result in table.results]

    @property
    def on_hold(self) -> int | None:
        """Number of customers on hold, or None if the run did not include consent_hold."""
        found = self.tables.get(CONSENT_HOLD.name)
        return found.rows if found else None

    @property
    def failed(self) -> list[RuleResult]:
        """The error-level rules that kept a table from being published."""
        return [result for result in self.rules if result.level == "error" and not result.passed]

    def refuse_failures(self) -> None:
        """Let a run that could not publish every table end as one that failed.

        Raises:
            RuleError: an error-level rule failed.
        """
        if self.failed:
            first = self.failed[0]
            raise RuleError(
                f"{len(self.failed)} error-level rule(s) failed, first {first.table}.{first.rule} for "
                f"{first.failed:,} rows; the tables concerned keep their last good state; see `stedi quality`"
            )

    def raise_alarms(self) -> None:
        """Raise an error with exit code 3 if the run has alarms.

        Raises:
            AlarmError: there is an alarm.
        """
        if self.alarms:
            names = ", ".join(alarm.name for alarm in self.alarms)
            raise AlarmError(f"the run succeeded with alarms ({names}); look at the first line of the report")
