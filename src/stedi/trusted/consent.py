"""The one definition of who a customer is and when their data may be used for research."""


def person(email: str) -> str:
    """SQL for the identity behind an e-mail address: addresses match trimmed and case-folded."""
    return f"lower(trim({email}))"


# One row for each moment at which a customer's record changed. Records of one moment that
# disagree mean no consent, so consent holds only where every one of them gives it.
CHANGES = f"""
    SELECT
        {person("email")} AS person,
        coalesce(lastUpdateDate, registrationDate) AS changed_at,
        coalesce(registrationDate, lastUpdateDate) AS registered_at,
        count(*) = count(shareWithResearchAsOfDate) AS consents,
        max(shareWithResearchAsOfDate) AS shared_as_of
    FROM customer_landing
    WHERE trim(email) <> ''
    GROUP BY 1, 2, 3
"""


def allowed(person_column: str, time_column: str) -> str:
    """SQL that holds where a reading of a consenting person may be used under the policy in force.

    Under `reading` it counts only inside an interval of consent, closed at the start and open
    at the end; under `customer` every reading of a consenting customer does.
    """
    return f"""(
        $consent_policy = 'customer'
        OR EXISTS (
            SELECT 1 FROM consent_history AS h
            WHERE h.person = {person_column}
              AND {time_column} >= h.consented_from_ms
              AND ({time_column} < h.consented_to_ms OR h.consented_to_ms IS NULL)
        )
    )"""
