"""Simulate consent: customer records that give and withdraw consent, and the ground truth."""

from dataclasses import dataclass

import numpy as np

from stedi.simulate.draws import Flags, Integers
from stedi.simulate.options import DAY_MS

_MAX_RECORDS = 4
# Shares of customers with 1, 2, 3 and 4 records. No source; in one real feed customers have many records.
_RECORD_COUNT_SHARES = (0.7, 0.18, 0.09, 0.03)
# The shares from here on have no source either. They are high, so that each case occurs in a small feed.
_CONSENTS_AT_FIRST = 0.5
# Share of the later records that change the consent. Others change an address or a phone number and repeat the consent.
_CHANGES_CONSENT = 0.75
# Shares of consents that reach the feed days late, and that repeat the date of registration. Neither may take effect
# before the last withdrawal.
_ARRIVES_LATE, _MAX_DELAY_MS = 0.15, 3 * DAY_MS
_REPEATS_OLD_DATE = 0.15
# Share of customers for whom two systems write a record at the same time, one with consent and one without.
_CONTRADICTED = 0.01


@dataclass(frozen=True)
class ConsentFeed:
    """Change records, and the true intervals with consent in force. Times are ms since the epoch, UTC.

    Attributes:
        customer: number of each record's customer.
        at_ms: when each record was written.
        consents: whether each record consents.
        shared_as_of_ms: consent date of each record; meaningless if the record does not consent.
        interval_customer: number of each interval's customer.
        from_ms: start of each interval, included.
        to_ms: end of each interval, excluded; -1 while consent is in force.
    """

    customer: Integers
    at_ms: Integers
    consents: Flags
    shared_as_of_ms: Integers
    interval_customer: Integers
    from_ms: Integers
    to_ms: Integers


def make_consent(rng: np.random.Generator, registered_ms: Integers, start_ms: int, days: int) -> ConsentFeed:
    """Draw the records of all customers: one at registration, others within the recorded days.

    The ground truth follows the lakehouse's rule: consent begins at the date in the first consenting record, but not
    before the last record without consent, and ends at the next record without consent. Records with the same time that
    disagree count as no consent.

    Args:
        rng: random numbers.
        registered_ms: when each customer registered (ms since the epoch, UTC).
        start_ms: start of the recorded days (ms since the epoch, UTC).
        days: number of recorded days.
    """
    customers = len(registered_ms)
    count = 1 + rng.choice(_MAX_RECORDS, p=_RECORD_COUNT_SHARES, size=customers)
    # Later records are within the recorded days, so that consent begins and ends during sessions.
    later = np.sort(start_ms + rng.integers(0, days * DAY_MS, (customers, _MAX_RECORDS - 1)), axis=1)
    later += np.arange(_MAX_RECORDS - 1)  # no two at one time
    changes = rng.random((customers, _MAX_RECORDS)) < (_CONSENTS_AT_FIRST, *[_CHANGES_CONSENT] * (_MAX_RECORDS - 1))
    exists = np.arange(_MAX_RECORDS) < count[:, None]
    customer, number = np.nonzero(exists)
    at = np.column_stack([registered_ms, later])[exists]
    consents = (np.cumsum(changes, axis=1) % 2 == 1)[exists]
    first = number == 0
    shared = _shared_as_of(rng, at, registered_ms[customer], consents, _starts(consents, first), first)

    disagree = (number == count[customer] - 1) & (rng.random(customers) < _CONTRADICTED)[customer]
    interval_customer, from_ms, to_ms = _intervals(customer, at, consents & ~disagree, shared, first)
    return ConsentFeed(
        np.concatenate([customer, customer[disagree]]),
        np.concatenate([at, at[disagree]]),
        np.concatenate([consents, ~consents[disagree]]),
        np.concatenate([shared, at[disagree]]),
        interval_customer,
        from_ms,
        to_ms,
    )


def _before(values: Flags, first: Flags) -> Flags:
    """Return the value of the customer's previous record; False for the first one."""
    return np.roll(values, 1) & ~first


def _starts(consents: Flags, first: Flags) -> Flags:
    """Find the records with which consent begins."""
    return consents & ~_before(consents, first)


def _shared_as_of(
    rng: np.random.Generator, at: Integers, registered: Integers, consents: Flags, starts: Flags, first: Flags
) -> Integers:
    """Draw the date of consent in each record. While consent lasts, records repeat the first one's date."""
    chance = rng.random(len(at))
    late = at - rng.integers(0, _MAX_DELAY_MS, len(at))
    dated = np.where(chance < _ARRIVES_LATE, late, np.where(chance > 1 - _REPEATS_OLD_DATE, registered, at))
    dated = np.where(first, at, np.maximum(dated, registered))
    start_of = np.maximum.accumulate(np.where(starts, np.arange(len(at)), 0))
    return np.where(consents, dated[start_of], at)


def _intervals(
    customer: Integers, at: Integers, consents: Flags, shared: Integers, first: Flags
) -> tuple[Integers, Integers, Integers]:
    """Compute owner, start and end of each interval, from records in order of customer and time."""
    denied_ms = np.where(first, 0, np.roll(at, 1))
    edge = np.flatnonzero(consents != _before(consents, first))
    following = np.append(edge[1:], edge[:1])
    closes = (customer[following] == customer[edge]) & ~consents[following]
    opens = consents[edge]
    record = edge[opens]
    return customer[record], np.maximum(shared, denied_ms)[record], np.where(closes, at[following], -1)[opens]
