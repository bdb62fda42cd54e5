"""Alarms: findings of a successful run that a person has to look at."""

from dataclasses import dataclass

# Of fewer people, half may change their minds on one day.
FEWEST_PEOPLE = 100


@dataclass(frozen=True)
class Alarm:
    """A finding of a successful run: its name, a message with the next step, and the two counts compared."""

    name: str
    message: str
    before: int
    now: int


def fall_of_consent(before: int, now: int, alarm_drop: float, *, dry_run: bool = False) -> Alarm | None:
    """Compare how many customers consent with how many did after the last finished run.

    Args:
        before: customers with consent in force after the last finished run.
        now: customers with consent in force now.
        alarm_drop: a fall by more than this share of `before` is an alarm; 1 is never exceeded.
        dry_run: whether the fall is only planned.

    Returns:
        The alarm, or None for a smaller fall, or where fewer than 100 customers consented before.
    """
    # Dividing rounds as reading the share from a file does, so a fall by exactly the share is none.
    if before < FEWEST_PEOPLE or (before - now) / before <= alarm_drop:
        return None
    message = (
        f"consent in force {'would fall' if dry_run else 'fell'} from {before:,} to {now:,} customers "
        f"({100 * (before - now) // before}%) in this run; look at `stedi quality` (consent dates that can't be used) "
        "and `stedi quarantine`; a repaired feed brings everybody back"
    )
    return Alarm("fall_of_consent", message, before, now)
