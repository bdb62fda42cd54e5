"""Simulate gait: cadence, steps, and the acceleration of a phone by where it is carried.

A stride is two steps, left and right. The acceleration repeats with each stride, so it is a sum of harmonics of the stride
frequency: the second has one period per step, and the odd ones distinguish left from right.
"""

from dataclasses import dataclass

import numpy as np

from stedi.simulate.draws import Flags, Floats, Integers

RATE_HZ = 50
POSITIONS = ("hand", "pocket", "bag", "armband", "neck pouch")
# No source.
_POSITION_SHARES = (0.3, 0.35, 0.15, 0.1, 0.1)
_CHOOSES_FAVOURITE = 0.7  # share of sessions
# Amplitudes (m/s²) by position: of harmonics 1 to 6 along gravity, and of 1 to 4 across it. Means over 48 recordings of 3
# people in the Oxford step counter data set (Salvi et al. 2018, 10.1109/EMBC.2018.8513319). A pocket swings with the leg, at
# the stride frequency. Bag and pouch bounce most.
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
# Residual of the same recordings: standard deviation on each axis (m/s²), by position.
SHAKE = np.array([0.6, 1.5, 1.0, 0.4, 0.6])
# Rotation of the phone while walking (radians), by position: the median angle, in the same recordings, between gravity over
# 2 s and over the whole recording. It is 2 degrees in a pocket and 10 in a bag.
TURN = np.array([0.08, 0.03, 0.18, 0.05, 0.03])
# Mean, minimum and maximum cadence (steps/s). 100 steps per minute is moderate and 130 is vigorous walking
# (Tudor-Locke et al. 2018, 10.1136/bjsports-2017-097628).
_MEAN_CADENCE, _MIN_CADENCE, _MAX_CADENCE = 1.85, 1.4, 2.3
# Share of people who limp. The constants from here on have no source.
_LIMPS = 0.1
# One of the two steps is early by this share of a step, and the odd harmonics are this much stronger.
_EVEN, _LIMPING = (0.01, 1.0), (0.05, 1.8)
_RAMP_SAMPLES = RATE_HZ  # full amplitude after about a second
_RAMP_SLOWNESS = 0.4  # the first and last steps are slower by this share
_POINTS_PER_STRIDE = 512  # a point lasts about 2 ms


@dataclass(frozen=True)
class Habits:
    """Properties of people's gait that are the same in all their sessions: one row per person."""

    cadence: Floats  # steps/s
    strength: Floats  # 1 for an average person
    lags: Floats  # phases of the harmonics (radians), people × 6
    early: Floats  # share of a step by which left is early and right is late
    unevenness: Floats  # factor of the odd harmonics
    favourite: Integers  # index into POSITIONS
    bias: Floats  # of the accelerometer (m/s²), people × 3 axes of the phone

    def of(self, person: Integers) -> "Habits":
        """Select the habits of people, in their order."""
        return Habits(**{name: values[person] for name, values in vars(self).items()})


def make_habits(rng: np.random.Generator, people: int) -> Habits:
    """Draw the habits of people."""
    limps = rng.random(people) < _LIMPS
    return Habits(
        cadence=np.clip(_MEAN_CADENCE + 0.15 * rng.normal(size=people), _MIN_CADENCE, _MAX_CADENCE),
        strength=np.exp(0.2 * rng.normal(size=people)),
        lags=0.7 * rng.normal(size=(people, _ALONG_GRAVITY.shape[1])),
        early=np.where(limps, _LIMPING[0], _EVEN[0]),
        unevenness=np.where(limps, _LIMPING[1], _EVEN[1]),
        favourite=rng.choice(len(POSITIONS), p=_POSITION_SHARES, size=people),
        # Phones are calibrated to about 0.5% of gravity.
        bias=0.05 * rng.normal(size=(people, 3)),
    )


def choose_positions(rng: np.random.Generator, habits: Habits) -> Integers:
    """Draw the position of the phone in each session, mostly the person's favourite."""
    sessions = len(habits.favourite)
    other = rng.choice(len(POSITIONS), p=_POSITION_SHARES, size=sessions)
    return np.where(rng.random(sessions) < _CHOOSES_FAVOURITE, habits.favourite, other)


def ramp(walking: Flags) -> Floats:
    """Compute the amplitude of walking, 0 to 1, sessions × samples: it rises and falls over about a second."""
    window = 2 * _RAMP_SAMPLES + 1
    padded = np.pad(walking, ((0, 0), (_RAMP_SAMPLES + 1, _RAMP_SAMPLES)), mode="edge")
    walked = np.cumsum(padded, axis=1, dtype=np.int32)
    return np.clip((walked[:, window:] - walked[:, :-window]) * (2 / window) - 1, 0, 1)


def step_cadence(rng: np.random.Generator, habits: Habits, in_stride: Floats) -> Floats:
    """Draw the cadence (steps/s), sessions × samples: it drifts, and is lower for the first and last steps."""
    sessions, samples = in_stride.shape
    period = rng.uniform(10, 40, (sessions, 1))  # seconds
    seconds = np.arange(samples) / RATE_HZ
    drift = 0.05 * np.sin(2 * np.pi * (seconds / period + rng.random((sessions, 1))))
    today = habits.cadence[:, None] * (1 + 0.04 * rng.normal(size=(sessions, 1)))
    return np.clip(today * (1 + drift), _MIN_CADENCE, _MAX_CADENCE) * (1 - _RAMP_SLOWNESS * (1 - in_stride))


def step_phase(rng: np.random.Generator, habits: Habits, walking: Flags, cadence: Floats) -> Floats:
    """Compute the number of steps so far, sessions × samples; a step is where this passes a whole number."""
    increments = np.zeros_like(cadence)
    np.copyto(increments[:, 1:], cadence[:, 1:] / RATE_HZ, where=walking[:, 1:] & walking[:, :-1])
    even = np.cumsum(increments, axis=1) + rng.uniform(0, 2, (len(increments), 1))
    return even + habits.early[:, None] * np.cos(np.pi * even)


def steps(phase: Floats, start_ms: Integers) -> tuple[Integers, Integers]:
    """Find the session and the time (phone clock, ms since the epoch, UTC) of each step."""
    session, sample = np.nonzero(np.floor(phase[:, 1:]) > np.floor(phase[:, :-1]))
    before, after = phase[session, sample], phase[session, sample + 1]
    share = (np.floor(after) - before) / (after - before)
    step_ms = start_ms[session] + (1000 / RATE_HZ) * (sample + share)
    return session, np.round(step_ms).astype(np.int64)


def stride_motion(rng: np.random.Generator, habits: Habits, position: Integers, phase: Floats) -> tuple[Floats, ...]:
    """Compute the acceleration of walking (m/s²) along gravity, forward and sideways, each sessions × samples."""
    sessions = len(position)
    harmonic = np.arange(1, _ALONG_GRAVITY.shape[1] + 1)
    # Faster walkers have stronger steps.
    strength = habits.strength * (habits.cadence / _MEAN_CADENCE) ** 2 * np.exp(0.1 * rng.normal(size=sessions))
    uneven = np.where(harmonic % 2, habits.unevenness[:, None], 1.0)
    along = strength[:, None] * uneven * _ALONG_GRAVITY[position]
    across = strength[:, None] * uneven[:, : _ACROSS_GRAVITY.shape[1]] * _ACROSS_GRAVITY[position]
    heading = rng.uniform(0, 2 * np.pi, across.shape)
    lags = habits.lags[:, : across.shape[1]]

    point = (phase * (_POINTS_PER_STRIDE // 2)).astype(np.int64) % _POINTS_PER_STRIDE
    point += _POINTS_PER_STRIDE * np.arange(sessions)[:, None]
    return tuple(
        _waveform(amplitudes, lag).ravel()[point]
        for amplitudes, lag in (
            (along, habits.lags),
            (across * np.cos(heading), lags + np.pi / 2),
            (across * np.sin(heading), lags),
        )
    )


def _waveform(amplitudes: Floats, lags: Floats) -> Floats:
    """Compute one stride, sessions × points, from amplitudes and phases, sessions × harmonics."""
    angle = 2 * np.pi * np.arange(_POINTS_PER_STRIDE) / _POINTS_PER_STRIDE
    harmonic = np.arange(1, amplitudes.shape[1] + 1)[:, None]
    # a·cos(kθ + l) = a·cos(l)·cos(kθ) − a·sin(l)·sin(kθ), so one matrix product computes all sessions.
    return (amplitudes * np.cos(lags)) @ np.cos(harmonic * angle) - (amplitudes * np.sin(lags)) @ np.sin(harmonic * angle)
