"""Consent at the time of a reading, in the words of `verify`, and in those of the tables."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi.tables.reference import consent_history
from stedi.verify.invariants import readings_outside_consent

# The time of a change, and the date of the consent that it gives (None: it withdraws).
Change = tuple[int, int | None]
TIMES = range(40)


def outside_consent(changes: list[Change], policy: str = "reading") -> tuple[list[int], list[int]]:
    """The times at which a reading of Ann violates the invariant, and those outside her `consent_history`."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE customer_landing (person VARCHAR, lastUpdateDate BIGINT, registrationDate BIGINT, "
            "shareWithResearchAsOfDate BIGINT, arrived_at TIMESTAMPTZ)"
        )
        for changed_at, shared in changes:
            connection.execute("INSERT INTO customer_landing VALUES ('ann', $1, 0, $2, now())", [changed_at, shared])
        connection.execute("CREATE TABLE trusted AS SELECT 'ann' AS person, range AS t FROM range($1)", [TIMES.stop])
        query = f"SELECT t FROM ({readings_outside_consent('trusted', 't')}) AS outside ORDER BY t"
        violations = [time for (time,) in connection.execute(query, {"consent_policy": policy}).fetchall()]
        spans = connection.execute(
            f"SELECT consented_from_ms, coalesce(consented_to_ms, {TIMES.stop}) FROM ({consent_history.TABLE.query}) AS h"
        ).fetchall()
    return violations, [time for time in TIMES if not any(start <= time < end for start, end in spans)]


@pytest.mark.parametrize(
    ("changes", "excluded"),
    [
        ([(0, None), (10, 8), (20, None), (30, 25)], [*range(8), *range(20, 25)]),
        # Consent given for a time before the withdrawal does not undo the withdrawal.
        ([(10, 8), (20, None), (30, 12)], [*range(8)]),
        # Records of the same time that disagree are no consent.
        ([(10, 8), (20, 8), (20, None)], [*range(8), *range(20, 40)]),
        ([(10, None)], [*TIMES]),
    ],
)
def test_readings_outside_consent_are_found(changes: list[Change], excluded: list[int]) -> None:
    assert outside_consent(changes) == (excluded, excluded)
    assert outside_consent(changes, policy="customer")[0] == []


CHANGES = st.tuples(st.sampled_from([1, 5, 9, 13, 17, 30]), st.none() | st.sampled_from([0, 5, 8, 14, 35]))


@settings(deadline=None, max_examples=40)
@given(st.lists(CHANGES, max_size=6))
def test_verify_and_the_tables_agree_on_when_consent_was_in_force(changes: list[Change]) -> None:
    violations, outside = outside_consent(changes)
    assert violations == outside
