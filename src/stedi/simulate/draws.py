"""Array types and random flags, shared by the simulator's modules."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def draw_share(rng: np.random.Generator, count: int, share: float) -> Flags:
    """Draw flags of which the given share is true, to the nearest whole number."""
    flags: Flags = rng.permutation(count) < round(share * count)
    return flags
