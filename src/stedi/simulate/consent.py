"""Simulated consent: a feed of changes in which consent comes and goes, and the truth behind it."""

from dataclasses import dataclass

import numpy as np

from stedi.simulate.draws import Flags, Integers
from stedi.simulate.options import DAY_MS

_MOST_RECORDS = 4
# 1, 2, 3 or 4 records a customer; on one real feed a customer appears many times.
_RECORDS_SHARES = (0.7, 0.18, 0.09, 0.03)
_CONSENTS_AT_FIRST = 0.5
# The other changes concern an address or a phone number and repeat the consent as it is.
_CHANGES_CONSENT = 0.75
# Some consents reach the feed days after they were given, some are given again under the date of
# the registration; neither may reach back into a time for which consent was withdrawn.
_ARRIVES_LATE, _LATEST_MS = 0.15, 3 * DAY_MS
_REPEATS_OLD_DATE = 0.15
# Two systems write a record of the same moment, and only one of them with consent.
_CONTRADICTED = 0.01


@dataclass(frozen=True)
class ConsentFeed:
    """Change records in flat arrays, and the intervals in which consent was truly in force.

    Per record: `who` the customer's number, `at_ms` when it was written, `gives` whether it
    consents, `shared_as_of_ms` since when (meaningless where it does not). Per interval: `owner`
    the customer's number, `from_ms` included, `to_ms` excluded or -1 while consent is in force.
    All times in ms since the epoch, UTC.
    """

    who: Integers
    at_ms: Integers
    gives: Flags
    shared_as_of_ms: Integers
    owner: Integers
    from_ms: Integers
    to_ms: Integers


def make_consent(rng: np.random.Generator, registered_ms: Integers, start_ms: int, days: int) -> ConsentFeed:
    """Changes of every customer, who registers and then changes things in the recorded days.

    The truth follows the lakehouse's rule: consent holds from the date that the first consenting
    record names, never before the record that last denied it, until the next record that denies
    it; records of one moment that disagree deny it.
    """
    customers = len(registered_ms)
    count = 1 + rng.choice(_MOST_RECORDS, p=_RECORDS_SHARES, size=customers)
    # Minds change while the days are recorded, so that consent cuts through sessions.
    later = np.sort(start_ms + rng.integers(0, days * DAY_MS, (customers, _MOST_RECORDS - 1)), axis=1)
    later += np.arange(_MOST_RECORDS - 1)  # so that no two are of one moment
    turned = rng.random((customers, _MOST_RECORDS)) < (_CONSENTS_AT_FIRST, *[_CHANGES_CONSENT] * (_MOST_RECORDS - 1))
    exists = np.arange(_MOST_RECORDS) < count[:, None]
    who, turn = np.nonzero(exists)
    at = np.column_stack([registered_ms, later])[exists]
    gives = (np.cumsum(turned, axis=1) % 2 == 1)[exists]
    first = turn == 0
    shared = _shared_as_of(rng, at, registered_ms[who], gives, _starts(gives, first), first)

    disagree = (turn == count[who] - 1) & (rng.random(customers) < _CONTRADICTED)[who]
    owner, from_ms, to_ms = _intervals(who, at, gives & ~disagree, shared, first)
    return ConsentFeed(
        np.concatenate([who, who[disagree]]),
        np.concatenate([at, at[disagree]]),
        np.concatenate([gives, ~gives[disagree]]),
        np.concatenate([shared, at[disagree]]),
        owner,
        from_ms,
        to_ms,
    )


def _before(values: Flags, first: Flags) -> Flags:
    """What the customer's record before this one says; False where there is none."""
    return np.roll(values, 1) & ~first


def _starts(gives: Flags, first: Flags) -> Flags:
    return gives & ~_before(gives, first)


def _shared_as_of(
    rng: np.random.Generator, at: Integers, registered: Integers, gives: Flags, starts: Flags, first: Flags
) -> Integers:
    """The date of consent in each record; while consent lasts, records repeat the first one's."""
    chance = rng.random(len(at))
    late = at - rng.integers(0, _LATEST_MS, len(at))
    dated = np.where(chance < _ARRIVES_LATE, late, np.where(chance > 1 - _REPEATS_OLD_DATE, registered, at))
    dated = np.where(first, at, np.maximum(dated, registered))
    start_of = np.maximum.accumulate(np.where(starts, np.arange(len(at)), 0))
    return np.where(gives, dated[start_of], at)


def _intervals(
    who: Integers, at: Integers, gives: Flags, shared: Integers, first: Flags
) -> tuple[Integers, Integers, Integers]:
    """Owner, start and end of each interval, from records in order of customer and time."""
    denied_ms = np.where(first, 0, np.roll(at, 1))
    edge = np.flatnonzero(gives != _before(gives, first))
    following = np.append(edge[1:], edge[:1])
    closes = (who[following] == who[edge]) & ~gives[following]
    opens = gives[edge]
    record = edge[opens]
    return who[record], np.maximum(shared, denied_ms)[record], np.where(closes, at[following], -1)[opens]
