"""Which customers record when, with which device, and in which file it arrives."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stedi.errors import UsageError
from stedi.simulate.draws import Flags, Integers, draw_share
from stedi.simulate.motion import SAMPLE_MS, SESSION_MS
from stedi.simulate.options import DAY_MS, SimulationOptions
from stedi.simulate.people import People

_SESSIONS_A_PERSON = 3  # so that a person can be told from a session
_RECORD_SOMETHING = 0.9  # at most; others never open the app
_SESSIONS_A_FILE = 200
# A phone without a network uploads a week or more after the last day.
_LATE = 0.03
_LATE_UPLOADS_EVERY_DAYS = 7
# People who live together start within this time.
_TOGETHER_MS = 10_000
# A moment after all others.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class HandOvers:
    """Devices that change hands, each once: the device, its new owner from `at_ms` (phone's clock) on."""

    device: Integers
    new_owner: Integers
    at_ms: Integers

    def user(self, owners: Integers, device: Integers, at_ms: Integers) -> Integers:
        """The customers who use devices at given moments; `owners` holds the first owner of every device."""
        new_owners, handed_ms = owners.copy(), np.full(len(owners), NEVER)
        new_owners[self.device], handed_ms[self.device] = self.new_owner, self.at_ms
        return np.where(at_ms >= handed_ms[device], new_owners[device], owners[device])


@dataclass(frozen=True)
class Sessions:
    """Sessions by number: `walker` counts those who record at all, `who` is the customer's number.

    By customer: `neighbour` is the customer with the same home and hours or -1, `reports` whether the phone app reports.
    """

    walkers: int
    walker: Integers
    who: Integers
    device: Integers
    start_ms: Integers
    is_late: Flags
    neighbour: Integers
    reports: Flags
    handed: HandOvers


def plan_sessions(
    rng: np.random.Generator, people: People, sessions: int, start_ms: int, options: SimulationOptions
) -> Sessions:
    """Deal sessions out to customers so that nobody is at two places at once; ordered by time.

    Shared homes, phones and hand-overs use separate random streams, so that they leave the other draws unchanged.

    Raises:
        UsageError: the days are too short for so many sessions.
    """
    homes, phones, hands = rng.spawn(3)
    customers, days = len(people.users), options.days
    # New owners of devices are customers who recorded nothing before.
    recording = int(_RECORD_SOMETHING * customers / (1 + options.hand_overs))
    walkers = max(1, min(recording, sessions // _SESSIONS_A_PERSON))
    each = max(1, -(-sessions // walkers))
    # A person's sessions lie in equal stretches of the recorded time, one in each.
    stretch_ms = days * DAY_MS // each
    if stretch_ms < SESSION_MS:
        raise UsageError(
            f"{customers:,} customers can't record {sessions:,} sessions of {SESSION_MS // 1000} s in {days:,} days; "
            "ask for fewer readings, more customers or more days"
        )
    walker = np.arange(sessions) % walkers
    stretch = np.arange(sessions) // walkers
    start = start_ms + stretch * stretch_ms + rng.integers(0, stretch_ms - SESSION_MS, sessions, endpoint=True)
    # Walkers 0 and 1, 2 and 3, … are pairs. The second's sessions have the numbers after the first's and begin a few seconds
    # after them: two people do not start at the same moment.
    paired = 2 * min(round(options.shared_homes * walkers / 2), walkers // 2)
    second = np.flatnonzero((walker < paired) & (walker % 2 == 1))
    latest = start_ms + (stretch[second] + 1) * stretch_ms - SESSION_MS
    start[second] = np.minimum(start[second - 1] + homes.integers(0, _TOGETHER_MS, len(second)), latest)
    by_time = np.argsort(start, kind="stable")
    walker = walker[by_time]
    members = rng.permutation(customers)[:walkers]
    who = members[walker]
    is_late = np.zeros(sessions, dtype=np.bool_)
    is_late[rng.permutation(sessions)[: math.ceil(_LATE * sessions)]] = True
    neighbour = np.full(customers, -1)
    neighbour[members[:paired]] = members[:paired].reshape(-1, 2)[:, ::-1].ravel()
    reports = np.ones(customers, dtype=np.bool_)
    reports[members[draw_share(phones, walkers, options.without_phone)]] = False
    device, start = people.device_of(rng, who), start[by_time]
    handed = _hand_overs(hands, np.setdiff1d(np.arange(customers), members), device, start, options.hand_overs)
    who = handed.user(people.owners, device, start)
    members = np.concatenate([members, handed.new_owner])
    walker_of = np.empty(customers, np.int64)
    walker_of[members] = np.arange(len(members))
    return Sessions(len(members), walker_of[who], who, device, start, is_late, neighbour, reports, handed)


def _hand_overs(
    rng: np.random.Generator, strangers: Integers, device: Integers, start_ms: Integers, share: float
) -> HandOvers:
    """Hand a share of all devices to other customers, each between two of its sessions.

    Fewer devices change hands where devices have one session only, or where there are too few customers.

    Args:
        rng: where all chance comes from.
        strangers: customers who recorded nothing.
        device: number of each session's device.
        start_ms: when each session begins, in order.
        share: from 0 to 1.
    """
    number, index, count = np.unique(device, return_inverse=True, return_counts=True)
    chosen = rng.permutation(np.flatnonzero(count > 1))[: round(share * len(number))][: len(strangers)]
    by_device = np.argsort(index, kind="stable")
    first = np.cumsum(count) - count
    session = by_device[first[chosen] + rng.integers(1, count[chosen])]
    # No sample of the session before is as late.
    return HandOvers(number[chosen], rng.permutation(strangers)[: len(chosen)], start_ms[session] - SAMPLE_MS // 2)


def uploads(rng: np.random.Generator, sessions: Sessions, end_ms: int) -> Iterator[tuple[str, Integers]]:
    """Label of each file and numbers of the sessions in it: first in order, then the late ones in none."""
    in_time = np.flatnonzero(~sessions.is_late)
    for number, at in enumerate(range(0, len(in_time), _SESSIONS_A_FILE)):
        yield f"{number:05d}", in_time[at : at + _SESSIONS_A_FILE]
    late = rng.permutation(np.flatnonzero(sessions.is_late))
    for number, at in enumerate(range(0, len(late), _SESSIONS_A_FILE), 1):
        day = np.datetime64(end_ms + number * _LATE_UPLOADS_EVERY_DAYS * DAY_MS, "ms").astype("datetime64[D]")
        yield f"uploaded-{day}", late[at : at + _SESSIONS_A_FILE]
