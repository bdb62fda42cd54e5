"""Step-trainer readings paired with accelerometer readings of the same customer and time."""

from stedi.model.identity import customer_pseudonym, device_pseudonym
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.query_settings import MAX_TOLERANCE_MS
from stedi.model.table import Column, Table
from stedi.tables.curated.pseudonyms import CUSTOMER_PSEUDONYM, KNOWN_PSEUDONYM
from stedi.tables.reference.device_evidence import HOUR_MS
from stedi.tables.trusted import accelerometer, step_trainer

# Paired readings are at most the largest tolerance apart. Two readings of a phone that compete for a reading of a device
# are at most twice as far apart.
_STEP_MARGIN_MS, _READING_MARGIN_MS = MAX_TOLERANCE_MS, 2 * MAX_TOLERANCE_MS
# Times at most a tolerance apart are in the same bucket of that width or in adjacent ones.
_TOLERANCE = "$match_tolerance_ms::BIGINT"
_BUCKET_MS = f"greatest({_TOLERANCE}, 1)"
_ACCELEROMETER = {column.name: column for column in accelerometer.TABLE.columns}
_STEP_TRAINER = {column.name: column for column in step_trainer.TABLE.columns}

# Step-trainer readings with numbers for customers and devices, and with `exact_ms` if the clocks agree. With a filter
# instead of `exact_ms`, DuckDB's planner misestimates the number of rows, and the join takes 1.5 times as long.
_NUMBERED_STEPS = """
    SELECT c.customer_number, d.device_number, s.sensorReadingTime, s.phone_time_ms, s.distanceFromObject,
        CASE WHEN s.clock_uncertainty_ms = 0 THEN s.phone_time_ms END AS exact_ms
    FROM step_trainer_trusted AS s
    JOIN customers AS c ON c.person = s.person
    JOIN devices AS d ON d.serialNumber = s.serialNumber"""

# A step-trainer reading is paired with the phone's readings of one time: the same time if the clocks agree to the
# millisecond, otherwise the nearest within the tolerance, and the earlier of two equally near. A reading whose clock
# offset is less certain than the tolerance is not paired, because several times could be the nearest.
# Joins are on numbers, which cost half as much as addresses and pseudonyms.
_QUERY = f"""
WITH customers AS (
    SELECT person, customer_pseudonym, row_number() OVER (ORDER BY customer_pseudonym) AS customer_number
    FROM customers_curated
),
devices AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number,
        {device_pseudonym("serialNumber")} AS device_pseudonym
    FROM (SELECT DISTINCT serialNumber FROM step_trainer_trusted) AS serials
),
-- Clocks agree: equal times.
exact_pairs AS (
    SELECT s.customer_number, s.device_number, s.sensorReadingTime, s.distanceFromObject, a.timeStamp, a.x, a.y, a.z
    FROM ({_NUMBERED_STEPS}) AS s
    JOIN (
        SELECT c.customer_number, a.timeStamp, a.x, a.y, a.z
        FROM accelerometer_trusted AS a JOIN customers AS c ON c.person = a.person
    ) AS a ON a.customer_number = s.customer_number AND a.timeStamp = s.exact_ms
),
-- Clocks differ by a known offset: the nearest time, looked up by bucket.
offset_steps AS (
    {_NUMBERED_STEPS}
    WHERE s.clock_uncertainty_ms > 0 AND s.clock_uncertainty_ms <= {_TOLERANCE}
),
step_buckets AS (
    SELECT customer_number, phone_time_ms, phone_time_ms // {_BUCKET_MS} + shift AS bucket
    FROM (SELECT DISTINCT customer_number, phone_time_ms FROM offset_steps) AS times
    CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS shifts
),
-- Readings by distance in time. All readings of the nearest time have rank 1.
near_readings AS (
    SELECT b.customer_number, b.phone_time_ms, a.timeStamp, a.x, a.y, a.z, rank() OVER (
        PARTITION BY b.customer_number, b.phone_time_ms ORDER BY abs(a.timeStamp - b.phone_time_ms), a.timeStamp
    ) AS nearness
    FROM accelerometer_trusted AS a
    JOIN customers AS c ON c.person = a.person
    JOIN step_buckets AS b ON b.customer_number = c.customer_number AND b.bucket = a.timeStamp // {_BUCKET_MS}
    WHERE abs(a.timeStamp - b.phone_time_ms) <= {_TOLERANCE}
),
pairs AS (
    SELECT * FROM exact_pairs
    UNION ALL
    SELECT s.customer_number, s.device_number, s.sensorReadingTime, s.distanceFromObject, r.timeStamp, r.x, r.y, r.z
    FROM offset_steps AS s
    JOIN near_readings AS r ON r.customer_number = s.customer_number AND r.phone_time_ms = s.phone_time_ms
    WHERE r.nearness = 1
)
SELECT c.customer_pseudonym, d.device_pseudonym, p.timeStamp, p.x, p.y, p.z, p.distanceFromObject, p.sensorReadingTime,
    p.customer_number
FROM pairs AS p
JOIN customers AS c ON c.customer_number = p.customer_number
JOIN devices AS d ON d.device_number = p.device_number
"""

TABLE = Table(
    name="machine_learning_curated",
    zone="curated",
    meaning="step-trainer readings paired with accelerometer readings of the same customer and time, under pseudonyms",
    grain="one step-trainer reading × one accelerometer reading",
    key=(
        *("customer_pseudonym", "device_pseudonym", "timeStamp", "sensorReadingTime"),
        *("distanceFromObject", "x", "y", "z"),
    ),
    inputs=("step_trainer_trusted", "accelerometer_trusted", "customers_curated"),
    columns=(
        CUSTOMER_PSEUDONYM,
        Column("device_pseudonym", "string", "keyed pseudonym of the step trainer", required=True),
        *(_ACCELEROMETER[name] for name in ("timeStamp", "x", "y", "z")),
        *(_STEP_TRAINER[name] for name in ("distanceFromObject", "sensorReadingTime")),
    ),
    person="customer_pseudonym",
    person_is_pseudonym=True,
    query=_QUERY,
    rules=(KNOWN_PSEUDONYM,),
    day="timeStamp",
    sort=("customer_pseudonym", "timeStamp"),
    sort_by=("customer_number", "timeStamp"),
    parameters=("pseudonym_inner", "pseudonym_outer", "match_tolerance_ms"),
    incremental=IncrementalSpec(
        "customer_pseudonym",
        {
            "step_trainer_trusted": KeyedInput("person", "phone_time_ms", lookup_column="person", margin_ms=_STEP_MARGIN_MS),
            "accelerometer_trusted": KeyedInput(
                "person",
                "timeStamp",
                ("person", "timeStamp", "x", "y", "z"),
                lookup_column="person",
                margin_ms=_READING_MARGIN_MS,
            ),
            "customers_curated": BroadcastInput("SELECT person AS k FROM {changed}", ("person", "customer_pseudonym")),
        },
        key=customer_pseudonym("k"),
        span_ms=HOUR_MS,
    ),
)
