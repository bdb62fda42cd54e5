"""Which customers record when, with which device, and in which file it arrives."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stedi.errors import UsageError
from stedi.simulate.consent import DAY_MS
from stedi.simulate.motion import SESSION_MS
from stedi.simulate.people import People

_SESSIONS_A_PERSON = 3  # so that a person can be told from a session
_RECORD_SOMETHING = 0.9  # at most; others never open the app
_SESSIONS_A_FILE = 200
# A phone without a network uploads a week or more after the last day.
_LATE = 0.03
_LATE_UPLOADS_EVERY_DAYS = 7

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sessions:
    """Sessions by number: `walker` counts those who record at all, `who` is the customer's number."""

    walkers: int
    walker: Integers
    who: Integers
    device: Integers
    start_ms: Integers
    is_late: NDArray[np.bool_]


def plan_sessions(rng: np.random.Generator, people: People, sessions: int, start_ms: int, days: int) -> Sessions:
    """Deal sessions out to customers so that nobody is at two places at once; ordered by time.

    Raises:
        UsageError: the days are too short for so many sessions.
    """
    customers = len(people.users)
    walkers = max(1, min(int(_RECORD_SOMETHING * customers), sessions // _SESSIONS_A_PERSON))
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
    by_time = np.argsort(start, kind="stable")
    walker = walker[by_time]
    who = rng.permutation(customers)[:walkers][walker]
    is_late = np.zeros(sessions, dtype=np.bool_)
    is_late[rng.permutation(sessions)[: math.ceil(_LATE * sessions)]] = True
    return Sessions(walkers, walker, who, people.device_of(rng, who), start[by_time], is_late)


def uploads(rng: np.random.Generator, sessions: Sessions, end_ms: int) -> Iterator[tuple[str, Integers]]:
    """Label of each file and numbers of the sessions in it: first in order, then the late ones in none."""
    in_time = np.flatnonzero(~sessions.is_late)
    for number, at in enumerate(range(0, len(in_time), _SESSIONS_A_FILE)):
        yield f"{number:05d}", in_time[at : at + _SESSIONS_A_FILE]
    late = rng.permutation(np.flatnonzero(sessions.is_late))
    for number, at in enumerate(range(0, len(late), _SESSIONS_A_FILE), 1):
        day = np.datetime64(end_ms + number * _LATE_UPLOADS_EVERY_DAYS * DAY_MS, "ms").astype("datetime64[D]")
        yield f"uploaded-{day}", late[at : at + _SESSIONS_A_FILE]
