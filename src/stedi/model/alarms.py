"""Alarms: results of a successful run that a person has to look at."""

from dataclasses import dataclass

# With fewer customers, half may change their consent on one day by chance.
FEWEST_PEOPLE = 100


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
        alarm_drop: the largest fall without an alarm, as a share of `before`; 1 turns the alarm off.
        dry_run: whether the run publishes nothing.

    Returns:
        The alarm; None for a smaller fall, or if fewer than 100 customers consented before.
    """
    # Division rounds like parsing the share from text, so a fall by exactly the share is no alarm.
    if before < FEWEST_PEOPLE or (before - now) / before <= alarm_drop:
        return None
    message = (
        f"consent in force {'would fall' if dry_run else 'fell'} from {before:,} to {now:,} customers "
        f"({100 * (before - now) // before}%) in this run; look at `stedi quality` (consent dates that can't be used) "
        "and `stedi quarantine`; a repaired feed brings everybody back"
    )
    return Alarm("fall_of_consent", message, before, now)
