"""Step-trainer readings of devices whose owner consented to research."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import Rule
from stedi.model.table import Column, Table
from stedi.tables.consent import ENDLESS, taken_after_consent, usable
from stedi.tables.reference.device_evidence import HOUR_MS

_DEVICES_OF_CHANGED = (
    "SELECT o.serialNumber AS k FROM {changed} AS changed JOIN device_owner AS o ON o.person = changed.person"
)

TABLE = Table(
    name="step_trainer_trusted",
    zone="trusted",
    meaning="distinct step-trainer readings of devices whose owner is in customers_curated",
    grain="one distinct reading",
    key=("serialNumber", "sensorReadingTime", "distanceFromObject"),
    inputs=("step_trainer_landing", "device_evidence", "device_owner", "customers_curated", "consent_history"),
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
        Column(
            "phone_time_ms",
            "long",
            "when the reading was taken, by the clock of the owner's phone (ms since the epoch, UTC); empty when not known",
        ),
        Column(
            "clock_uncertainty_ms",
            "double",
            "how far off phone_time_ms may be (ms); 0 where the clocks agree to the millisecond",
        ),
    ),
    # Adding nothing makes 0.0 of -0.0, as for accelerometer_trusted.
    person="person",
    # Each hour's evidence of the owner tells the offset. Without any, or where most times of an hour do not coincide, and
    # the few that do may be chance, clocks are taken to agree unless most of the period's evidence says that they differ:
    # then the offset is not known. The period has an offset, too, but it changes with each new reading, which would compute
    # all readings of the device again.
    query=f"""
WITH owned AS (
    SELECT o.serialNumber, o.person, o.clock_differs,
        coalesce(o.from_ms, -{ENDLESS}) AS from_ms, coalesce(o.to_ms, {ENDLESS}) AS to_ms,
        dense_rank() OVER (ORDER BY o.serialNumber) AS device_number,
        dense_rank() OVER (ORDER BY o.person) AS person_number
    FROM device_owner AS o JOIN customers_curated AS c ON c.person = o.person
),
readings AS (
    SELECT DISTINCT s.sensorReadingTime, o.device_number, s.distanceFromObject + 0.0 AS distanceFromObject
    FROM step_trainer_landing AS s
    JOIN (SELECT DISTINCT serialNumber, device_number FROM owned) AS o ON o.serialNumber = s.device
),
usable AS ({usable("customers_curated")}),
spans AS (
    SELECT o.device_number, o.serialNumber, o.person, o.person_number, o.clock_differs,
        greatest(o.from_ms, u.from_ms) AS from_ms, least(o.to_ms, u.to_ms) AS to_ms
    FROM owned AS o JOIN usable AS u ON u.person = o.person
),
-- A phone that records without a pause coincides at any offset, so it does not tell that clocks differ.
offsets AS (
    SELECT o.device_number, e.hour_ms, e.offset_ms, e.offset_uncertainty_ms
    FROM device_evidence AS e
    JOIN owned AS o
      ON o.serialNumber = e.serialNumber AND o.person = e.person AND e.hour_ms >= o.from_ms AND e.hour_ms < o.to_ms
    WHERE 2 * e.coincidences >= e.compared_times - e.compared_before - e.compared_after
        AND (o.clock_differs OR ((e.offset_ms <> 0 OR e.offset_uncertainty_ms > 0) AND NOT e.is_continuous))
)
SELECT r.sensorReadingTime, s.serialNumber, r.distanceFromObject, s.person,
    CASE
        WHEN o.device_number IS NOT NULL THEN floor(r.sensorReadingTime - o.offset_ms + 0.5)::BIGINT
        WHEN NOT s.clock_differs THEN r.sensorReadingTime
    END AS phone_time_ms,
    coalesce(o.offset_uncertainty_ms, CASE WHEN NOT s.clock_differs THEN 0 END) AS clock_uncertainty_ms,
    s.person_number
FROM readings AS r
JOIN spans AS s
  ON s.device_number = r.device_number AND r.sensorReadingTime >= s.from_ms AND r.sensorReadingTime < s.to_ms
LEFT JOIN offsets AS o
  ON o.device_number = r.device_number AND o.hour_ms = r.sensorReadingTime - r.sensorReadingTime % {HOUR_MS}
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
    incremental=IncrementalSpec(
        "serialNumber",
        {
            "step_trainer_landing": KeyedInput(
                "device",
                "sensorReadingTime",
                ("sensorReadingTime", "device", "distanceFromObject"),
                lookup_column="device",
            ),
            "device_evidence": KeyedInput(
                "serialNumber",
                "hour_ms",
                (
                    *("serialNumber", "hour_ms", "person", "compared_times", "coincidences"),
                    *("compared_before", "compared_after", "offset_ms", "offset_uncertainty_ms", "is_continuous"),
                ),
            ),
            "device_owner": BroadcastInput(
                "SELECT serialNumber AS k FROM {changed}", ("serialNumber", "person", "from_ms", "to_ms", "clock_differs")
            ),
            "customers_curated": BroadcastInput(_DEVICES_OF_CHANGED, ("person",)),
            "consent_history": BroadcastInput(_DEVICES_OF_CHANGED),
        },
        span_ms=HOUR_MS,
    ),
)
