"""The one definition of when a customer's consent is in force, for research and other purposes, as parts of SQL queries."""

from stedi.model.rules import Rule

# The end of an interval without an end: the largest BIGINT, which is after every time.
NO_END = 9223372036854775807

# The purposes that a customer may consent to, and the field of the customer records with the start of each consent.
PURPOSES = {
    "research": "shareWithResearchAsOfDate",
    "public": "shareWithPublicAsOfDate",
    "friends": "shareWithFriendsAsOfDate",
}
RESEARCH = PURPOSES["research"]

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


def consent_changes(field: str = RESEARCH) -> str:
    """Write the query for the times at which customers' records changed, from a CTE `records` (see `customer_records`).

    Consent needs all records of a time: if one lacks it, there is none.

    Args:
        field: the field of one of the `PURPOSES`.

    Returns:
        SQL with the columns person, changed_at, consents, and shared_as_of (the consent date).
    """
    return f"""
    SELECT person, changed_at,
        count(*) = count({field}) AS consents,
        max({field}) AS shared_as_of
    FROM records
    GROUP BY person, changed_at
"""


def consent_intervals(field: str = RESEARCH) -> str:
    """Write the query for the intervals in which each customer's consent to a purpose was in force.

    An interval starts with the first consenting change, or the first one after a withdrawal, and ends with the next
    withdrawal. It never starts before the last change without consent, even if the consent date is earlier.

    Args:
        field: the field of one of the `PURPOSES`.

    Returns:
        SQL over `customer_landing` with the columns person, consented_from_ms (included) and consented_to_ms (excluded,
        null while consent is in force or on hold).
    """
    return f"""
WITH records AS ({customer_records(field)}),
changes AS ({consent_changes(field)}),
changes_in_order AS (
    SELECT *,
        lag(consents) OVER by_time AS previously_consents,
        lag(changed_at) OVER by_time AS previously_changed_at
    FROM changes
    WINDOW by_time AS (PARTITION BY person ORDER BY changed_at)
),
-- Changes that give or withdraw consent.
switches AS (
    SELECT person, consents, changed_at, greatest(shared_as_of, previously_changed_at) AS from_ms
    FROM changes_in_order
    WHERE consents <> coalesce(previously_consents, false)
),
-- Consent lasts until the next switch, which withdraws it.
intervals AS (
    SELECT person, consents, from_ms, lead(changed_at) OVER (PARTITION BY person ORDER BY changed_at) AS to_ms
    FROM switches
)
SELECT person, from_ms AS consented_from_ms, to_ms AS consented_to_ms
FROM intervals
WHERE consents AND (to_ms IS NULL OR from_ms < to_ms)
"""


def withdrawals(field: str = RESEARCH) -> str:
    """Write the query for the customers who withdrew their consent to a purpose and have not given it again.

    A withdrawal is received with the first record that says so: it arrives first of those without consent that are not
    older than the last consent.

    Args:
        field: the field of one of the `PURPOSES`.

    Returns:
        SQL over `customer_landing`, with the columns person and received_ms (ms since the epoch, UTC).
    """
    return _without_consent(field, "max(shared_as_of) IS NOT NULL AND NOT max_by(consents, changed_at)")


def people_without_consent(field: str = RESEARCH) -> str:
    """Write the query for the customers who withdrew their consent to a purpose or never gave it.

    Args:
        field: the field of one of the `PURPOSES`.

    Returns:
        SQL over `customer_landing`, with the columns person and received_ms: arrival of the first record that says so (ms
        since the epoch, UTC).
    """
    return _without_consent(field, "NOT max_by(consents, changed_at)")


def _without_consent(field: str, condition: str) -> str:
    return f"""
WITH records AS ({customer_records(field, "arrived_at")}),
changes AS ({consent_changes(field)}),
lacking AS (
    SELECT person, coalesce(max(changed_at) FILTER (WHERE consents), -{NO_END}) AS consented_at
    FROM changes
    GROUP BY person
    HAVING {condition}
)
SELECT w.person, epoch_ms(min(r.arrived_at)) AS received_ms
FROM lacking AS w JOIN records AS r ON r.person = w.person
WHERE r.changed_at > w.consented_at AND r.{field} IS NULL
GROUP BY w.person
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
