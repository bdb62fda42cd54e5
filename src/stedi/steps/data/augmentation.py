"""Data augmentation: motion at other paces and with more noise than recorded."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from stedi.model.resampling import RATE_HZ
from stedi.steps.data.stretches import Stretch

# Range of the factor of duration. Walkers of 1.8 steps a second then take 1.1 to 3.6. A detector trained on the recorded
# paces alone missed half of the steps of people a third faster.
_DURATION_FACTORS = (0.5, 1.6)
# Range of the power of the pace by which the acceleration grows: 2 for the same movements in less time (acceleration is
# length per time squared), less if steps get shorter as well.
_STRENGTH_POWERS = (0, 2)
# Range of the standard deviation of white noise on each axis, in g. A detector trained on the recorded motion alone took
# noise of 0.1 g for walking: 48 steps a minute at rest.
_NOISES_G = (0.02, 0.2)
# Gravity is the mean over 2 s. An odd number of samples keeps it centred.
_GRAVITY_SAMPLES = 2 * RATE_HZ + 1


def augment(stretch: Stretch, rng: np.random.Generator) -> Stretch:
    """Return the stretch at a random pace and strength, with random noise. Its steps move along with the motion."""
    duration_factor = np.exp(rng.uniform(*np.log(_DURATION_FACTORS)))
    paced = change_pace(stretch, 1 / duration_factor, duration_factor ** -rng.uniform(*_STRENGTH_POWERS))
    deviation = np.exp(rng.uniform(*np.log(_NOISES_G))) * np.linalg.norm(paced.acceleration, axis=1).mean()
    noise = rng.normal(scale=deviation, size=paced.acceleration.shape)
    return Stretch(paced.person, paced.start_ms, (paced.acceleration + noise).astype(np.float32), paced.steps_ms)


def change_pace(stretch: Stretch, pace: float, strength: float) -> Stretch:
    """Return the stretch at another pace, from the same start.

    Args:
        stretch: motion and steps as recorded.
        pace: factor of the speed.
        strength: factor of the acceleration without gravity.
    """
    gravity: NDArray[np.float32] = uniform_filter1d(stretch.acceleration, _GRAVITY_SAMPLES, axis=0, mode="nearest")
    stronger = gravity + strength * (stretch.acceleration - gravity)
    recorded = np.arange(len(stronger))
    positions = np.arange(0, len(stronger) - 1 + 1e-9, pace)
    acceleration = np.stack([np.interp(positions, recorded, axis) for axis in stronger.T], axis=1).astype(np.float32)
    steps_ms = stretch.start_ms + (stretch.steps_ms - stretch.start_ms) / pace
    return Stretch(stretch.person, stretch.start_ms, acceleration, steps_ms)
