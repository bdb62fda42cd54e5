"""Accelerometer readings of customers who consent to research."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, references
from stedi.model.table import Column, Table
from stedi.tables.consent import taken_after_consent, usable_spans
from stedi.tables.landing.accelerometer import FEED

# Rows are deduplicated by a number for each person instead of the address, at half the cost. Addresses are joined at the
# end. Adding 0.0 turns -0.0 into 0.0: they are equal, and engines differ in which of them DISTINCT keeps.
_QUERY = f"""
WITH customers AS (
    SELECT person, email, row_number() OVER (ORDER BY person) AS person_number FROM customer_trusted
),
distinct_readings AS (
    SELECT DISTINCT c.person_number, a.timeStamp, a.x + 0.0 AS x, a.y + 0.0 AS y, a.z + 0.0 AS z
    FROM accelerometer_landing AS a JOIN customers AS c ON c.person = a.person
),
usable_spans AS ({usable_spans("customer_trusted")}),
customer_spans AS (
    SELECT c.person_number, c.person, c.email, u.from_ms, u.to_ms
    FROM customers AS c JOIN usable_spans AS u ON u.person = c.person
)
SELECT s.email AS "user", r.timeStamp, r.x, r.y, r.z, s.person, s.person_number
FROM distinct_readings AS r JOIN customer_spans AS s
  ON s.person_number = r.person_number AND r.timeStamp >= s.from_ms AND r.timeStamp < s.to_ms
"""

TABLE = Table(
    name="accelerometer_trusted",
    zone="trusted",
    meaning="distinct accelerometer readings of the customers in customer_trusted",
    grain="one distinct reading",
    key=("person", "timeStamp", "x", "y", "z"),
    inputs=("accelerometer_landing", "customer_trusted", "consent_history"),
    columns=(
        Column("user", "string", "e-mail address as in the customer's newest record", personal=True, required=True),
        *(column for column in FEED.table.columns if column.name in ("timeStamp", "x", "y", "z")),
        replace(PERSON, required=True),
    ),
    person="person",
    query=_QUERY,
    rules=(
        references("customer_consents", "every person is in customer_trusted", "person", "customer_trusted"),
        Rule(
            "one_reading_a_moment",
            "warn",
            "a customer has one reading at a time; conflicting readings are all kept",
            # Few times have several readings. Finding these times first halves the cost.
            violations="""
            SELECT person, timeStamp, count(*) AS n FROM {rows}
            WHERE timeStamp IN (SELECT timeStamp FROM {rows} GROUP BY timeStamp HAVING count(*) > 1)
            GROUP BY person, timeStamp HAVING count(*) > 1""",
            by=("person", "timeStamp"),
        ),
        taken_after_consent("timeStamp"),
    ),
    day="timeStamp",
    sort=("person", "timeStamp"),
    sort_by=("person_number", "timeStamp"),
    parameters=("consent_policy",),
    incremental=IncrementalSpec(
        "person",
        {
            "accelerometer_landing": KeyedInput(
                "person", "timeStamp", ("person", "timeStamp", "x", "y", "z"), lookup_column="person"
            ),
            "customer_trusted": BroadcastInput("SELECT person AS k FROM {changed}", ("person", "email")),
            "consent_history": BroadcastInput("SELECT person AS k FROM {changed}"),
        },
    ),
)
