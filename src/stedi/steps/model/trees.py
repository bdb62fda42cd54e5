"""Trees whose splits a phone's single precision tells apart exactly as the training did."""

import re

import numpy as np
from lightgbm import Booster, LGBMRegressor

_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)


def with_single_thresholds(trees: LGBMRegressor) -> LGBMRegressor:
    """The same trees with each split at the nearest single-precision number below.

    Features are single precision, and such a number lies at or below a split exactly when it lies
    at or below the split so rounded: no decision changes here, and none on a runtime that knows
    single precision only.
    """
    text = trees.booster_.model_to_string()
    text = _THRESHOLDS.sub(lambda line: f"threshold={' '.join(map(_rounded, line[1].split()))}", text)
    # The sizes of the trees' texts, which are no longer right, only serve to read them in parallel.
    trees._Booster = Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE))
    return trees


def _rounded(threshold: str) -> str:
    exact = float(threshold)
    single = np.float32(exact)
    if float(single) > exact:
        single = np.nextafter(single, np.float32(-np.inf))
    return repr(float(single))
