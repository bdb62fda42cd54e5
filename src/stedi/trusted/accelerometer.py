"""Accelerometer readings of customers who consented to research."""

from stedi.table import Column, Dimension, Fact, Rule, Scope, Table
from stedi.trusted.consent import allowed, person

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
        Column(
            "person",
            "string",
            "the e-mail address trimmed and case-folded: who this is",
            personal=True,
            required=True,
        ),
    ),
    query=f"""
WITH readings AS (
    SELECT DISTINCT {person('a."user"')} AS person, a.timeStamp, a.x, a.y, a.z
    FROM accelerometer_landing AS a
    WHERE {person('a."user"')} IN (SELECT person FROM customer_trusted)
)
SELECT c.email AS "user", r.timeStamp, r.x, r.y, r.z, r.person
FROM readings AS r JOIN customer_trusted AS c ON c.person = r.person
WHERE {allowed("r.person", "r.timeStamp")}
""",
    rules=(
        Rule(
            "customer_consents",
            "error",
            "every reading belongs to a customer in customer_trusted",
            violations="""
            SELECT coalesce(sum(n), 0) FROM (SELECT person, count(*) AS n FROM {rows} GROUP BY person) AS r
            WHERE NOT EXISTS (SELECT 1 FROM customer_trusted AS c WHERE c.person = r.person)""",
        ),
        Rule(
            "one_reading_a_moment",
            "warn",
            "different readings of one customer at one moment conflict; all are kept",
            violations="""SELECT coalesce(sum(n), 0) FROM (
                SELECT count(*) AS n FROM {rows} GROUP BY person, timeStamp HAVING count(*) > 1) AS conflicts""",
        ),
        Rule(
            "taken_after_consent",
            "warn",
            "readings from before consent are used under the policy `customer`",
            violations="""SELECT count(*) FROM {rows} AS r WHERE NOT EXISTS (
                SELECT 1 FROM consent_history AS h WHERE h.person = r.person
                  AND r.timeStamp >= h.consented_from_ms
                  AND (r.timeStamp < h.consented_to_ms OR h.consented_to_ms IS NULL))""",
        ),
    ),
    day="timeStamp",
    sort=("person", "timeStamp"),
    parameters=("consent_policy",),
    scope=Scope(
        "person",
        {
            "accelerometer_landing": Fact(person('"user"'), "timeStamp", ("user", "timeStamp", "x", "y", "z")),
            "customer_trusted": Dimension("SELECT person AS k FROM {changed}", ("person", "email")),
            "consent_history": Dimension("SELECT person AS k FROM {changed}"),
        },
    ),
)
