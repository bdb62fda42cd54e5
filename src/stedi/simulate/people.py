"""Simulated customers: who they are, what they own, what the feed says of them."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stedi.simulate.consent import make_consent
from stedi.simulate.draws import Integers
from stedi.simulate.options import DAY_MS

# The fulfilment site used the same 30 serials over and over; on one real feed 741,477 of
# 758,715 customer records carry one of them.
REUSED_SERIALS = 30
_REUSED_SHARE = 741_477 / 758_715
# 1, 2 or 3 devices a customer; on the same feed some customers have dozens.
_DEVICES_SHARES = (0.96, 0.03, 0.01)
_LACKS_EMAIL = 0.005
# The website keeps an address as it was typed: as is, in capitals, as a name, or with blanks.
_SPELLING_SHARES = (0.9, 0.03, 0.04, 0.03)
_SHARES_OTHERWISE = 0.5
_EARLIEST_BIRTH, _LATEST_BIRTH = np.datetime64("1930-01-01"), np.datetime64("2008-01-01")
_FIRST = ["Ada", "Ben", "Chika", "Dara", "Eun", "Femi", "Gita", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Mara", "Nils"]
_LAST = ["Abram", "Bauer", "Cruz", "Diaz", "Evans", "Fofana", "Gupta", "Huang", "Ito", "Jones", "Khan", "Lopez"]


@dataclass(frozen=True)
class People:
    """Customers by number, and devices by number.

    `users` are e-mail addresses as the phone app sends them, trimmed and in lower case;
    `owners` holds the customer of each device. A customer's first device has the customer's own
    number, the others (`more` of them) follow each other from `more_from`. `record_of` holds the
    customer of each record, `reused` the serials that the fulfilment site used over and over.
    """

    users: pa.Array
    serials: pa.Array
    owners: Integers
    more: Integers
    more_from: Integers
    records: pa.Table
    record_of: Integers
    reused: pa.Array
    consent: pa.Table

    def device_of(self, rng: np.random.Generator, who: Integers) -> Integers:
        """One of each given customer's devices, by chance."""
        return _device_of(rng, who, self.more, self.more_from)

    def hand_over(self, rng: np.random.Generator, device: Integers, new_owner: Integers, at_ms: Integers) -> "People":
        """Change the records of customers who own no device until they take over another customer's.

        Where a record had the serial of the customer's own device, it gets the serial of the device taken over,
        or a reused one if the record is older than the hand-over.

        Args:
            rng: where the reused serials are drawn from.
            device: number of each device that changes hands.
            new_owner: the customer who takes it over; each customer once.
            at_ms: when (ms since the epoch, UTC).
        """
        serials = self.records["serialNumber"].combine_chunks()
        hand_over_of = np.full(len(self.users), -1)
        hand_over_of[new_owner] = np.arange(len(new_owner))
        hand_over = hand_over_of[self.record_of]
        own = (hand_over >= 0) & ~pc.is_in(serials, self.reused).to_numpy(zero_copy_only=False)
        hand_over = hand_over[own]
        is_after = self.records["lastUpdateDate"].to_numpy()[own] >= at_ms[hand_over]
        used = self.serials.take(pa.array(device[hand_over]))
        reused = self.reused.take(pa.array(rng.integers(0, REUSED_SERIALS, len(hand_over))))
        serials = pc.replace_with_mask(serials, pa.array(own), pc.if_else(pa.array(is_after), used, reused))
        column = self.records.column_names.index("serialNumber")
        return replace(self, records=self.records.set_column(column, "serialNumber", serials))


def make_people(rng: np.random.Generator, customers: int, start_ms: int, days: int) -> People:
    """Customers with a change feed in which consent comes and goes, ordered by time.

    The true consent is that of all records. A lakehouse can't know whose record it is that lacks
    its e-mail address, so it finds other intervals for such a customer: longer ones where that
    record withdrew consent, shorter ones or none where it gave it.

    Args:
        rng: where all chance comes from.
        customers: how many people.
        start_ms: first moment of the recorded days (ms since the epoch, UTC).
        days: how many days are recorded.
    """
    number = np.arange(customers)
    first = pa.array(_FIRST).take(pa.array(number % len(_FIRST)))
    last = pa.array(_LAST).take(pa.array(number // len(_FIRST) % len(_LAST)))
    address = pc.binary_join_element_wise(first, last, pa.array(number).cast(pa.string()), ".")
    address = pc.binary_join_element_wise(address, "@example.com", "")
    users = pc.utf8_lower(address)

    more = rng.choice(len(_DEVICES_SHARES), p=_DEVICES_SHARES, size=customers)
    more_from = customers + np.cumsum(more) - more
    owners = np.concatenate([number, np.repeat(number, more)])
    serials = _serials(rng, len(owners))

    registered = start_ms - rng.integers(1, 365 * DAY_MS, customers)
    consent = make_consent(rng, registered, start_ms, days)
    who = consent.who
    takes = pa.array(who)
    count = len(who)
    own = serials.take(pa.array(_device_of(rng, who, more, more_from)))
    reused_serials = _serials(rng, REUSED_SERIALS)
    reused = reused_serials.take(pa.array(rng.integers(0, REUSED_SERIALS, customers)))
    birthday = rng.integers(_EARLIEST_BIRTH.astype(int), _LATEST_BIRTH.astype(int), customers)
    lacks_email = pa.array(rng.random(count) < _LACKS_EMAIL)
    records = pa.table(
        {
            "customerName": pc.binary_join_element_wise(first, last, " ").take(takes),
            "email": pc.if_else(lacks_email, None, _spelled(rng, address, users).take(takes)),
            "phone": pa.array(8_010_000_000 + rng.integers(0, 10**7, customers)).cast(pa.string()).take(takes),
            "birthDay": pa.array(birthday.astype(np.int32), pa.date32()).cast(pa.string()).take(takes),
            "serialNumber": pc.if_else(pa.array(rng.random(count) < _REUSED_SHARE), reused.take(takes), own),
            "registrationDate": pa.array(registered).take(takes),
            "lastUpdateDate": pa.array(consent.at_ms),
            "shareWithResearchAsOfDate": pa.array(consent.shared_as_of_ms, mask=~consent.gives),
            "shareWithPublicAsOfDate": pa.array(consent.at_ms, mask=rng.random(count) < _SHARES_OTHERWISE),
            "shareWithFriendsAsOfDate": pa.array(consent.at_ms, mask=rng.random(count) < _SHARES_OTHERWISE),
        }
    )
    true_consent = pa.table(
        {
            "user": users.take(pa.array(consent.owner)),
            "consented_from_ms": consent.from_ms,
            "consented_to_ms": pa.array(consent.to_ms, mask=consent.to_ms < 0),
        }
    )
    by_time = np.argsort(consent.at_ms, kind="stable")
    records = records.take(pa.array(by_time))
    return People(users, serials, owners, more, more_from, records, who[by_time], reused_serials, true_consent)


def _device_of(rng: np.random.Generator, who: Integers, more: Integers, more_from: Integers) -> Integers:
    choice = rng.integers(0, 1 + more[who])
    return np.where(choice == 0, who, more_from[who] + choice - 1)


def _spelled(rng: np.random.Generator, address: pa.Array, plain: pa.Array) -> pa.Array:
    """Addresses as customers typed them."""
    how = pa.array(rng.choice(len(_SPELLING_SHARES), p=_SPELLING_SHARES, size=len(plain)))
    blanks = pc.binary_join_element_wise(" ", plain, "  ", "")
    return pc.choose(how, plain, pc.utf8_upper(address), address, blanks)


def _serials(rng: np.random.Generator, count: int) -> pa.Array:
    """Serial numbers of two groups of eight hexadecimal digits."""
    groups = np.frombuffer(rng.bytes(8 * count).hex().encode(), "S8").reshape(count, 2)
    texts = [pa.array(np.ascontiguousarray(groups[:, i])).cast(pa.string()) for i in range(2)]
    return pc.binary_join_element_wise(*texts, "-")
