"""Simulate customers: names, addresses, devices, and the records of the customer feed."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stedi.simulate.consent import make_consent
from stedi.simulate.draws import Integers
from stedi.simulate.options import DAY_MS

# The fulfilment site wrote the same 30 serial numbers on most records: in one real feed on 741,477 of 758,715 customer
# records.
REUSED_SERIALS = 30
_REUSED_SHARE = 741_477 / 758_715
# Shares of customers with 1, 2 and 3 devices. No source; in the same feed some customers have dozens.
_DEVICE_COUNT_SHARES = (0.96, 0.03, 0.01)
_LACKS_EMAIL = 0.005
# The website stores an address as typed: in lower case, in capitals, capitalised, or with blanks.
_SPELLING_SHARES = (0.9, 0.03, 0.04, 0.03)
_SHARES_WITH_OTHERS = 0.5  # share of records with consent to the public, and of those to friends
_EARLIEST_BIRTH, _LATEST_BIRTH = np.datetime64("1930-01-01"), np.datetime64("2008-01-01")
_FIRST = ["Ada", "Ben", "Chika", "Dara", "Eun", "Femi", "Gita", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Mara", "Nils"]
_LAST = ["Abram", "Bauer", "Cruz", "Diaz", "Evans", "Fofana", "Gupta", "Huang", "Ito", "Jones", "Khan", "Lopez"]


@dataclass(frozen=True)
class People:
    """Customers and their devices, both numbered.

    A customer's first device has the customer's number. The customer's extra devices have consecutive numbers.

    Attributes:
        users: e-mail address of each customer as the phone app sends it, trimmed and in lower case.
        serials: serial number of each device.
        owners: first owner of each device.
        extra_devices: how many extra devices each customer has.
        first_extra_device: number of each customer's first extra device.
        records: records of the customer feed, by time.
        record_of: customer of each record.
        reused: the reused serial numbers.
        consent: ground truth: intervals with consent in force.
    """

    users: pa.Array
    serials: pa.Array
    owners: Integers
    extra_devices: Integers
    first_extra_device: Integers
    records: pa.Table
    record_of: Integers
    reused: pa.Array
    consent: pa.Table

    def device_of(self, rng: np.random.Generator, customer: Integers) -> Integers:
        """Draw one of the devices of each customer."""
        return _device_of(rng, customer, self.extra_devices, self.first_extra_device)

    def hand_over(self, rng: np.random.Generator, device: Integers, new_owner: Integers, at_ms: Integers) -> "People":
        """Change the records of new owners, who own no device until they take over another customer's.

        A record with the serial number of the customer's own device gets that of the device taken over, or a reused
        serial number if the record is older than the hand-over.

        Args:
            rng: random numbers.
            device: number of each device that changes hands.
            new_owner: the customer who takes it over; each customer once.
            at_ms: time of the hand-over (ms since the epoch, UTC).
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
    """Draw customers and their records, which give and withdraw consent.

    The ground truth of consent includes records without an e-mail address. A lakehouse can't assign these, so its
    intervals for such customers differ: they are longer if the record withdraws consent, and shorter or missing if it
    gives consent.

    Args:
        rng: random numbers.
        customers: number of people.
        start_ms: start of the recorded days (ms since the epoch, UTC).
        days: number of recorded days.
    """
    number = np.arange(customers)
    first = pa.array(_FIRST).take(pa.array(number % len(_FIRST)))
    last = pa.array(_LAST).take(pa.array(number // len(_FIRST) % len(_LAST)))
    address = pc.binary_join_element_wise(first, last, pa.array(number).cast(pa.string()), ".")
    address = pc.binary_join_element_wise(address, "@example.com", "")
    users = pc.utf8_lower(address)

    extra_devices = rng.choice(len(_DEVICE_COUNT_SHARES), p=_DEVICE_COUNT_SHARES, size=customers)
    first_extra_device = customers + np.cumsum(extra_devices) - extra_devices
    owners = np.concatenate([number, np.repeat(number, extra_devices)])
    serials = _draw_serials(rng, len(owners))

    registered = start_ms - rng.integers(1, 365 * DAY_MS, customers)
    consent = make_consent(rng, registered, start_ms, days)
    customer = consent.customer
    record_customers = pa.array(customer)
    count = len(customer)
    own = serials.take(pa.array(_device_of(rng, customer, extra_devices, first_extra_device)))
    reused_serials = _draw_serials(rng, REUSED_SERIALS)
    reused = reused_serials.take(pa.array(rng.integers(0, REUSED_SERIALS, customers)))
    birthday = rng.integers(_EARLIEST_BIRTH.astype(int), _LATEST_BIRTH.astype(int), customers)
    lacks_email = pa.array(rng.random(count) < _LACKS_EMAIL)
    records = pa.table(
        {
            "customerName": pc.binary_join_element_wise(first, last, " ").take(record_customers),
            "email": pc.if_else(lacks_email, None, _draw_spellings(rng, address, users).take(record_customers)),
            "phone": pa.array(8_010_000_000 + rng.integers(0, 10**7, customers)).cast(pa.string()).take(record_customers),
            "birthDay": pa.array(birthday.astype(np.int32), pa.date32()).cast(pa.string()).take(record_customers),
            "serialNumber": pc.if_else(pa.array(rng.random(count) < _REUSED_SHARE), reused.take(record_customers), own),
            "registrationDate": pa.array(registered).take(record_customers),
            "lastUpdateDate": pa.array(consent.at_ms),
            "shareWithResearchAsOfDate": pa.array(consent.shared_as_of_ms, mask=~consent.consents),
            "shareWithPublicAsOfDate": pa.array(consent.at_ms, mask=rng.random(count) < _SHARES_WITH_OTHERS),
            "shareWithFriendsAsOfDate": pa.array(consent.at_ms, mask=rng.random(count) < _SHARES_WITH_OTHERS),
        }
    )
    true_consent = pa.table(
        {
            "user": users.take(pa.array(consent.interval_customer)),
            "consented_from_ms": consent.from_ms,
            "consented_to_ms": pa.array(consent.to_ms, mask=consent.to_ms < 0),
        }
    )
    by_time = np.argsort(consent.at_ms, kind="stable")
    records = records.take(pa.array(by_time))
    return People(
        users, serials, owners, extra_devices, first_extra_device, records, customer[by_time], reused_serials, true_consent
    )


def _device_of(
    rng: np.random.Generator, customer: Integers, extra_devices: Integers, first_extra_device: Integers
) -> Integers:
    """Draw one of the devices of each customer."""
    choice = rng.integers(0, 1 + extra_devices[customer])
    return np.where(choice == 0, customer, first_extra_device[customer] + choice - 1)


def _draw_spellings(rng: np.random.Generator, address: pa.Array, plain: pa.Array) -> pa.Array:
    """Draw the spellings of addresses, as customers typed them."""
    spelling = pa.array(rng.choice(len(_SPELLING_SHARES), p=_SPELLING_SHARES, size=len(plain)))
    blanks = pc.binary_join_element_wise(" ", plain, "  ", "")
    return pc.choose(spelling, plain, pc.utf8_upper(address), address, blanks)


def _draw_serials(rng: np.random.Generator, count: int) -> pa.Array:
    """Draw serial numbers: two groups of eight hexadecimal digits."""
    groups = np.frombuffer(rng.bytes(8 * count).hex().encode(), "S8").reshape(count, 2)
    texts = [pa.array(np.ascontiguousarray(groups[:, i])).cast(pa.string()) for i in range(2)]
    return pc.binary_join_element_wise(*texts, "-")
