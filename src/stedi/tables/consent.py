"""The one definition of when a customer's data may be used for research."""

from stedi.model.rules import Rule


def records(*fields: str) -> str:
    """SQL for the customer records of somebody: person, changed_at, registered_at, and some of the feed's fields."""
    return f"""
    SELECT person,
        coalesce(lastUpdateDate, registrationDate) AS changed_at,
        coalesce(registrationDate, lastUpdateDate) AS registered_at,
        {", ".join(fields)}
    FROM customer_landing
    WHERE person IS NOT NULL
"""


# One row for each moment at which a customer's record changed. Records of one moment that disagree mean no
# consent, whatever else differs between them, so consent holds only where every one of them gives it.
CHANGES = """
    SELECT person, changed_at,
        count(*) = count(shareWithResearchAsOfDate) AS consents,
        max(shareWithResearchAsOfDate) AS shared_as_of
    FROM records
    GROUP BY person, changed_at
"""


# The largest BIGINT stands for "no end": every time lies before it.
ENDLESS = 9223372036854775807

INTERVALS = f"""
    SELECT person, consented_from_ms AS from_ms, coalesce(consented_to_ms, {ENDLESS}) AS to_ms FROM consent_history
"""


def usable(people: str) -> str:
    """SQL for the spans of time (person, from_ms, to_ms) whose readings may be used, of the people in a table.

    Under the policy `reading` these are their intervals of consent, closed at the start and
    open at the end; under `customer` all time is. Spans of one person do not overlap.
    """
    return f"""
    SELECT person, from_ms, to_ms FROM ({INTERVALS}) AS intervals
    WHERE $consent_policy = 'reading' AND person IN (SELECT person FROM {people})
    UNION ALL
    SELECT person, -{ENDLESS} AS from_ms, {ENDLESS} AS to_ms FROM {people}
    WHERE $consent_policy = 'customer'
"""


def taken_after_consent(time: str) -> Rule:
    """The rule that counts the kept readings that were taken while consent was not in force.

    Intervals of one person do not overlap, so a reading meets at most one.
    """
    return Rule(
        "taken_after_consent",
        "warn",
        "readings taken while consent was not in force are kept under the policy `customer`",
        violations=f"""
        SELECT r.person, count(*) - count(i.person) AS n
        FROM {{rows}} AS r LEFT JOIN ({INTERVALS}) AS i
          ON i.person = r.person AND r.{time} >= i.from_ms AND r.{time} < i.to_ms
        GROUP BY r.person HAVING count(*) > count(i.person)""",
        by=("person",),
    )
