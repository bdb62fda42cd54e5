"""Folds of people for cross-validation."""

from collections.abc import Iterable

import numpy as np


def person_folds(people: Iterable[str], max_folds: int, seed: int) -> list[set[str]]:
    """Split people at random into folds that differ by at most one in size.

    scikit-learn's GroupKFold refuses fewer people than folds. It also gives other folds, and so other models and metrics
    than those published.

    Args:
        people: pseudonyms; repeated ones count once.
        max_folds: number of folds; with fewer people, each person is a fold.
        seed: random seed. The same people and seed give the same folds.
    """
    shuffled = list(np.random.default_rng(seed).permutation(sorted(set(people))))
    return [set(map(str, shuffled[first::max_folds])) for first in range(min(max_folds, len(shuffled)))]
