"""Simulate the distance sensor of a step trainer: passing feet, missed feet, and other objects."""

import numpy as np

from stedi.simulate.draws import Flags, Floats, Integers

# Distances are in the feed's unit, which its schema does not specify. An empty floor gives about 250. The other constants in
# this module have no source.
_FLOOR, _FOOT = 250.0, 60.0
# The two feet pass at different distances (maximum difference), and each pass varies (standard deviation).
_SIDE, _PASS = 12.0, 6.0
_NOISE = 4.0  # standard deviation of a reading
_PASSING_SECONDS = 0.08  # a foot is in front of the sensor for about a tenth of a second
_MISSED = 0.02  # share of passes
_FALSE_OBJECTS = 0.2  # share of sessions with another object in front of the sensor
_OBJECT_SECONDS = (0.1, 1.5)
_OBJECT_DISTANCE = (70.0, 200.0)


def make_distance(rng: np.random.Generator, phase: Floats, cadence: Floats, walking: Flags, rate_hz: float) -> Integers:
    """Draw the distance of the nearest object, sessions × readings, whole numbers of at least 0.

    Args:
        rng: random numbers.
        phase: steps so far, sessions × readings; a foot passes at each whole number.
        cadence: steps per second, sessions × readings.
        walking: whether the person walks, sessions × readings.
        rate_hz: readings per second.
    """
    sessions, readings = phase.shape
    step = np.round(phase).astype(np.int64)
    steps = int(step.max(initial=0)) + 1
    foot = _FOOT + _PASS * rng.normal(size=(sessions, steps))
    foot += np.where(np.arange(steps) % 2, 1, -1) * _SIDE * rng.random((sessions, 1))
    foot = np.where(rng.random((sessions, steps)) < _MISSED, _FLOOR, foot)

    from_pass = (phase - step) / cadence  # seconds
    passing = np.where(walking, np.exp(-((from_pass / _PASSING_SECONDS) ** 2)), 0.0)
    distance = _FLOOR - (_FLOOR - np.take_along_axis(foot, step, axis=1)) * passing
    distance = np.minimum(distance, _false_object(rng, sessions, readings, rate_hz))
    return np.clip(np.round(distance + _NOISE * rng.normal(size=distance.shape)), 0, None).astype(np.int64)


def _false_object(rng: np.random.Generator, sessions: int, readings: int, rate_hz: float) -> Floats:
    """Draw the distance of other objects, sessions × readings; infinite without one."""
    seconds = np.arange(readings) / rate_hz
    begin = rng.uniform(0, readings / rate_hz, (sessions, 1))
    end = begin + rng.uniform(*_OBJECT_SECONDS, (sessions, 1)) * (rng.random((sessions, 1)) < _FALSE_OBJECTS)
    return np.where((seconds >= begin) & (seconds < end), rng.uniform(*_OBJECT_DISTANCE, (sessions, 1)), np.inf)
