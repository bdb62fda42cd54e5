"""How simulated people walk: cadence, steps, and what a phone feels of a stride where it is carried.

A stride is two steps, left and right. What a phone feels repeats with every stride, so it is a
sum of harmonics of the stride: the second is one a step, the odd ones tell left from right.
"""

from dataclasses import dataclass

import numpy as np

from stedi.simulate.draws import Flags, Floats, Integers

RATE_HZ = 50
POSITIONS = ("hand", "pocket", "bag", "armband", "neck pouch")
_POSITION_SHARES = (0.3, 0.35, 0.15, 0.1, 0.1)
_KEEPS_TO_FAVOURITE = 0.7
# Amplitudes in m/s², means over 48 recordings of 3 people in the Oxford step counter data set
# (Salvi et al. 2018, 10.1109/EMBC.2018.8513319): of harmonics 1 to 6 along gravity, and of 1 to 4
# across it. The leg swings a pocket at the stride's own frequency; bag and pouch bounce most.
_ALONG_GRAVITY = np.array(
    [
        (0.33, 2.31, 0.46, 0.56, 0.37, 0.58),
        (1.00, 3.04, 1.99, 0.88, 0.70, 0.75),
        (0.41, 4.28, 0.68, 1.08, 0.48, 0.87),
        (0.44, 3.58, 0.46, 0.55, 0.25, 0.72),
        (0.19, 3.90, 0.29, 0.83, 0.25, 0.91),
    ]
)
_ACROSS_GRAVITY = np.array(
    [
        (0.97, 1.07, 0.50, 0.57),
        (2.54, 2.25, 1.83, 1.70),
        (1.12, 2.83, 1.42, 1.53),
        (1.24, 1.29, 1.02, 0.61),
        (0.95, 1.91, 0.98, 1.62),
    ]
)
# What of the same recordings no harmonic explains, as a standard deviation on each axis (m/s²).
SHAKE = np.array([0.6, 1.5, 1.0, 0.4, 0.6])
# How far gravity turns in the phone while walking (radians): the median angle between gravity
# over 2 s and over the whole recording, 2 degrees in a pocket and 10 in a bag.
TURN = np.array([0.08, 0.03, 0.18, 0.05, 0.03])
# People walk 1.4 to 2.3 steps a second: 100 a minute is moderate, 130 is vigorous
# (Tudor-Locke et al. 2018, 10.1136/bjsports-2017-097628).
_CADENCE, _SLOWEST, _FASTEST = 1.85, 1.4, 2.3  # steps/s
_LIMPS = 0.1
# One of the two steps comes early by this share of a step, and feels different.
_EVEN, _LIMPING = (0.01, 1.0), (0.05, 1.8)
_RAMP_SAMPLES = RATE_HZ  # a person is in stride after about a second
_RAMP_SLOWNESS = 0.4
_POINTS_A_STRIDE = 512  # a point lasts about 2 ms


@dataclass(frozen=True)
class Habits:
    """What people keep from session to session, one row a person."""

    cadence: Floats  # steps/s
    strength: Floats  # 1 for an average person
    lags: Floats  # radians, people × 6 harmonics
    early: Floats  # share of a step by which left comes early and right late
    unevenness: Floats  # how much stronger the odd harmonics are
    favourite: Integers  # number of a position
    bias: Floats  # m/s², people × 3 axes of the phone

    def of(self, person: Integers) -> "Habits":
        """The habits of the given people, in their order."""
        return Habits(**{name: values[person] for name, values in vars(self).items()})


def make_habits(rng: np.random.Generator, people: int) -> Habits:
    """Habits of so many people."""
    limps = rng.random(people) < _LIMPS
    return Habits(
        cadence=np.clip(_CADENCE + 0.15 * rng.normal(size=people), _SLOWEST, _FASTEST),
        strength=np.exp(0.2 * rng.normal(size=people)),
        lags=0.7 * rng.normal(size=(people, _ALONG_GRAVITY.shape[1])),
        early=np.where(limps, _LIMPING[0], _EVEN[0]),
        unevenness=np.where(limps, _LIMPING[1], _EVEN[1]),
        favourite=rng.choice(len(POSITIONS), p=_POSITION_SHARES, size=people),
        # Phones are calibrated to about 5 thousandths of gravity.
        bias=0.05 * rng.normal(size=(people, 3)),
    )


def choose_positions(rng: np.random.Generator, habits: Habits) -> Integers:
    """Where the phone is in each session: mostly at the person's favourite place."""
    sessions = len(habits.favourite)
    other = rng.choice(len(POSITIONS), p=_POSITION_SHARES, size=sessions)
    return np.where(rng.random(sessions) < _KEEPS_TO_FAVOURITE, habits.favourite, other)


def ramp(walking: Flags) -> Floats:
    """How far into stride a person is, 0 to 1, for sessions × samples; cut off at the ends of a session."""
    window = 2 * _RAMP_SAMPLES + 1
    padded = np.pad(walking, ((0, 0), (_RAMP_SAMPLES + 1, _RAMP_SAMPLES)), mode="edge")
    walked = np.cumsum(padded, axis=1, dtype=np.int32)
    return np.clip((walked[:, window:] - walked[:, :-window]) * (2 / window) - 1, 0, 1)


def step_cadence(rng: np.random.Generator, habits: Habits, in_stride: Floats) -> Floats:
    """Steps a second, sessions × samples: it drifts, and is slower on the first and last steps."""
    sessions, samples = in_stride.shape
    period = rng.uniform(10, 40, (sessions, 1))  # seconds
    seconds = np.arange(samples) / RATE_HZ
    drift = 0.05 * np.sin(2 * np.pi * (seconds / period + rng.random((sessions, 1))))
    today = habits.cadence[:, None] * (1 + 0.04 * rng.normal(size=(sessions, 1)))
    return np.clip(today * (1 + drift), _SLOWEST, _FASTEST) * (1 - _RAMP_SLOWNESS * (1 - in_stride))


def step_phase(rng: np.random.Generator, habits: Habits, walking: Flags, cadence: Floats) -> Floats:
    """Steps taken so far, sessions × samples; a foot lands where this passes a whole number."""
    moved = np.zeros_like(cadence)
    np.copyto(moved[:, 1:], cadence[:, 1:] / RATE_HZ, where=walking[:, 1:] & walking[:, :-1])
    even = np.cumsum(moved, axis=1) + rng.uniform(0, 2, (len(moved), 1))
    return even + habits.early[:, None] * np.cos(np.pi * even)


def steps(phase: Floats, start_ms: Integers) -> tuple[Integers, Integers]:
    """Session and time (ms, on the phone's clock) of each step."""
    session, sample = np.nonzero(np.floor(phase[:, 1:]) > np.floor(phase[:, :-1]))
    before, after = phase[session, sample], phase[session, sample + 1]
    share = (np.floor(after) - before) / (after - before)
    step_ms = start_ms[session] + (1000 / RATE_HZ) * (sample + share)
    return session, np.round(step_ms).astype(np.int64)


def stride_motion(rng: np.random.Generator, habits: Habits, position: Integers, phase: Floats) -> tuple[Floats, ...]:
    """Acceleration (m/s²) along gravity, forward and sideways at the phases of each session's steps."""
    sessions = len(position)
    harmonic = np.arange(1, _ALONG_GRAVITY.shape[1] + 1)
    # Those who walk faster step harder.
    strength = habits.strength * (habits.cadence / _CADENCE) ** 2 * np.exp(0.1 * rng.normal(size=sessions))
    uneven = np.where(harmonic % 2, habits.unevenness[:, None], 1.0)
    along = strength[:, None] * uneven * _ALONG_GRAVITY[position]
    across = strength[:, None] * uneven[:, : _ACROSS_GRAVITY.shape[1]] * _ACROSS_GRAVITY[position]
    heading = rng.uniform(0, 2 * np.pi, across.shape)
    lags = habits.lags[:, : across.shape[1]]

    point = (phase * (_POINTS_A_STRIDE // 2)).astype(np.int64) % _POINTS_A_STRIDE
    point += _POINTS_A_STRIDE * np.arange(sessions)[:, None]
    return tuple(
        _waveform(amplitudes, lag).ravel()[point]
        for amplitudes, lag in (
            (along, habits.lags),
            (across * np.cos(heading), lags + np.pi / 2),
            (across * np.sin(heading), lags),
        )
    )


def _waveform(amplitudes: Floats, lags: Floats) -> Floats:
    """One stride in points, sessions × points, from sessions × harmonics."""
    turn = 2 * np.pi * np.arange(_POINTS_A_STRIDE) / _POINTS_A_STRIDE
    harmonic = np.arange(1, amplitudes.shape[1] + 1)[:, None]
    # a·cos(kθ + l) = a·cos(l)·cos(kθ) − a·sin(l)·sin(kθ), so that one product serves all sessions.
    return (amplitudes * np.cos(lags)) @ np.cos(harmonic * turn) - (amplitudes * np.sin(lags)) @ np.sin(harmonic * turn)
