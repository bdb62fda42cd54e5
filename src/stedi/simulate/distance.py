"""What a step trainer sees: feet that pass it, and now and then something else or nothing."""

import numpy as np

from stedi.simulate.draws import Flags, Floats, Integers

# Distances in the feed's own unit, in which an empty floor gives about 250.
_FLOOR, _FOOT = 250.0, 60.0
# One foot passes nearer than the other; each pass differs a little.
_SIDE, _PASS = 12.0, 6.0
_NOISE = 4.0
_PASSING_SECONDS = 0.08  # a foot is in front of the sensor for about a tenth of a second
_MISSED = 0.02
_FALSE_OBJECTS = 0.2  # sessions in which something else stands in front of the sensor
_OBJECT_SECONDS = (0.1, 1.5)
_OBJECT_DISTANCE = (70.0, 200.0)


def make_distance(rng: np.random.Generator, phase: Floats, cadence: Floats, walking: Flags, rate_hz: float) -> Integers:
    """Distance of the nearest object, sessions × readings, whole numbers of at least 0.

    Args:
        rng: where all chance comes from.
        phase: steps taken so far; a foot passes where this is a whole number.
        cadence: steps a second.
        walking: whether the person walks.
        rate_hz: readings a second.
    """
    sessions, readings = phase.shape
    step = np.round(phase).astype(np.int64)
    most = int(step.max(initial=0)) + 1
    foot = _FOOT + _PASS * rng.normal(size=(sessions, most))
    foot += np.where(np.arange(most) % 2, 1, -1) * _SIDE * rng.random((sessions, 1))
    foot = np.where(rng.random((sessions, most)) < _MISSED, _FLOOR, foot)

    away = (phase - step) / cadence  # seconds
    passing = np.where(walking, np.exp(-((away / _PASSING_SECONDS) ** 2)), 0.0)
    seen = _FLOOR - (_FLOOR - np.take_along_axis(foot, step, axis=1)) * passing
    seen = np.minimum(seen, _false_object(rng, sessions, readings, rate_hz))
    return np.clip(np.round(seen + _NOISE * rng.normal(size=seen.shape)), 0, None).astype(np.int64)


def _false_object(rng: np.random.Generator, sessions: int, readings: int, rate_hz: float) -> Floats:
    """Distance of what is no foot, sessions × readings; infinite where there is nothing."""
    seconds = np.arange(readings) / rate_hz
    begin = rng.uniform(0, readings / rate_hz, (sessions, 1))
    end = begin + rng.uniform(*_OBJECT_SECONDS, (sessions, 1)) * (rng.random((sessions, 1)) < _FALSE_OBJECTS)
    return np.where((seconds >= begin) & (seconds < end), rng.uniform(*_OBJECT_DISTANCE, (sessions, 1)), np.inf)
