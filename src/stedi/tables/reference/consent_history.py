"""Intervals in which each customer's research consent was in force."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule
from stedi.model.table import Column, Table
from stedi.tables.consent import NO_END, consent_intervals

TABLE = Table(
    name="consent_history",
    zone="reference",
    meaning="intervals in which each customer's consent to research was in force, derived from the customer records",
    grain="one interval of one customer's consent",
    key=("person", "consented_from_ms"),
    inputs=("customer_landing",),
    columns=(
        replace(PERSON, required=True),
        Column("consented_from_ms", "long", "start of the interval, included (ms since the epoch, UTC)", required=True),
        Column(
            "consented_to_ms",
            "long",
            "end of the interval, excluded (ms since the epoch, UTC); null while consent is in force or on hold",
        ),
    ),
    person="person",
    covers_everyone=True,
    query=consent_intervals(),
    rules=(
        Rule("interval_has_length", "error", "intervals end after they start", where="consented_to_ms <= consented_from_ms"),
        Rule(
            "intervals_apart",
            "error",
            "intervals of one customer do not overlap",
            violations=f"""
            SELECT person, consented_from_ms, 1 AS n FROM (
                SELECT person, consented_from_ms,
                    lag(coalesce(consented_to_ms, {NO_END}))
                        OVER (PARTITION BY person ORDER BY consented_from_ms) AS previous_end
                FROM {{rows}}) AS intervals
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
