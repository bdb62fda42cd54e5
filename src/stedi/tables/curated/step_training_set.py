"""Samples of the phone's motion, and at which of them the step trainer saw a step: what the detector learns from."""

from stedi.model.identity import customer_pseudonym
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.resampling import SAMPLE_MS, resampled
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.curated.pseudonyms import KNOWN_PSEUDONYM

# A step trainer that reports 10 times a second and loses four readings in a row leaves half a
# second, which is a step: beyond it nobody knows whether one was missed.
COVER_MS = 500
# A foot is in front of the sensor for about a tenth of a second, at a stroll for a quarter. What
# stays longer than a slow stride's stance is an object.
LONGEST_PASS_MS = 600
# People run at 2.5 to 3.5 steps a second and sprint at less than 5, so two dips within 200 ms are
# one foot, seen twice.
REFRACTORY_MS = 200
# A share of readings that hold a foot: of a walk it is 10 to 25%, so this finds the nearest
# distance also of a device that saw somebody walk for a tenth of its time.
NEAR_PERCENT = 2
# How many times further the lowest 2% lie below the median than the upper quarter lies above it.
# Of noise alone it is 3 times where that is Gaussian and 2 times where it is even, as on the public
# landing set; where feet pass, the simulator's noisiest device has 36, and pads have no noise.
CONTRAST = 12
# Quantiles of few readings are chance. Of 100 readings of noise in whole numbers 5 devices in
# 10,000 pass for contrast, of 200 one in 100,000.
FEWEST_READINGS = 100

# A step that is known less precisely marks the wrong one of the samples, which come every 20 ms: a detector has to
# learn where in the motion a step is, and is scored by steps within 100 ms. Nor does a reading whose time on the phone's
# clock is not known teach anything.
MOST_UNCERTAIN_MS = 50

_IN_TIME = "PARTITION BY device_number ORDER BY t"
_SAMPLES_IN_TIME = "PARTITION BY customer_number ORDER BY at_ms, is_sample"


def _quantile(percent: int) -> str:
    """SQL for the lower quantile of ranked distances: one of them, so that no engine rounds it differently."""
    return f"max(distance) FILTER (WHERE (place - 1) * 100 <= {percent} * (readings - 1))"


def _latest(value: str, order: str) -> str:
    """SQL for the latest value that is not null, up to each row of an order.

    Of times that grow it is the maximum, for half of that one's price: 6 s instead of 13 s of 15 million rows.
    """
    return f"last_value({value} IGNORE NULLS) OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"


# Weights are parts in a thousand of the way from the floor to the foot, so that their sums are
# the same in any order.
_DEPTH = "floor(1000 * least(1.0::DOUBLE, (floor_distance - distance) / (floor_distance - near_distance)) + 0.5)::BIGINT"
_CENTROID = f"run_ms + floor(sum({_DEPTH} * (t - run_ms))::DOUBLE / sum({_DEPTH}) + 0.5)::BIGINT"

TABLE = Table(
    name="step_training_set",
    zone="curated",
    meaning="the phone's motion at a steady rate while the step trainer watched, and the steps that it saw",
    grain="one sample of one customer's phone",
    key=("customer_pseudonym", "at_ms"),
    inputs=("accelerometer_trusted", "step_trainer_trusted", "customers_curated"),
    columns=(
        Column("customer_pseudonym", "string", "the customer, under a keyed pseudonym", required=True),
        Column(
            "session",
            "long",
            "the unbroken stretch that the sample belongs to, by the time of its first (ms since the epoch, UTC)",
            required=True,
        ),
        Column("at_ms", "long", "the sample's time, every 20 ms (ms since the epoch, UTC)", required=True),
        Column("x", "double", "acceleration along the phone's x axis, between the readings around", required=True),
        Column("y", "double", "acceleration along the phone's y axis, between the readings around", required=True),
        Column("z", "double", "acceleration along the phone's z axis, between the readings around", required=True),
        Column("is_step", "boolean", "whether a foot passed the step trainer nearest to this sample", required=True),
    ),
    person="customer_pseudonym",
    person_is_pseudonym=True,
    # Steps: the floor is the median distance, a foot the lowest 2%. A pass is a run of readings
    # nearer than midway between the two, and the step is its centre, weighted by depth.
    # Samples: those from the first to the last of some device's readings that lie close together.
    # Stretches of several devices that overlap, or are at most a sample apart, are one cover:
    # a covered sample right after another is in the same, so where one begins a session begins.
    query=f"""
WITH customers AS (
    SELECT person, customer_pseudonym, row_number() OVER (ORDER BY customer_pseudonym) AS customer_number
    FROM customers_curated
),
devices AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT serialNumber FROM step_trainer_trusted) AS serials
),
distances AS (
    SELECT c.customer_number, d.device_number, s.phone_time_ms AS t, min(s.distanceFromObject) AS distance
    FROM step_trainer_trusted AS s
    JOIN customers AS c ON c.person = s.person
    JOIN devices AS d ON d.serialNumber = s.serialNumber
    WHERE s.clock_uncertainty_ms <= {MOST_UNCERTAIN_MS}
    GROUP BY c.customer_number, d.device_number, s.phone_time_ms
),
watched AS (
    SELECT *, coalesce(t - lag(t) OVER ({_IN_TIME}) > {COVER_MS}, true) AS begins FROM distances
),
stretches AS (
    SELECT customer_number, from_ms, max(t) AS to_ms
    FROM (
        SELECT *, {_latest("CASE WHEN begins THEN t END", _IN_TIME)} AS from_ms FROM watched
    ) AS placed
    GROUP BY customer_number, device_number, from_ms
),
covers AS (
    SELECT customer_number, cover_ms AS from_ms, max(to_ms) AS to_ms
    FROM (
        SELECT *, {_latest("begins_ms", "PARTITION BY customer_number ORDER BY from_ms, to_ms")} AS cover_ms
        FROM (
            SELECT *, CASE WHEN from_ms - max(to_ms) OVER (
                PARTITION BY customer_number ORDER BY from_ms, to_ms ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) <= {SAMPLE_MS} THEN NULL ELSE from_ms END AS begins_ms
            FROM stretches
        ) AS followed
    ) AS placed
    GROUP BY customer_number, cover_ms
),
ranked AS (
    SELECT device_number, distance,
        row_number() OVER (PARTITION BY device_number ORDER BY distance) AS place,
        count(*) OVER (PARTITION BY device_number) AS readings
    FROM distances
),
levels AS (
    SELECT device_number, readings,
        {_quantile(NEAR_PERCENT)} AS near_distance,
        {_quantile(50)} AS floor_distance,
        {_quantile(75)} AS upper_distance
    FROM ranked GROUP BY device_number, readings
),
seen AS (
    SELECT w.*, l.floor_distance, l.near_distance, w.distance < (l.floor_distance + l.near_distance) / 2 AS is_near
    FROM watched AS w JOIN levels AS l ON l.device_number = w.device_number
    WHERE l.readings >= {FEWEST_READINGS} AND l.near_distance < l.floor_distance
        AND l.floor_distance - l.near_distance >= {CONTRAST} * (l.upper_distance - l.floor_distance)
),
turns AS (
    SELECT *, begins OR is_near <> lag(is_near) OVER ({_IN_TIME}) AS turns FROM seen
),
runs AS (
    SELECT *, {_latest("CASE WHEN turns THEN t END", _IN_TIME)} AS run_ms FROM turns
),
passes AS (
    SELECT customer_number, device_number, {_CENTROID} AS t
    FROM runs WHERE is_near
    GROUP BY customer_number, device_number, run_ms
    HAVING max(t) - run_ms <= {LONGEST_PASS_MS}
),
steps AS (
    SELECT DISTINCT customer_number, t + {SAMPLE_MS // 2} - (t + {SAMPLE_MS // 2}) % {SAMPLE_MS} AS at_ms
    FROM (SELECT *, t - lag(t) OVER ({_IN_TIME}) AS since_ms FROM passes) AS followed
    WHERE since_ms IS NULL OR since_ms >= {REFRACTORY_MS}
),
readings AS (
    SELECT c.customer_number, a.timeStamp AS t, a.x, a.y, a.z
    FROM accelerometer_trusted AS a JOIN customers AS c ON c.person = a.person
),
marked AS (
    SELECT customer_number, at_ms, 1 AS is_sample, x, y, z, NULL::BIGINT AS to_ms
    FROM ({resampled("readings", "customer_number")}) AS samples
    UNION ALL
    SELECT customer_number, from_ms, 0, NULL, NULL, NULL, to_ms FROM covers
),
covered AS (
    SELECT *, {_latest("to_ms", _SAMPLES_IN_TIME)} AS covered_to_ms,
        CASE WHEN lag(is_sample) OVER ({_SAMPLES_IN_TIME}) = 1
            AND at_ms - lag(at_ms) OVER ({_SAMPLES_IN_TIME}) = {SAMPLE_MS} THEN NULL ELSE at_ms END AS begins_ms
    FROM marked
),
sessions AS (
    SELECT *, {_latest("begins_ms", _SAMPLES_IN_TIME)} AS session
    FROM covered WHERE is_sample = 1 AND at_ms <= covered_to_ms
)
SELECT c.customer_pseudonym, s.session, s.at_ms, s.x, s.y, s.z, p.at_ms IS NOT NULL AS is_step, s.customer_number
FROM sessions AS s
JOIN customers AS c ON c.customer_number = s.customer_number
LEFT JOIN steps AS p ON p.customer_number = s.customer_number AND p.at_ms = s.at_ms
""",
    rules=(
        unique("one_sample_a_moment", "a customer has one sample at a time", "customer_pseudonym", "at_ms"),
        KNOWN_PSEUDONYM,
        Rule(
            "steps_seen",
            "warn",
            "a customer of whom no step was seen teaches what rest looks like, and no steps",
            violations="""
            SELECT customer_pseudonym, count(*) AS n FROM {rows}
            GROUP BY customer_pseudonym HAVING NOT bool_or(is_step)""",
            by=("customer_pseudonym",),
        ),
    ),
    day="at_ms",
    sort=("customer_pseudonym", "at_ms"),
    sort_by=("customer_number", "at_ms"),
    incremental=IncrementalSpec(
        "customer_pseudonym",
        {
            "accelerometer_trusted": KeyedInput(
                "person", columns=("person", "timeStamp", "x", "y", "z"), lookup_column="person"
            ),
            "step_trainer_trusted": KeyedInput(
                "person",
                columns=("person", "serialNumber", "phone_time_ms", "clock_uncertainty_ms", "distanceFromObject"),
                lookup_column="person",
            ),
            "customers_curated": BroadcastInput("SELECT person AS k FROM {changed}", ("person", "customer_pseudonym")),
        },
        key=customer_pseudonym("k"),
    ),
    on_demand=True,
)
