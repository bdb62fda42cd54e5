"""True step times from a file, by the pseudonyms under which the training set knows people."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stedi.config import Settings
from stedi.engines.embedded.moments import moments
from stedi.engines.embedded.session import Session
from stedi.identity import customer_pseudonym, person
from stedi.ml.assessment import Truth
from stedi.pipeline import pseudonym_key, query_parameters


def read_truth(settings: Settings, path: Path) -> Truth:
    """Step times (ms since the epoch) of each pseudonymous person, sorted, from CSV or JSON with `user` and `timeStamp`.

    Raises:
        UsageError: the file is missing, is neither, or lacks a column.
    """
    who = customer_pseudonym(person("spelled"))
    with TemporaryDirectory() as scratch, Session(scratch=Path(scratch)) as session:
        session.set_parameters(query_parameters(settings.consent.policy, pseudonym_key(settings, may_make=False)))
        return {row["who"]: np.asarray(row["moments"], np.float64) for row in moments(session, path, who)}
