"""Simulated movement: what a phone's accelerometer and a step trainer record of one session.

A session is a stretch of equal parts in each of which a person walks, stands, sits or rides.
Steps follow the phase of a gait whose cadence and strength vary by person and time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 50
SESSION_SAMPLES = 1_500  # 30 seconds
_PARTS = 3
# The step trainer reports at about 17 Hz, on the clock of the phone.
EVERY_NTH_SAMPLE = 3
ACTIVITIES = ("walk", "stand", "sit", "ride")
_ACTIVITY_SHARES = (0.55, 0.15, 0.15, 0.15)
_GRAVITY = 9.81  # m/s²
# A foot passes the sensor within about a tenth of a second and comes as near as 60 of the
# 250 that an empty floor gives.
_PASSING_SECONDS = 0.08
_FLOOR_DISTANCE, _FOOT_DISTANCE = 250.0, 60.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """Sessions × samples. `acceleration` in m/s²; times in ms; `steps` as (session, ms) pairs."""

    times_ms: NDArray[np.int64]
    acceleration: Floats
    distance: Floats
    activity: NDArray[np.int64]
    step_session: NDArray[np.int64]
    step_ms: NDArray[np.int64]


def make_motion(rng: np.random.Generator, person: NDArray[np.int64], start_ms: NDArray[np.int64], seed: int) -> Motion:
    """Record sessions of the given people, starting at the given times.

    A person keeps cadence and strength from session to session: both follow from the person's
    number and the seed. Walking cadence is about 1.85 steps a second (1.4 to 2.3), as measured
    for adults (Tudor-Locke et al. 2018, 10.1136/bjsports-2017-097628: 100 a minute is moderate).
    """
    sessions = len(person)
    shape = (sessions, SESSION_SAMPLES)
    steady = np.random.default_rng([seed, 1]).normal(size=(int(person.max(initial=0)) + 1, 3))[person]
    seconds = np.arange(SESSION_SAMPLES) / RATE_HZ

    part = np.minimum(np.arange(SESSION_SAMPLES) * _PARTS // SESSION_SAMPLES, _PARTS - 1)
    doing = rng.choice(len(ACTIVITIES), p=_ACTIVITY_SHARES, size=(sessions, _PARTS))
    activity = doing[:, part]
    walking = activity == 0

    drift = 1 + 0.05 * np.sin(2 * np.pi * (seconds / 17 + rng.random((sessions, 1))))
    cadence = np.clip(1.85 + 0.15 * steady[:, :1], 1.4, 2.3) * drift
    phase = rng.random((sessions, 1)) + np.cumsum(np.where(walking, cadence / RATE_HZ, 0), axis=1)
    strength = np.clip(2.5 + 0.6 * steady[:, 1:2], 1.0, 4.5) * (1 + 0.1 * rng.normal(size=(sessions, 1)))

    turn = 2 * np.pi * phase
    bounce = strength * (np.cos(turn) + 0.3 * np.cos(2 * turn + steady[:, 2:3]) + 0.25 * np.cos(turn / 2))
    sway = 0.4 * strength * np.sin(turn)
    rumble = rng.normal(size=shape)
    riding = 0.4 * rumble + 0.5 * np.sin(2 * np.pi * seconds * 0.3 + rng.random((sessions, 1)))
    upward = np.where(walking, bounce, np.where(activity == 3, riding, 0.04 * rumble)) + _GRAVITY
    forward = np.where(walking, sway, 0.0)

    # The phone lies in hand, pocket or bag in any orientation: two axes at right angles.
    up = rng.normal(size=(sessions, 3))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    ahead = np.cross(up, rng.normal(size=(sessions, 3)))
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    acceleration = upward[:, :, None] * up[:, None, :] + forward[:, :, None] * ahead[:, None, :]
    acceleration += 0.15 * rng.normal(size=(*shape, 3))

    jitter = rng.integers(-3, 4, size=shape)
    times_ms = start_ms[:, None] + (1000 // RATE_HZ) * np.arange(SESSION_SAMPLES) + jitter

    away = (phase - np.round(phase)) / cadence
    passing = np.where(walking, np.exp(-((away / _PASSING_SECONDS) ** 2)), 0.0)
    distance = _FLOOR_DISTANCE - (_FLOOR_DISTANCE - _FOOT_DISTANCE) * passing + 4 * rng.normal(size=shape)

    session, sample = np.nonzero(np.floor(phase[:, 1:]) > np.floor(phase[:, :-1]))
    before, after = phase[session, sample], phase[session, sample + 1]
    share = (np.floor(after) - before) / (after - before)
    ideal = start_ms[session] + (1000 / RATE_HZ) * (sample + share)
    return Motion(
        times_ms,
        np.round(acceleration, 4),
        np.clip(np.round(distance), 0, None),
        activity,
        session,
        np.round(ideal).astype(np.int64),
    )
