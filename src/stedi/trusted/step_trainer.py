"""Step-trainer readings of devices whose owner consented to research."""

from dataclasses import replace

from stedi.identity import PERSON
from stedi.table import Column, Dimension, Fact, Rule, Scope, Table
from stedi.trusted.consent import taken_after_consent, usable

_DEVICES_OF_CHANGED = (
    "SELECT o.serialNumber AS k FROM {changed} AS changed JOIN device_owner AS o ON o.person = changed.person"
)

TABLE = Table(
    name="step_trainer_trusted",
    zone="trusted",
    meaning="distinct step-trainer readings of devices whose owner is in customers_curated",
    grain="one distinct reading",
    key=("serialNumber", "sensorReadingTime", "distanceFromObject"),
    inputs=("step_trainer_landing", "device_owner", "customers_curated", "consent_history"),
    columns=(
        Column("sensorReadingTime", "long", "when the reading was taken (ms since the epoch, UTC)", required=True),
        Column(
            "serialNumber",
            "string",
            "serial number that the device reports, trimmed and case-folded",
            personal=True,
            required=True,
        ),
        Column("distanceFromObject", "double", "distance of the object in front of the sensor", required=True),
        replace(PERSON, meaning=f"{PERSON.meaning}, of the owner", required=True),
    ),
    # Adding nothing makes 0.0 of -0.0, as for accelerometer_trusted.
    person="person",
    query=f"""
WITH owned AS (
    SELECT o.serialNumber, o.person,
        row_number() OVER (ORDER BY o.serialNumber) AS device_number,
        dense_rank() OVER (ORDER BY o.person) AS person_number
    FROM device_owner AS o JOIN customers_curated AS c ON c.person = o.person
),
readings AS (
    SELECT DISTINCT s.sensorReadingTime, o.device_number, s.distanceFromObject + 0.0 AS distanceFromObject
    FROM step_trainer_landing AS s JOIN owned AS o ON o.serialNumber = s.device
),
usable AS ({usable("customers_curated")}),
spans AS (
    SELECT o.device_number, o.serialNumber, o.person, o.person_number, u.from_ms, u.to_ms
    FROM owned AS o JOIN usable AS u ON u.person = o.person
)
SELECT r.sensorReadingTime, s.serialNumber, r.distanceFromObject, s.person, s.person_number
FROM readings AS r JOIN spans AS s
  ON s.device_number = r.device_number AND r.sensorReadingTime >= s.from_ms AND r.sensorReadingTime < s.to_ms
""",
    rules=(
        Rule(
            "owner_consents",
            "error",
            "every reading belongs to a customer in customers_curated",
            violations="""
            SELECT person, n FROM (SELECT person, count(*) AS n FROM {rows} GROUP BY person) AS r
            WHERE NOT EXISTS (SELECT 1 FROM customers_curated AS c WHERE c.person = r.person)""",
            by=("person",),
        ),
        Rule(
            "one_distance_a_moment",
            "warn",
            "different distances of one device at one moment conflict; all are kept",
            violations="""
            SELECT serialNumber, sensorReadingTime, count(*) AS n FROM {rows}
            GROUP BY serialNumber, sensorReadingTime HAVING count(*) > 1""",
            by=("serialNumber", "sensorReadingTime"),
        ),
        taken_after_consent("sensorReadingTime"),
    ),
    day="sensorReadingTime",
    sort=("person", "sensorReadingTime"),
    sort_by=("person_number", "sensorReadingTime"),
    parameters=("consent_policy",),
    scope=Scope(
        "serialNumber",
        {
            "step_trainer_landing": Fact(
                "device",
                "sensorReadingTime",
                ("sensorReadingTime", "device", "distanceFromObject"),
                spelling="device",
            ),
            "device_owner": Dimension("SELECT serialNumber AS k FROM {changed}", ("serialNumber", "person")),
            "customers_curated": Dimension(_DEVICES_OF_CHANGED, ("person",)),
            "consent_history": Dimension(_DEVICES_OF_CHANGED),
        },
    ),
)
