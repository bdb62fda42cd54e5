"""Whether readings that coincide tell anything of each other: asked where there are no steps to learn from."""

import numpy as np
import pyarrow as pa
from lightgbm import LGBMClassifier
from sklearn.metrics import roc_auc_score

from stedi.config import Settings
from stedi.query.sandbox import query
from stedi.steps.metrics import middle, people_again
from stedi.steps.model.training import folds

# Half a million pairs bound memory and tell an area of 0.5 from one of 0.51.
_MOST_PAIRS = 500_000
_FEWEST_PEOPLE = 5
_PAIRS = f"""
SELECT customer_pseudonym, x, y, z, distanceFromObject < median(distanceFromObject) OVER () AS is_near
FROM machine_learning_curated ORDER BY sha256(customer_pseudonym || timeStamp || x || y || z) LIMIT {_MOST_PAIRS}"""


def coincidence_skill(settings: Settings, seed: int) -> tuple[float, float, float, int] | None:
    """How well a phone's reading tells, of people not seen in training, whether something is near the sensor.

    Returns:
        The area under the ROC curve, the middle 95% of it over people drawn again, and the number of
        people; None where there are too few people or no two distances to tell apart. Chance is 0.5.
    """
    batches = list(query(settings, _PAIRS).batches())
    if not batches:
        return None
    pairs = pa.Table.from_batches(batches)
    person = np.asarray(pairs["customer_pseudonym"].to_pylist())
    near = pairs["is_near"].to_numpy()
    people = np.unique(person)
    if len(people) < _FEWEST_PEOPLE or near.all() or not near.any():
        return None
    seen = np.stack([pairs[axis].to_numpy() for axis in "xyz"], axis=1)
    seen = np.column_stack([seen, np.linalg.norm(seen, axis=1)])
    said = np.zeros(len(near))
    for group in folds(list(map(str, people)), _FEWEST_PEOPLE, seed):
        aside = np.isin(person, list(group))
        trees = LGBMClassifier(n_estimators=50, num_leaves=8, random_state=seed, n_jobs=1, verbose=-1, deterministic=True)
        said[aside] = np.asarray(trees.fit(seen[~aside], near[~aside]).predict_proba(seen[aside]))[:, 1]
    order = np.argsort(person, kind="stable")
    rows = np.split(order, np.flatnonzero(person[order][1:] != person[order][:-1]) + 1)
    again = (np.concatenate([rows[number] for number in drawn]) for drawn in people_again(len(rows), seed, times=200))
    low, high = middle(roc_auc_score(near[drawn], said[drawn]) for drawn in again)
    return float(roc_auc_score(near, said)), low, high, len(people)
