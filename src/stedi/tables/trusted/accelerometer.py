"""Accelerometer readings of customers who consented to research."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import Rule
from stedi.model.table import Column, Table
from stedi.tables.consent import taken_after_consent, usable

TABLE = Table(
    name="accelerometer_trusted",
    zone="trusted",
    meaning="distinct accelerometer readings of the customers in customer_trusted",
    grain="one distinct reading",
    key=("person", "timeStamp", "x", "y", "z"),
    inputs=("accelerometer_landing", "customer_trusted", "consent_history"),
    columns=(
        Column(
            "user",
            "string",
            "e-mail address as the customer's latest record spells it",
            personal=True,
            required=True,
        ),
        Column("timeStamp", "long", "when the reading was taken (ms since the epoch, UTC)", required=True),
        Column("x", "double", "acceleration along the phone's x axis", required=True),
        Column("y", "double", "acceleration along the phone's y axis", required=True),
        Column("z", "double", "acceleration along the phone's z axis", required=True),
        replace(PERSON, required=True),
    ),
    # Readings are told apart under a number for each person, which costs half of what their
    # addresses cost, and get the addresses back at the end. Adding nothing makes 0.0 of -0.0: they
    # are one value, of which some engines keep the first that they meet, and others always 0.0.
    person="person",
    query=f"""
WITH customers AS (
    SELECT person, email, row_number() OVER (ORDER BY person) AS person_number FROM customer_trusted
),
readings AS (
    SELECT DISTINCT c.person_number, a.timeStamp, a.x + 0.0 AS x, a.y + 0.0 AS y, a.z + 0.0 AS z
    FROM accelerometer_landing AS a JOIN customers AS c ON c.person = a.person
),
usable AS ({usable("customer_trusted")}),
spans AS (
    SELECT c.person_number, c.person, c.email, u.from_ms, u.to_ms
    FROM customers AS c JOIN usable AS u ON u.person = c.person
)
SELECT s.email AS "user", r.timeStamp, r.x, r.y, r.z, s.person, s.person_number
FROM readings AS r JOIN spans AS s
  ON s.person_number = r.person_number AND r.timeStamp >= s.from_ms AND r.timeStamp < s.to_ms
""",
    rules=(
        Rule(
            "customer_consents",
            "error",
            "every reading belongs to a customer in customer_trusted",
            violations="""
            SELECT person, n FROM (SELECT person, count(*) AS n FROM {rows} GROUP BY person) AS r
            WHERE NOT EXISTS (SELECT 1 FROM customer_trusted AS c WHERE c.person = r.person)""",
            by=("person",),
        ),
        Rule(
            "one_reading_a_moment",
            "warn",
            "different readings of one customer at one moment conflict; all are kept",
            # Few times have two readings of anybody, and finding these first costs half.
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
