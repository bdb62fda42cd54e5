"""Step-trainer readings of devices whose owner consents to research."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, references
from stedi.model.table import Column, Table
from stedi.tables.consent import NO_END, taken_after_consent, usable_spans
from stedi.tables.landing.step_trainer import FEED
from stedi.tables.reference.device_evidence import HOUR_MS, SERIAL

_DEVICES_OF_CHANGED_PEOPLE = (
    "SELECT o.serialNumber AS k FROM {changed} AS changed JOIN device_owner AS o ON o.person = changed.person"
)
_LANDING = {column.name: column for column in FEED.table.columns}

# The offset of a device's clock comes from each hour's evidence for the owner. The period has an offset, too, but that
# changes with each new reading, so that all readings of the device would be recomputed.
# In an hour without evidence, or with fewer than half of the times coinciding (possibly by chance), clocks are assumed to
# agree. But if most coincidences of the period are at an offset (clock_differs), the offset of that hour is unknown.
# Adding 0.0 turns -0.0 into 0.0, as in accelerometer_trusted.
_QUERY = f"""
WITH owned_periods AS (
    SELECT o.serialNumber, o.person, o.clock_differs,
        coalesce(o.from_ms, -{NO_END}) AS from_ms, coalesce(o.to_ms, {NO_END}) AS to_ms,
        dense_rank() OVER (ORDER BY o.serialNumber) AS device_number,
        dense_rank() OVER (ORDER BY o.person) AS person_number
    FROM device_owner AS o JOIN customers_curated AS c ON c.person = o.person
),
distinct_readings AS (
    SELECT DISTINCT s.sensorReadingTime, d.device_number, s.distanceFromObject + 0.0 AS distanceFromObject
    FROM step_trainer_landing AS s
    JOIN (SELECT DISTINCT serialNumber, device_number FROM owned_periods) AS d ON d.serialNumber = s.device
),
usable_spans AS ({usable_spans("customers_curated")}),
-- Spans of time in which a device has an owner and the owner's readings may be used.
device_spans AS (
    SELECT o.device_number, o.serialNumber, o.person, o.person_number, o.clock_differs,
        greatest(o.from_ms, u.from_ms) AS from_ms, least(o.to_ms, u.to_ms) AS to_ms
    FROM owned_periods AS o JOIN usable_spans AS u ON u.person = o.person
),
-- Hours in which at least half of the times between the first and the last coincidence coincide. A phone that records
-- continuously coincides at any offset, so this alone is no evidence that clocks differ.
hourly_offsets AS (
    SELECT o.device_number, e.hour_ms, e.offset_ms, e.offset_uncertainty_ms
    FROM device_evidence AS e
    JOIN owned_periods AS o
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
FROM distinct_readings AS r
JOIN device_spans AS s
  ON s.device_number = r.device_number AND r.sensorReadingTime >= s.from_ms AND r.sensorReadingTime < s.to_ms
LEFT JOIN hourly_offsets AS o
  ON o.device_number = r.device_number AND o.hour_ms = r.sensorReadingTime - r.sensorReadingTime % {HOUR_MS}
"""

TABLE = Table(
    name="step_trainer_trusted",
    zone="trusted",
    meaning="distinct step-trainer readings of devices whose owner is in customers_curated",
    grain="one distinct reading",
    key=("serialNumber", "sensorReadingTime", "distanceFromObject"),
    inputs=("step_trainer_landing", "device_evidence", "device_owner", "customers_curated", "consent_history"),
    columns=(
        _LANDING["sensorReadingTime"],
        SERIAL,
        _LANDING["distanceFromObject"],
        replace(PERSON, meaning=f"the owner: {PERSON.meaning}", required=True),
        Column(
            "phone_time_ms",
            "long",
            "time of the reading on the clock of the owner's phone (ms since the epoch, UTC); null if unknown",
        ),
        Column(
            "clock_uncertainty_ms",
            "double",
            "largest error of phone_time_ms (ms); 0 if the clocks agree to the millisecond",
        ),
    ),
    person="person",
    query=_QUERY,
    rules=(
        references("owner_consents", "every owner is in customers_curated", "person", "customers_curated"),
        Rule(
            "one_distance_a_moment",
            "warn",
            "a device has one distance at a time; conflicting distances are all kept",
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
            "customers_curated": BroadcastInput(_DEVICES_OF_CHANGED_PEOPLE, ("person",)),
            "consent_history": BroadcastInput(_DEVICES_OF_CHANGED_PEOPLE),
        },
        span_ms=HOUR_MS,
    ),
)
