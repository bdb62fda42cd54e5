"""Intervals in which each customer's research consent was in force."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule
from stedi.model.table import Column, Table
from stedi.tables.consent import CHANGES, records

TABLE = Table(
    name="consent_history",
    zone="reference",
    meaning="when each customer's consent to research was in force, read off the change feed",
    grain="one interval of one customer's consent",
    key=("person", "consented_from_ms"),
    inputs=("customer_landing",),
    columns=(
        replace(PERSON, required=True),
        Column(
            "consented_from_ms",
            "long",
            "start of the interval, included (ms since the epoch, UTC)",
            required=True,
        ),
        Column("consented_to_ms", "long", "end of the interval, excluded; empty while consent is in force or on hold"),
    ),
    # An interval opens with the first consenting change after a non-consenting one (or after
    # none), never before that last withdrawal, and closes with the next non-consenting one.
    person="person",
    covers_everyone=True,
    query=f"""
WITH records AS ({records("shareWithResearchAsOfDate")}),
changes AS ({CHANGES}),
turns AS (
    SELECT *,
        lag(consents) OVER sequence AS consented_before,
        lag(changed_at) OVER sequence AS changed_before
    FROM changes
    WINDOW sequence AS (PARTITION BY person ORDER BY changed_at)
),
edges AS (
    SELECT person, consents, changed_at,
        greatest(shared_as_of, changed_before) AS opens_at
    FROM turns
    WHERE consents <> coalesce(consented_before, false)
),
intervals AS (
    SELECT person, consents, opens_at,
        lead(changed_at) OVER (PARTITION BY person ORDER BY changed_at) AS closes_at
    FROM edges
)
SELECT person, opens_at AS consented_from_ms, closes_at AS consented_to_ms
FROM intervals
WHERE consents AND (closes_at IS NULL OR opens_at < closes_at)
""",
    rules=(
        Rule(
            "interval_has_length",
            "error",
            "an interval ends after it starts",
            where="consented_to_ms <= consented_from_ms",
        ),
        Rule(
            "intervals_apart",
            "error",
            "a customer's intervals do not overlap, and none appears twice",
            violations="""
            SELECT person, consented_from_ms, 1 AS n FROM (
                SELECT person, consented_from_ms,
                    lag(coalesce(consented_to_ms, 9223372036854775807))
                        OVER (PARTITION BY person ORDER BY consented_from_ms) AS previous_end
                FROM {rows}) AS pairs
            WHERE consented_from_ms < previous_end""",
            by=("person", "consented_from_ms"),
        ),
    ),
    sort=("person", "consented_from_ms"),
    incremental=IncrementalSpec(
        "person",
        {
            "customer_landing": KeyedInput(
                "person", columns=("person", "registrationDate", "lastUpdateDate", "shareWithResearchAsOfDate")
            )
        },
    ),
)
