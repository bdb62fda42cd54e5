"""Simulate consent: a feed of changes in which customers consent and withdraw, and the ground truth."""

from dataclasses import dataclass

import numpy as np

from stedi.simulate.draws import Flags, Integers
from stedi.simulate.options import DAY_MS

_MAX_RECORDS = 4
# Shares of customers with 1, 2, 3 and 4 records, without a source; in one real feed customers have many records.
_RECORD_COUNT_SHARES = (0.7, 0.18, 0.09, 0.03)
# The shares from here on have no source. They are high, so that each case occurs in a small feed.
_CONSENTS_AT_FIRST = 0.5
# Other changes are of an address or a phone number, and repeat the consent.
_CHANGES_CONSENT = 0.75
# Some consents reach the feed days late, and some repeat the date of registration. Neither may become effective at a time
# before the last withdrawal.
_ARRIVES_LATE, _MAX_DELAY_MS = 0.15, 3 * DAY_MS
_REPEATS_OLD_DATE = 0.15
# Two systems write a record at the same time, and only one of them has consent.
_CONTRADICTED = 0.01


@dataclass(frozen=True)
class ConsentFeed:
    """Change records, and the true intervals with consent in force. Times are ms since the epoch, UTC.

    Attributes:
        who: number of each record's customer.
        at_ms: when each record was written.
        gives: whether each record consents.
        shared_as_of_ms: since when each record consents; without meaning if it does not.
        owner: number of each interval's customer.
        from_ms: start of each interval, included.
        to_ms: end of each interval, excluded; -1 while consent is in force.
    """

    who: Integers
    at_ms: Integers
    gives: Flags
    shared_as_of_ms: Integers
    owner: Integers
    from_ms: Integers
    to_ms: Integers


def make_consent(rng: np.random.Generator, registered_ms: Integers, start_ms: int, days: int) -> ConsentFeed:
    """Draw the records of all customers: one at registration, others within the recorded days.

    The ground truth follows the lakehouse's rule. Consent is in force from the date in the first consenting record, but
    not before the last record without consent, until the next record without consent. Records of one time that
    disagree count as no consent.

    Args:
        rng: random numbers.
        registered_ms: when each customer registered (ms since the epoch, UTC).
        start_ms: start of the recorded days (ms since the epoch, UTC).
        days: number of recorded days.
    """
    customers = len(registered_ms)
    count = 1 + rng.choice(_MAX_RECORDS, p=_RECORD_COUNT_SHARES, size=customers)
    # Changes are within the recorded days, so that consent begins and ends within sessions.
    later = np.sort(start_ms + rng.integers(0, days * DAY_MS, (customers, _MAX_RECORDS - 1)), axis=1)
    later += np.arange(_MAX_RECORDS - 1)  # no two at one time
    changes = rng.random((customers, _MAX_RECORDS)) < (_CONSENTS_AT_FIRST, *[_CHANGES_CONSENT] * (_MAX_RECORDS - 1))
    exists = np.arange(_MAX_RECORDS) < count[:, None]
    who, number = np.nonzero(exists)
    at = np.column_stack([registered_ms, later])[exists]
    gives = (np.cumsum(changes, axis=1) % 2 == 1)[exists]
    first = number == 0
    shared = _shared_as_of(rng, at, registered_ms[who], gives, _starts(gives, first), first)

    disagree = (number == count[who] - 1) & (rng.random(customers) < _CONTRADICTED)[who]
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
    """Return the value of the customer's previous record; False for the first one."""
    return np.roll(values, 1) & ~first


def _starts(gives: Flags, first: Flags) -> Flags:
    """Find the records with which consent begins."""
    return gives & ~_before(gives, first)


def _shared_as_of(
    rng: np.random.Generator, at: Integers, registered: Integers, gives: Flags, starts: Flags, first: Flags
) -> Integers:
    """Draw the date of consent in each record. While consent lasts, records repeat the first one's date."""
    chance = rng.random(len(at))
    late = at - rng.integers(0, _MAX_DELAY_MS, len(at))
    dated = np.where(chance < _ARRIVES_LATE, late, np.where(chance > 1 - _REPEATS_OLD_DATE, registered, at))
    dated = np.where(first, at, np.maximum(dated, registered))
    start_of = np.maximum.accumulate(np.where(starts, np.arange(len(at)), 0))
    return np.where(gives, dated[start_of], at)


def _intervals(
    who: Integers, at: Integers, gives: Flags, shared: Integers, first: Flags
) -> tuple[Integers, Integers, Integers]:
    """Compute owner, start and end of each interval, from records in order of customer and time."""
    denied_ms = np.where(first, 0, np.roll(at, 1))
    edge = np.flatnonzero(gives != _before(gives, first))
    following = np.append(edge[1:], edge[:1])
    closes = (who[following] == who[edge]) & ~gives[following]
    opens = gives[edge]
    record = edge[opens]
    return who[record], np.maximum(shared, denied_ms)[record], np.where(closes, at[following], -1)[opens]
