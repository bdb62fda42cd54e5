"""Customers whose research consent is in force."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Table
from stedi.tables.consent import CHANGES, records
from stedi.tables.landing.customer import FEED

_FIELDS = tuple(field.name for field in FEED.fields)
_OTHER_FIELDS = tuple(name for name in _FIELDS if name not in ("registrationDate", "shareWithResearchAsOfDate"))

TABLE = Table(
    name="customer_trusted",
    zone="trusted",
    meaning="the latest record of each customer whose consent to research is in force and not on hold",
    grain="one customer",
    key=("person",),
    inputs=("customer_landing", "consent_hold"),
    columns=(
        replace(PERSON, required=True),
        *(c for c in FEED.table.columns if c.name in _FIELDS),
    ),
    # Several records of one last moment may differ in other fields; the choice among them
    # must not depend on which file came first, so it goes by their content.
    person="person",
    query=f"""
WITH records AS ({records(*_FIELDS)}),
changes AS ({CHANGES}),
newest AS (
    SELECT *, row_number() OVER (PARTITION BY person ORDER BY changed_at DESC) AS age
    FROM changes
),
candidates AS (
    SELECT n.person, {", ".join(f"r.{f}" for f in _FIELDS)},
        row_number() OVER (PARTITION BY n.person ORDER BY {
        ", ".join(f"r.{f} DESC NULLS LAST" for f in ("registrationDate", "shareWithResearchAsOfDate", *_OTHER_FIELDS))
    }) AS choice
    FROM newest AS n
    JOIN records AS r ON r.person = n.person AND r.changed_at = n.changed_at
    WHERE n.age = 1 AND n.consents AND NOT EXISTS (SELECT 1 FROM consent_hold AS h WHERE h.person = n.person)
)
SELECT person, {", ".join(_FIELDS)} FROM candidates WHERE choice = 1
""",
    rules=(
        Rule(
            "consent_in_force",
            "error",
            "every customer here shares with research",
            where="shareWithResearchAsOfDate IS NULL",
        ),
        unique("one_row_a_customer", "a customer appears once", "person"),
        Rule("birthday_plausible", "warn", "nobody alive was born before 1900", where="birthDay < '1900-01-01'"),
    ),
    sort=("person",),
    incremental=IncrementalSpec(
        "person",
        {
            "customer_landing": KeyedInput("person", columns=("person", *_FIELDS)),
            "consent_hold": BroadcastInput("SELECT person AS k FROM {changed}", ("person",)),
        },
    ),
)
