"""Customers whose research consent is in force."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import not_null, unique
from stedi.model.table import Table
from stedi.tables.consent import consent_changes, customer_records
from stedi.tables.landing.customer import BIRTHDAY_PLAUSIBLE, FEED

_FIELDS = tuple(field.name for field in FEED.fields)
# Several records of the newest time may differ in other fields. The order depends on their content alone, so the choice
# among them does not depend on the order of files.
_PREFERENCE = ("registrationDate", "shareWithResearchAsOfDate")
_ORDER = ", ".join(f"r.{name} DESC NULLS LAST" for name in dict.fromkeys((*_PREFERENCE, *_FIELDS)))

_QUERY = f"""
WITH records AS ({customer_records(*_FIELDS)}),
changes AS ({consent_changes()}),
-- The newest change of a customer has age 1.
changes_by_age AS (
    SELECT *, row_number() OVER (PARTITION BY person ORDER BY changed_at DESC) AS age
    FROM changes
),
-- The records of the newest change of consenting customers, in order of preference.
newest_records AS (
    SELECT c.person, {", ".join(f"r.{name}" for name in _FIELDS)},
        row_number() OVER (PARTITION BY c.person ORDER BY {_ORDER}) AS preference
    FROM changes_by_age AS c
    JOIN records AS r ON r.person = c.person AND r.changed_at = c.changed_at
    WHERE c.age = 1 AND c.consents AND NOT EXISTS (SELECT 1 FROM consent_hold AS h WHERE h.person = c.person)
)
SELECT person, {", ".join(_FIELDS)} FROM newest_records WHERE preference = 1
"""

TABLE = Table(
    name="customer_trusted",
    zone="trusted",
    meaning="the newest record of each customer whose consent to research is in force and not on hold",
    grain="one customer",
    key=("person",),
    inputs=("customer_landing", "consent_hold"),
    columns=(
        replace(PERSON, required=True),
        *(column for column in FEED.table.columns if column.name in _FIELDS),
    ),
    person="person",
    query=_QUERY,
    rules=(
        not_null("consent_in_force", "every customer shares with research", "shareWithResearchAsOfDate"),
        unique("one_row_a_customer", "customers are unique", "person"),
        BIRTHDAY_PLAUSIBLE,
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
