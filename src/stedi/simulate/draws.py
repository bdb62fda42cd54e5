"""Array types and random flags, shared by the simulator's modules."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def draw_share(rng: np.random.Generator, count: int, share: float) -> Flags:
    """Draw flags. Exactly the given share of them is true, rounded to a whole number of flags."""
    flags: Flags = rng.permutation(count) < round(share * count)
    return flags
