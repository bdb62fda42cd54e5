"""Simulate sessions: the readings of a phone's accelerometer and of a step trainer.

A session has three parts. In each part the person walks, stands, sits or rides. Constants without a stated source are
guesses.
"""

from dataclasses import dataclass

import numpy as np

from stedi.simulate import gait
from stedi.simulate.distance import make_distance
from stedi.simulate.draws import Floats, Integers
from stedi.simulate.gait import RATE_HZ, Habits

SESSION_SAMPLES = 1_500
SAMPLE_MS = 1000 // RATE_HZ
SESSION_MS = SESSION_SAMPLES * SAMPLE_MS  # half a minute
# The step trainer records at about 17 Hz: at every third sample of the phone, with the same times if the clocks agree.
EVERY_NTH_SAMPLE = 3
ACTIVITIES = ("walk", "stand", "sit", "ride")
_WALK, _, _, _RIDE = range(len(ACTIVITIES))
_ACTIVITY_SHARES = (0.55, 0.15, 0.15, 0.15)
_PART_ENDS_SECONDS = ((6, 12), (18, 24))  # bounds of the ends of the first and the second part
_GRAVITY = 9.81  # m/s²
_SENSOR_NOISE = 0.08  # standard deviation (m/s²), with the tremor of the person
_JITTER_MS = 3  # maximum error of a sample's time
_SAME_TIME = 0.002  # share of readings to which the app gives the previous reading's time
_FIDGETS_PER_SECOND = 1 / 8
# After a bump a bus sways on its springs once or twice per second, as fast as people step.
_BUMPS_PER_SECOND = 1 / 4
_SPRING_HZ, _SPRING_SECONDS = 1.6, 0.5  # frequency and decay time of the swaying
_ENGINE_HZ = (9.0, 14.0)
_RIDE_SHAKE = 0.35  # noise of the road: standard deviation on each axis (m/s²)


@dataclass(frozen=True)
class Motion:
    """Readings and ground truth of sessions. Times are ms since the epoch, UTC, on the phone clock.

    Attributes:
        times_ms: times of the samples, sessions × samples.
        acceleration: acceleration with gravity (m/s²), phone axes × sessions × samples.
        distance: distance sensor, sessions × every third sample.
        bounds_ms: starts and ends of the three parts, sessions × 4.
        activity: index into `ACTIVITIES`, sessions × parts.
        position: index into `gait.POSITIONS`, one per session.
        step_session: index of each step's session.
        step_ms: time of each step.
    """

    times_ms: Integers
    acceleration: Floats
    distance: Integers
    bounds_ms: Integers
    activity: Integers
    position: Integers
    step_session: Integers
    step_ms: Integers


def make_motion(rng: np.random.Generator, habits: Habits, start_ms: Integers) -> Motion:
    """Draw one session per row of `habits`.

    Args:
        rng: random numbers.
        habits: habits of each session's person.
        start_ms: start of each session (ms since the epoch, UTC).
    """
    sessions = len(start_ms)
    ends = np.column_stack([rng.integers(a * RATE_HZ, b * RATE_HZ, sessions) for a, b in _PART_ENDS_SECONDS])
    parts = rng.choice(len(ACTIVITIES), p=_ACTIVITY_SHARES, size=(sessions, len(_PART_ENDS_SECONDS) + 1))
    part = (np.arange(SESSION_SAMPLES) >= ends[:, :, None]).sum(axis=1)
    activity = np.take_along_axis(parts, part, axis=1)
    position = gait.choose_positions(rng, habits)

    walking = activity == _WALK
    in_stride = gait.ramp(walking)
    cadence = gait.step_cadence(rng, habits, in_stride)
    phase = gait.step_phase(rng, habits, walking, cadence)
    body = np.stack(gait.stride_motion(rng, habits, position, phase))
    body *= in_stride
    body += _fidgets(rng, sessions) * ((activity != _WALK) & (activity != _RIDE))
    riding = activity == _RIDE
    rides = np.flatnonzero(riding.any(axis=1))
    body[:, rides] += _ride(rng, len(rides)) * riding[rides]
    body[0] += _GRAVITY

    noise = _SENSOR_NOISE + gait.SHAKE[position, None] * in_stride + _RIDE_SHAKE * riding
    acceleration = _in_phone(rng, body, gait.TURN[position])
    acceleration += noise * rng.normal(size=acceleration.shape)
    acceleration += habits.bias.T[:, :, None]

    thin = slice(None, None, EVERY_NTH_SAMPLE)
    bounds = np.column_stack([np.zeros(sessions, np.int64), ends, np.full(sessions, SESSION_SAMPLES)])
    return Motion(
        _times(rng, start_ms),
        np.round(acceleration, 4),
        make_distance(rng, phase[:, thin], cadence[:, thin], walking[:, thin], RATE_HZ / EVERY_NTH_SAMPLE),
        start_ms[:, None] + SAMPLE_MS * bounds,
        parts,
        position,
        *gait.steps(phase, start_ms),
    )


def _times(rng: np.random.Generator, start_ms: Integers) -> Integers:
    """Draw times of samples, sessions × samples: 50 Hz with jitter and some repeated times."""
    shape = (len(start_ms), SESSION_SAMPLES)
    times = start_ms[:, None] + SAMPLE_MS * np.arange(SESSION_SAMPLES)
    times += rng.integers(-_JITTER_MS, _JITTER_MS, size=shape, endpoint=True)
    session, sample = np.nonzero(rng.random(shape) < _SAME_TIME)
    times[session, sample] = times[session, np.maximum(sample - 1, 0)]
    return times


def _fidgets(rng: np.random.Generator, sessions: int) -> Floats:
    """Draw the small movements of a person at rest (m/s²), directions × sessions × samples."""
    seconds = np.arange(int(0.8 * RATE_HZ)) / RATE_HZ
    wiggle = np.sin(np.pi * seconds / 0.8) ** 2 * np.sin(2 * np.pi * 2.5 * seconds)
    pulses = _pulses(rng, sessions, _FIDGETS_PER_SECOND, wiggle)
    return rng.normal(size=(3, sessions, 1)) * pulses


def _ride(rng: np.random.Generator, sessions: int) -> Floats:
    """Draw the acceleration of a bus or car (m/s²), directions × sessions × samples: bumps, engine, braking, bends."""
    seconds = np.arange(SESSION_SAMPLES) / RATE_HZ
    after = seconds[: int(4 * _SPRING_SECONDS * RATE_HZ)]
    sway = np.exp(-after / _SPRING_SECONDS) * np.sin(2 * np.pi * _SPRING_HZ * after)
    bumps = 1.5 * _pulses(rng, sessions, _BUMPS_PER_SECOND, sway)

    def swing(low_hz: float, high_hz: float) -> Floats:
        turns = seconds * rng.uniform(low_hz, high_hz, (sessions, 1)) + rng.random((sessions, 1))
        return np.sin(2 * np.pi * turns)

    return np.stack([bumps + 0.25 * swing(*_ENGINE_HZ), 0.6 * swing(0.05, 0.12), 0.5 * swing(0.05, 0.12) + 0.3 * bumps])


def _pulses(rng: np.random.Generator, sessions: int, per_second: float, shape: Floats) -> Floats:
    """Add pulses of one shape at random times and with random sizes around 1, sessions × samples."""
    count = rng.poisson(per_second * sessions * SESSION_SAMPLES / RATE_HZ)
    width = SESSION_SAMPLES + len(shape)  # a pulse may end after its session
    begin = rng.integers(0, sessions, count) * width + rng.integers(0, SESSION_SAMPLES, count)
    at = begin[:, None] + np.arange(len(shape))
    size = rng.exponential(size=(count, 1)) * rng.choice((-1, 1), size=(count, 1))
    summed: Floats = np.bincount(at.ravel(), (size * shape).ravel(), minlength=sessions * width).astype(np.float64)
    return summed.reshape(sessions, width)[:, :SESSION_SAMPLES]


def _in_phone(rng: np.random.Generator, body: Floats, turn: Floats) -> Floats:
    """Rotate up, forward and sideways into the axes of a phone with a random orientation that slowly changes.

    Args:
        rng: random numbers.
        body: acceleration (m/s²), directions × sessions × samples.
        turn: amplitude of the rotation (radians), one per session.
    """
    sessions, samples = body.shape[1:]
    up = _unit(rng.normal(size=(sessions, 3)))
    forward = _unit(np.cross(up, rng.normal(size=(sessions, 3))))
    side = np.cross(up, forward)
    turns = np.arange(samples) / RATE_HZ / rng.uniform(15, 40, (sessions, 1)) + rng.random((sessions, 1))
    angle = turn[:, None] * np.sin(2 * np.pi * turns)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = (body[0] * cosine - body[1] * sine, body[0] * sine + body[1] * cosine, body[2])
    return np.stack(
        [sum(t * axis[:, i, None] for t, axis in zip(turned, (up, forward, side), strict=True)) for i in range(3)]
    )


def _unit(vectors: Floats) -> Floats:
    length: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / length
