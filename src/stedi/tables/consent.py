"""The one definition of when a customer's data may be used for research, as parts of SQL queries."""

from stedi.model.rules import Rule

# The end of an interval without an end: the largest BIGINT, which is after every time.
NO_END = 9223372036854775807

# Query over the CTE `records`: one row (person, changed_at, consents, shared_as_of) for each time of a customer's records.
# Consent needs all records of that time: if one lacks it, there is none.
CONSENT_CHANGES = """
    SELECT person, changed_at,
        count(*) = count(shareWithResearchAsOfDate) AS consents,
        max(shareWithResearchAsOfDate) AS shared_as_of
    FROM records
    GROUP BY person, changed_at
"""

_INTERVALS = f"""
    SELECT person, consented_from_ms AS from_ms, coalesce(consented_to_ms, {NO_END}) AS to_ms FROM consent_history
"""


def customer_records(*fields: str) -> str:
    """Write the query for the customer records that have an e-mail address.

    Returns:
        SQL with the columns person, changed_at and registered_at (ms since the epoch, UTC), and the given fields.
    """
    return f"""
    SELECT person,
        coalesce(lastUpdateDate, registrationDate) AS changed_at,
        coalesce(registrationDate, lastUpdateDate) AS registered_at,
        {", ".join(fields)}
    FROM customer_landing
    WHERE person IS NOT NULL
"""


def usable_spans(people: str) -> str:
    """Write the query for the spans of time whose readings may be used.

    Under the policy `reading` these are the intervals of consent. Under `customer` it is all time. Spans of one person
    do not overlap.

    Args:
        people: the table with the people for whom spans are returned.

    Returns:
        SQL with the columns person, from_ms (included) and to_ms (excluded).
    """
    return f"""
    SELECT person, from_ms, to_ms FROM ({_INTERVALS}) AS intervals
    WHERE $consent_policy = 'reading' AND person IN (SELECT person FROM {people})
    UNION ALL
    SELECT person, -{NO_END} AS from_ms, {NO_END} AS to_ms FROM {people}
    WHERE $consent_policy = 'customer'
"""


def taken_after_consent(time: str) -> Rule:
    """Make the rule that counts readings taken while consent was not in force.

    Intervals of one person do not overlap, so a reading is in at most one.

    Args:
        time: the column with the time of a reading.
    """
    return Rule(
        "taken_after_consent",
        "warn",
        "every reading was taken while consent was in force; the policy `customer` also keeps others",
        violations=f"""
        SELECT r.person, count(*) - count(i.person) AS n
        FROM {{rows}} AS r LEFT JOIN ({_INTERVALS}) AS i
          ON i.person = r.person AND r.{time} >= i.from_ms AND r.{time} < i.to_ms
        GROUP BY r.person HAVING count(*) > count(i.person)""",
        by=("person",),
    )
