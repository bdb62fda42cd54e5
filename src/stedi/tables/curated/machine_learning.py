"""Step-trainer readings beside the accelerometer readings of the same customer and moment."""

from stedi.model.identity import customer_pseudonym, device_pseudonym
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.query_settings import MOST_TOLERANCE_MS
from stedi.model.table import Column, Table
from stedi.tables.curated.pseudonyms import KNOWN_PSEUDONYM
from stedi.tables.reference.device_evidence import HOUR_MS

# Readings of a pair are at most the largest tolerance apart, and readings of a phone that compete for one of a device twice
# as much.
_STEP_MARGIN_MS, _READING_MARGIN_MS = MOST_TOLERANCE_MS, 2 * MOST_TOLERANCE_MS
# Times at most a tolerance apart lie in the same bucket of that width, or in neighbours.
_TOLERANCE = "$match_tolerance_ms::BIGINT"
_BUCKET_MS = f"greatest({_TOLERANCE}, 1)"
# Step-trainer readings under numbers of customers and devices. With a filter in place of `exact_ms` the planner would
# misjudge how many there are, and the join would take half as long again.
_STEPS = """
    SELECT c.customer_number, d.device_number, s.sensorReadingTime, s.phone_time_ms, s.distanceFromObject,
        CASE WHEN s.clock_uncertainty_ms = 0 THEN s.phone_time_ms END AS exact_ms
    FROM step_trainer_trusted AS s
    JOIN customers AS c ON c.person = s.person
    JOIN devices AS d ON d.serialNumber = s.serialNumber"""

TABLE = Table(
    name="machine_learning_curated",
    zone="curated",
    meaning="step-trainer readings with the same customer's accelerometer readings of the same moment, under pseudonyms",
    grain="one step-trainer reading × one accelerometer reading",
    key=(
        *("customer_pseudonym", "device_pseudonym", "timeStamp", "sensorReadingTime"),
        *("distanceFromObject", "x", "y", "z"),
    ),
    inputs=("step_trainer_trusted", "accelerometer_trusted", "customers_curated"),
    columns=(
        Column("customer_pseudonym", "string", "the customer, under a keyed pseudonym", required=True),
        Column("device_pseudonym", "string", "the step trainer, under a keyed pseudonym", required=True),
        Column(
            "timeStamp",
            "long",
            "when the accelerometer reading was taken, by the phone's clock (ms since the epoch, UTC)",
            required=True,
        ),
        Column("x", "double", "acceleration along the phone's x axis", required=True),
        Column("y", "double", "acceleration along the phone's y axis", required=True),
        Column("z", "double", "acceleration along the phone's z axis", required=True),
        Column(
            "distanceFromObject",
            "double",
            "distance of the object in front of the step trainer",
            required=True,
        ),
        Column(
            "sensorReadingTime",
            "long",
            "when the step-trainer reading was taken, by the device's clock (ms since the epoch, UTC)",
            required=True,
        ),
    ),
    person="customer_pseudonym",
    person_is_pseudonym=True,
    # A step-trainer reading pairs with the readings of one time of the phone: the same, where clocks agree to the
    # millisecond; else the nearest within the tolerance, the earlier of two as near. An offset that is known less precisely
    # than the tolerance asks for could make any of several times the nearest, so nothing pairs.
    # Readings meet under numbers, which cost half of what addresses and pseudonyms cost.
    query=f"""
WITH customers AS (
    SELECT person, customer_pseudonym, row_number() OVER (ORDER BY customer_pseudonym) AS customer_number
    FROM customers_curated
),
devices AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number,
        {device_pseudonym("serialNumber")} AS device_pseudonym
    FROM (SELECT DISTINCT serialNumber FROM step_trainer_trusted) AS serials
),
exact AS (
    SELECT s.customer_number, s.device_number, s.sensorReadingTime, s.distanceFromObject, a.timeStamp, a.x, a.y, a.z
    FROM ({_STEPS}) AS s
    JOIN (
        SELECT c.customer_number, a.timeStamp, a.x, a.y, a.z
        FROM accelerometer_trusted AS a JOIN customers AS c ON c.person = a.person
    ) AS a ON a.customer_number = s.customer_number AND a.timeStamp = s.exact_ms
),
shifted AS (
    {_STEPS}
    WHERE s.clock_uncertainty_ms > 0 AND s.clock_uncertainty_ms <= {_TOLERANCE}
),
near AS (
    SELECT customer_number, phone_time_ms, phone_time_ms // {_BUCKET_MS} + shift AS bucket
    FROM (SELECT DISTINCT customer_number, phone_time_ms FROM shifted) AS times
    CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS shifts
),
nearest AS (
    SELECT n.customer_number, n.phone_time_ms, a.timeStamp, a.x, a.y, a.z, rank() OVER (
        PARTITION BY n.customer_number, n.phone_time_ms ORDER BY abs(a.timeStamp - n.phone_time_ms), a.timeStamp
    ) AS place
    FROM accelerometer_trusted AS a
    JOIN customers AS c ON c.person = a.person
    JOIN near AS n ON n.customer_number = c.customer_number AND n.bucket = a.timeStamp // {_BUCKET_MS}
    WHERE abs(a.timeStamp - n.phone_time_ms) <= {_TOLERANCE}
),
pairs AS (
    SELECT * FROM exact
    UNION ALL
    SELECT s.customer_number, s.device_number, s.sensorReadingTime, s.distanceFromObject, n.timeStamp, n.x, n.y, n.z
    FROM shifted AS s JOIN nearest AS n ON n.customer_number = s.customer_number AND n.phone_time_ms = s.phone_time_ms
    WHERE n.place = 1
)
SELECT c.customer_pseudonym, d.device_pseudonym, p.timeStamp, p.x, p.y, p.z, p.distanceFromObject, p.sensorReadingTime,
    p.customer_number
FROM pairs AS p
JOIN customers AS c ON c.customer_number = p.customer_number
JOIN devices AS d ON d.device_number = p.device_number
""",
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
