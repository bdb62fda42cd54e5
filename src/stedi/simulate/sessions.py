"""Plan sessions: customer, start, device, and the file in which the readings arrive."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stedi.errors import UsageError
from stedi.simulate.draws import Flags, Integers, draw_share
from stedi.simulate.motion import SAMPLE_MS, SESSION_MS
from stedi.simulate.options import DAY_MS, SimulationOptions
from stedi.simulate.people import People

# The shares and counts in this module have no source.
_SESSIONS_PER_PERSON = 3  # so that a model can distinguish people from sessions
_RECORDING = 0.9  # maximum share of customers who record; the others never open the app
_SESSIONS_PER_FILE = 200
# Share of sessions that arrive a week or more after the last day, from phones without a network.
_LATE = 0.03
_DAYS_PER_LATE_UPLOAD = 7
# Maximum difference between the starts of people who live together.
_TOGETHER_MS = 10_000
# Later than all times.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class HandOvers:
    """Devices that change hands, each once.

    Attributes:
        device: numbers of the devices.
        new_owner: the customer who uses each device from then on.
        at_ms: time of each hand-over (phone clock, ms since the epoch, UTC).
    """

    device: Integers
    new_owner: Integers
    at_ms: Integers

    def user(self, owners: Integers, device: Integers, at_ms: Integers) -> Integers:
        """Look up the user of each device at a time.

        Args:
            owners: first owner of every device.
            device: numbers of devices.
            at_ms: time for each of them (phone clock, ms since the epoch, UTC).
        """
        new_owners, handed_ms = owners.copy(), np.full(len(owners), NEVER)
        new_owners[self.device], handed_ms[self.device] = self.new_owner, self.at_ms
        return np.where(at_ms >= handed_ms[device], new_owners[device], owners[device])


@dataclass(frozen=True)
class Sessions:
    """All sessions, in the order of their starts.

    Attributes:
        walkers: number of customers who record anything.
        walker: index of each session's customer among these, from 0 to `walkers` - 1.
        customer: number of each session's customer.
        device: number of each session's device.
        start_ms: start of each session (phone clock, ms since the epoch, UTC).
        is_late: whether each session arrives after the last day.
        neighbour: for each customer, the one who lives in the same home and records at the same times, or -1.
        reports: for each customer, whether the phone app sends readings.
        hand_overs: devices that change hands.
    """

    walkers: int
    walker: Integers
    customer: Integers
    device: Integers
    start_ms: Integers
    is_late: Flags
    neighbour: Integers
    reports: Flags
    hand_overs: HandOvers


def plan_sessions(
    rng: np.random.Generator, people: People, sessions: int, start_ms: int, options: SimulationOptions
) -> Sessions:
    """Assign sessions to customers. Sessions of one customer do not overlap.

    Homes, phones and hand-overs use random streams of their own, so that their options leave the other draws unchanged.

    Args:
        rng: random numbers.
        people: the customers.
        sessions: number of sessions.
        start_ms: start of the recorded days (ms since the epoch, UTC).
        options: what to simulate.

    Raises:
        UsageError: the days are too short for so many sessions.
    """
    home_rng, phone_rng, hand_over_rng = rng.spawn(3)
    customers = len(people.users)
    # New owners of devices are customers who recorded nothing before.
    recording = int(_RECORDING * customers / (1 + options.hand_overs))
    walkers = max(1, min(recording, sessions // _SESSIONS_PER_PERSON))
    paired = 2 * min(round(options.shared_homes * walkers / 2), walkers // 2)
    walker, start = _draw_starts(rng, home_rng, sessions, walkers, paired, start_ms, options)
    by_time = np.argsort(start, kind="stable")
    walker, start = walker[by_time], start[by_time]
    members = rng.permutation(customers)[:walkers]
    customer = members[walker]
    is_late = np.zeros(sessions, dtype=np.bool_)
    is_late[rng.permutation(sessions)[: math.ceil(_LATE * sessions)]] = True
    neighbour = np.full(customers, -1)
    neighbour[members[:paired]] = members[:paired].reshape(-1, 2)[:, ::-1].ravel()
    reports = np.ones(customers, dtype=np.bool_)
    reports[members[draw_share(phone_rng, walkers, options.without_phone)]] = False
    device = people.device_of(rng, customer)
    hand_overs = _hand_overs(hand_over_rng, np.setdiff1d(np.arange(customers), members), device, start, options.hand_overs)
    customer = hand_overs.user(people.owners, device, start)
    members = np.concatenate([members, hand_overs.new_owner])
    walker_of = np.empty(customers, np.int64)
    walker_of[members] = np.arange(len(members))
    return Sessions(len(members), walker_of[customer], customer, device, start, is_late, neighbour, reports, hand_overs)


def _draw_starts(
    rng: np.random.Generator,
    home_rng: np.random.Generator,
    sessions: int,
    walkers: int,
    paired: int,
    start_ms: int,
    options: SimulationOptions,
) -> tuple[Integers, Integers]:
    """Draw the walker and the start of each session. Walkers 0 and 1, 2 and 3, … up to `paired` live together."""
    per_walker = max(1, -(-sessions // walkers))
    # The recorded time is cut into equal parts, with one session of each walker in each part.
    part_ms = options.days * DAY_MS // per_walker
    if part_ms < SESSION_MS:
        raise UsageError(
            f"{options.customers:,} customers can't record {sessions:,} sessions of {SESSION_MS // 1000} s in "
            f"{options.days:,} days; ask for fewer readings, more customers or more days"
        )
    walker = np.arange(sessions) % walkers
    part = np.arange(sessions) // walkers
    start = start_ms + part * part_ms + rng.integers(0, part_ms - SESSION_MS, sessions, endpoint=True)
    # The second person of a home starts a few seconds after the first, because two people never start at exactly the same
    # time. Their sessions are neighbours in the list.
    second = np.flatnonzero((walker < paired) & (walker % 2 == 1))
    latest = start_ms + (part[second] + 1) * part_ms - SESSION_MS
    start[second] = np.minimum(start[second - 1] + home_rng.integers(0, _TOGETHER_MS, len(second)), latest)
    return walker, start


def _hand_overs(
    rng: np.random.Generator, new_owners: Integers, device: Integers, start_ms: Integers, share: float
) -> HandOvers:
    """Hand a share of all devices to other customers, each between two of its sessions.

    Devices with a single session do not change hands. There are at most as many hand-overs as new owners.

    Args:
        rng: random numbers.
        new_owners: customers without sessions.
        device: number of each session's device.
        start_ms: start of each session, in order (phone clock, ms since the epoch, UTC).
        share: share of the devices, from 0 to 1.
    """
    number, index, count = np.unique(device, return_inverse=True, return_counts=True)
    chosen = rng.permutation(np.flatnonzero(count > 1))[: round(share * len(number))][: len(new_owners)]
    by_device = np.argsort(index, kind="stable")
    first = np.cumsum(count) - count
    session = by_device[first[chosen] + rng.integers(1, count[chosen])]
    # After all samples of the previous session and before the first of this one.
    return HandOvers(number[chosen], rng.permutation(new_owners)[: len(chosen)], start_ms[session] - SAMPLE_MS // 2)


def assign_to_files(rng: np.random.Generator, sessions: Sessions, end_ms: int) -> Iterator[tuple[str, Integers]]:
    """Assign sessions to files: first those that arrive in time, in order, then the late ones, in random order.

    Yields:
        The label of a file, and the numbers of its sessions.
    """
    in_time = np.flatnonzero(~sessions.is_late)
    for number, at in enumerate(range(0, len(in_time), _SESSIONS_PER_FILE)):
        yield f"{number:05d}", in_time[at : at + _SESSIONS_PER_FILE]
    late = rng.permutation(np.flatnonzero(sessions.is_late))
    for number, at in enumerate(range(0, len(late), _SESSIONS_PER_FILE), 1):
        day = np.datetime64(end_ms + number * _DAYS_PER_LATE_UPLOAD * DAY_MS, "ms").astype("datetime64[D]")
        yield f"uploaded-{day}", late[at : at + _SESSIONS_PER_FILE]
