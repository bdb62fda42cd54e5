"""Alarms: results of a successful run that a person has to look at."""

from dataclasses import dataclass

# With fewer customers, half may withdraw on one day by chance.
_MIN_CUSTOMERS = 100


@dataclass(frozen=True)
class Alarm:
    """A result of a successful run that a person has to look at.

    Attributes:
        name: name of the alarm.
        message: what happened, and what to do next.
        before: count after the last finished run.
        now: count in this run.
    """

    name: str
    message: str
    before: int
    now: int


def fall_of_consent(before: int, now: int, alarm_drop: float, *, dry_run: bool = False) -> Alarm | None:
    """Check whether the number of consenting customers fell sharply since the last finished run.

    Args:
        before: customers with consent in force after the last finished run.
        now: customers with consent in force now.
        alarm_drop: largest fall that is no alarm, as a share of `before`; 1 turns the alarm off.
        dry_run: whether the run is a dry run, which publishes nothing.

    Returns:
        The alarm; None for a smaller fall, or if fewer than 100 customers consented before.
    """
    # Compared as a quotient: it rounds as the setting's text does, so a fall by exactly this share is no alarm.
    if before < _MIN_CUSTOMERS or (before - now) / before <= alarm_drop:
        return None
    message = (
        f"consent in force {'would fall' if dry_run else 'fell'} from {before:,} to {now:,} customers "
        f"({100 * (before - now) // before}%) in this run; look at `stedi quality` (consent dates that can't be used) "
        "and `stedi quarantine`; if the feed is at fault, land corrected files: the next run restores these customers"
    )
    return Alarm("fall_of_consent", message, before, now)
