"""Motion as it was not recorded: at another pace and with more tremor, so that it is known, too."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from stedi.model.resampling import RATE_HZ
from stedi.steps.data.stretches import Stretch

# By what the duration is multiplied: walkers of 1.8 steps a second then take 1.1 to 3.6. A detector that had learnt from
# its walkers' own pace alone lost half of the steps of people a third faster.
_SLOWER = (0.5, 1.6)
# Strength goes with the pace to a power: 2 where the same movements are only faster (acceleration is length per
# time squared), less where steps get shorter as well.
_POWERS = (0, 2)
# White noise on each axis, as a standard deviation in gravities. A detector that had learnt from clean motion alone
# took 0.1 for walking, 48 steps a minute of people at rest.
_TREMORS = (0.02, 0.2)
# Gravity is what is left of two seconds' mean, an odd number of samples, so that it keeps its time.
_GRAVITY_SAMPLES = 2 * RATE_HZ + 1


def augmented(stretch: Stretch, rng: np.random.Generator) -> Stretch:
    """The stretch at a pace, of a strength and with a tremor drawn by chance; its steps move along."""
    slower = np.exp(rng.uniform(*np.log(_SLOWER)))
    paced = at_pace(stretch, 1 / slower, slower ** -rng.uniform(*_POWERS))
    tremor = np.exp(rng.uniform(*np.log(_TREMORS))) * np.linalg.norm(paced.acceleration, axis=1).mean()
    noise = rng.normal(scale=tremor, size=paced.acceleration.shape)
    return Stretch(paced.person, paced.start_ms, (paced.acceleration + noise).astype(np.float32), paced.steps_ms)


def at_pace(stretch: Stretch, pace: float, strength: float) -> Stretch:
    """The stretch so many times as fast, from the same start, with so many times its acceleration but for gravity."""
    gravity: NDArray[np.float32] = uniform_filter1d(stretch.acceleration, _GRAVITY_SAMPLES, axis=0, mode="nearest")
    stronger = gravity + strength * (stretch.acceleration - gravity)
    before = np.arange(len(stronger))
    at = np.arange(0, len(stronger) - 1 + 1e-9, pace)
    acceleration = np.stack([np.interp(at, before, axis) for axis in stronger.T], axis=1).astype(np.float32)
    steps_ms = stretch.start_ms + (stretch.steps_ms - stretch.start_ms) / pace
    return Stretch(stretch.person, stretch.start_ms, acceleration, steps_ms)
