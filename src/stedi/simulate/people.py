"""Simulated customers: who they are, what they own, when they consent."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DAY_MS = 86_400_000
# The fulfilment site used the same 30 serials over and over; on one real feed 741,477 of
# 758,715 customer records carry one of them.
REUSED_SERIALS = 30
REUSED_SHARE = 741_477 / 758_715
_CONSENTS_AT_FIRST = 0.5
_CHANGES_MIND = (0.25, 0.3)  # a first time, and then a second time
_LACKS_EMAIL = 0.005
_FIRST = (
    "Ada",
    "Ben",
    "Chika",
    "Dara",
    "Eun",
    "Femi",
    "Gita",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mara",
    "Nils",
)
_LAST = (
    "Abram",
    "Bauer",
    "Cruz",
    "Diaz",
    "Evans",
    "Fofana",
    "Gupta",
    "Huang",
    "Ito",
    "Jones",
    "Khan",
    "Lopez",
)


@dataclass(frozen=True)
class People:
    """Customers by number: e-mail addresses, true devices, their records and true consent."""

    emails: pa.Array
    serials: pa.Array
    records: pa.Table
    consent: pa.Table


def _hex(rng: np.random.Generator, count: int) -> pa.Array:
    digits = rng.integers(0, 16**8, size=(count, 2), dtype=np.int64)
    text = [pa.array(np.char.mod("%08x", digits[:, i])) for i in range(2)]
    return pc.binary_join_element_wise(*text, "-")


def make_people(rng: np.random.Generator, customers: int, start_ms: int, days: int) -> People:
    """Customers with a change feed in which consent comes and goes.

    Args:
        rng: where all chance comes from.
        customers: how many people.
        start_ms: first moment of the recorded days (ms since the epoch, UTC).
        days: how many days are recorded.
    """
    number = np.arange(customers)
    first = pa.array(_FIRST).take(pa.array(number % len(_FIRST)))
    last = pa.array(_LAST).take(pa.array(number // len(_FIRST) % len(_LAST)))
    names = pc.binary_join_element_wise(first, last, " ")
    emails = pc.binary_join_element_wise(first, ".", last, pa.array(number).cast(pa.string()), "@example.com", "")
    serials = _hex(rng, customers)
    reused = _hex(rng, REUSED_SERIALS)
    is_reused = rng.random(customers) < REUSED_SHARE
    claimed = pc.if_else(pa.array(is_reused), reused.take(pa.array(rng.integers(0, REUSED_SERIALS, customers))), serials)

    registered = start_ms - rng.integers(1, 365 * DAY_MS, customers)
    consents = rng.random(customers) < _CONSENTS_AT_FIRST
    turns = np.ones(customers, dtype=np.int64)
    turns += rng.random(customers) < _CHANGES_MIND[0]
    turns += (turns == 2) & (rng.random(customers) < _CHANGES_MIND[1])
    # Minds change while the days are recorded, so that consent cuts through sessions.
    changed = np.sort(start_ms + rng.integers(0, days * DAY_MS, (customers, 2)), axis=1)
    changed[:, 1] += 1
    at = np.column_stack([registered, changed])

    who, turn = np.nonzero(np.arange(3)[None, :] < turns[:, None])
    gives = consents[who] ^ (turn % 2 == 1)
    moment = at[who, turn]
    until = np.where(turn + 1 < turns[who], at[who, np.minimum(turn + 1, 2)], -1)
    birthdays = pc.binary_join_element_wise(
        pa.array(rng.integers(1930, 2008, customers)).cast(pa.string()),
        pa.array(np.char.mod("%02d", rng.integers(1, 13, customers))),
        pa.array(np.char.mod("%02d", rng.integers(1, 29, customers))),
        "-",
    )
    takes = pa.array(who)
    given = pa.array(moment, mask=~gives)
    records = pa.table(
        {
            "customerName": names.take(takes),
            "email": pc.if_else(pa.array(rng.random(len(who)) < _LACKS_EMAIL), None, emails.take(takes)),
            "phone": pa.array(np.char.mod("801%07d", rng.integers(0, 10**7, customers))).take(takes),
            "birthDay": birthdays.take(takes),
            "serialNumber": claimed.take(takes),
            "registrationDate": pa.array(registered[who]),
            "lastUpdateDate": pa.array(moment),
            "shareWithResearchAsOfDate": given,
            "shareWithPublicAsOfDate": pa.array(moment, mask=rng.random(len(who)) < 0.5),
            "shareWithFriendsAsOfDate": pa.array(moment, mask=rng.random(len(who)) < 0.5),
        }
    )
    consent = pa.table(
        {
            "user": emails.take(takes),
            "consented_from_ms": given,
            "consented_to_ms": pa.array(until, mask=until < 0),
        }
    ).filter(pa.array(gives))
    return People(emails, serials, records.take(pa.array(np.argsort(moment, kind="stable"))), consent)
