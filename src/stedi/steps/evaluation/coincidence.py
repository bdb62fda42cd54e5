"""Test whether phone readings predict the coinciding distances, to explain why no steps can be derived from some feeds."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from lightgbm import LGBMClassifier
from sklearn.metrics import roc_auc_score

from stedi.config import Settings
from stedi.query.sandbox import query
from stedi.steps.data.folds import person_folds
from stedi.steps.metrics import bootstrap, percentile_interval

# Limits memory, and is enough to distinguish an area of 0.51 from 0.5.
_MAX_PAIRS = 500_000
_FOLDS = 5
_RESAMPLES = 200
# A random sample, drawn by a hash so that it is the same in every run.
_PAIRS = f"""
SELECT customer_pseudonym, x, y, z, distanceFromObject < median(distanceFromObject) OVER () AS is_near
FROM machine_learning_curated ORDER BY sha256(customer_pseudonym || timeStamp || x || y || z) LIMIT {_MAX_PAIRS}"""


class CoincidenceAuc(NamedTuple):
    """Area under the ROC curve on held-out people, its 95% bootstrap interval, and the number of people. Chance is 0.5."""

    auc: float
    low: float
    high: float
    people: int


def coincidence_auc(settings: Settings, seed: int) -> CoincidenceAuc | None:
    """Area under the ROC curve for predicting a near object from a phone's reading, cross-validated by person.

    Returns:
        The area under the ROC curve; None with fewer than five people or only one distance.

    Raises:
        WarehouseError: the tables can't be read.
    """
    batches = list(query(settings, _PAIRS).batches())
    if not batches:
        return None
    pairs = pa.Table.from_batches(batches)
    person = np.asarray(pairs["customer_pseudonym"].to_pylist())
    is_near = pairs["is_near"].to_numpy()
    people = np.unique(person)
    if len(people) < _FOLDS or is_near.all() or not is_near.any():
        return None
    axes = np.stack([pairs[axis].to_numpy() for axis in "xyz"], axis=1)
    features = np.column_stack([axes, np.linalg.norm(axes, axis=1)])
    probability = np.zeros(len(is_near))
    for fold in person_folds(map(str, people), _FOLDS, seed):
        is_held_out = np.isin(person, list(fold))
        trees = LGBMClassifier(n_estimators=50, num_leaves=8, random_state=seed, n_jobs=1, verbose=-1, deterministic=True)
        trees.fit(features[~is_held_out], is_near[~is_held_out])
        probability[is_held_out] = np.asarray(trees.predict_proba(features[is_held_out]))[:, 1]
    order = np.argsort(person, kind="stable")
    rows_by_person = np.split(order, np.flatnonzero(person[order][1:] != person[order][:-1]) + 1)
    resamples = (
        np.concatenate([rows_by_person[number] for number in drawn])
        for drawn in bootstrap(len(rows_by_person), seed, _RESAMPLES)
    )
    low, high = percentile_interval(roc_auc_score(is_near[rows], probability[rows]) for rows in resamples)
    return CoincidenceAuc(float(roc_auc_score(is_near, probability)), low, high, len(people))
