"""Training data of the step detector: resampled phone motion, labelled with the steps that a step trainer registered."""

from stedi.model.identity import customer_pseudonym
from stedi.model.incremental import BroadcastInput, IncrementalSpec, KeyedInput
from stedi.model.resampling import SAMPLE_MS, resample_sql
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.curated.pseudonyms import CUSTOMER_PSEUDONYM, KNOWN_PSEUDONYM

# Longest gap between readings of a step trainer within a stretch. A step trainer with 10 readings a second that loses
# four in a row leaves half a second, which is one step. In a longer gap, a step may have been missed.
MAX_GAP_MS = 500
# Longest pass of a foot. A foot is in front of the sensor for about a tenth of a second, at a stroll for a quarter.
# Anything that stays longer than the stance of a slow stride is an object.
MAX_PASS_MS = 600
# Shortest time between steps. People run at 2.5 to 3.5 steps a second and sprint at less than 5, so two dips within
# 200 ms are one foot.
REFRACTORY_MS = 200
# Quantile that is taken as the distance of a foot. During a walk, 10 to 25% of the readings are of a foot. So the 2%
# quantile is a foot even if somebody walked past the device for only a tenth of its time.
NEAR_PERCENT = 2
# A device registers feet if the 2% quantile is at least this many times as far below the median as the upper quartile is
# above it. Gaussian noise alone gives 3, uniform noise 2, as in the public landing set. With feet, the simulator's noisiest
# device has 36.
MIN_CONTRAST = 12
# Devices with fewer readings are left out, because their quantiles are chance. Of devices with readings of integer noise, 5
# in 10,000 reach the contrast with 100 readings, and one in 100,000 with 200.
MIN_READINGS = 100
# Readings whose time on the phone's clock is less certain, or unknown, are left out. They would label the wrong sample:
# samples are 20 ms apart, and the detector is scored by steps within 100 ms.
MAX_UNCERTAINTY_MS = 50

_DEVICE_IN_TIME = "PARTITION BY device_number ORDER BY time_ms"
_CUSTOMER_IN_TIME = "PARTITION BY customer_number ORDER BY at_ms, is_sample"


def _quantile(percent: int) -> str:
    """Write the lower quantile of ranked distances: an actual distance, so that both engines give the same."""
    return f"max(distance) FILTER (WHERE (rank - 1) * 100 <= {percent} * (readings - 1))"


def _latest(value: str, window: str) -> str:
    """Write the last value that is not null, up to each row of a window.

    For increasing times it equals the maximum, at half the cost: 6 s instead of 13 s for 15 million rows.
    """
    return f"last_value({value} IGNORE NULLS) OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"


# A reading's depth, from 0 at the floor to 1 at the foot, in thousandths, as integers: sums are the same in any order.
_DEPTH = "floor(1000 * least(1.0::DOUBLE, (floor_distance - distance) / (floor_distance - near_distance)) + 0.5)::BIGINT"
_CENTRE_OF_PASS = f"run_ms + floor(sum({_DEPTH} * (time_ms - run_ms))::DOUBLE / sum({_DEPTH}) + 0.5)::BIGINT"

_NUMBERS = """
customers AS (
    SELECT person, customer_pseudonym, row_number() OVER (ORDER BY customer_pseudonym) AS customer_number
    FROM customers_curated
),
devices AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT serialNumber FROM step_trainer_trusted) AS serials
)"""

# Times that step trainers cover: the stretches of each device, and the union of a customer's stretches. Stretches that
# overlap, or are at most a sample apart, are merged to one cover.
_COVERS = f"""
distances AS (
    SELECT c.customer_number, d.device_number, s.phone_time_ms AS time_ms, min(s.distanceFromObject) AS distance
    FROM step_trainer_trusted AS s
    JOIN customers AS c ON c.person = s.person
    JOIN devices AS d ON d.serialNumber = s.serialNumber
    WHERE s.clock_uncertainty_ms <= {MAX_UNCERTAINTY_MS}
    GROUP BY c.customer_number, d.device_number, s.phone_time_ms
),
distances_in_stretches AS (
    SELECT *, coalesce(time_ms - lag(time_ms) OVER ({_DEVICE_IN_TIME}) > {MAX_GAP_MS}, true) AS starts_stretch FROM distances
),
stretches AS (
    SELECT customer_number, from_ms, max(time_ms) AS to_ms
    FROM (
        SELECT *, {_latest("CASE WHEN starts_stretch THEN time_ms END", _DEVICE_IN_TIME)} AS from_ms
        FROM distances_in_stretches
    ) AS numbered
    GROUP BY customer_number, device_number, from_ms
),
covers AS (
    SELECT customer_number, cover_ms AS from_ms, max(to_ms) AS to_ms
    FROM (
        SELECT *, {_latest("starts_ms", "PARTITION BY customer_number ORDER BY from_ms, to_ms")} AS cover_ms
        FROM (
            SELECT *, CASE WHEN from_ms - max(to_ms) OVER (
                PARTITION BY customer_number ORDER BY from_ms, to_ms ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) <= {SAMPLE_MS} THEN NULL ELSE from_ms END AS starts_ms
            FROM stretches
        ) AS with_starts
    ) AS numbered
    GROUP BY customer_number, cover_ms
)"""

# Steps. The floor is a device's median distance, a foot its 2% quantile. A pass is a run of readings nearer than midway
# between the two. The step is at the centre of the pass, weighted by depth, rounded to the grid of samples.
_STEPS = f"""
ranked_distances AS (
    SELECT device_number, distance,
        row_number() OVER (PARTITION BY device_number ORDER BY distance) AS rank,
        count(*) OVER (PARTITION BY device_number) AS readings
    FROM distances
),
levels AS (
    SELECT device_number, readings,
        {_quantile(NEAR_PERCENT)} AS near_distance,
        {_quantile(50)} AS floor_distance,
        {_quantile(75)} AS upper_distance
    FROM ranked_distances GROUP BY device_number, readings
),
-- Readings of devices with enough contrast.
distances_with_levels AS (
    SELECT d.*, l.floor_distance, l.near_distance, d.distance < (l.floor_distance + l.near_distance) / 2 AS is_near
    FROM distances_in_stretches AS d JOIN levels AS l ON l.device_number = d.device_number
    WHERE l.readings >= {MIN_READINGS} AND l.near_distance < l.floor_distance
        AND l.floor_distance - l.near_distance >= {MIN_CONTRAST} * (l.upper_distance - l.floor_distance)
),
-- Runs of near and of far readings, by the time of their first.
distances_with_run_starts AS (
    SELECT *, starts_stretch OR is_near <> lag(is_near) OVER ({_DEVICE_IN_TIME}) AS starts_run FROM distances_with_levels
),
distances_in_runs AS (
    SELECT *, {_latest("CASE WHEN starts_run THEN time_ms END", _DEVICE_IN_TIME)} AS run_ms FROM distances_with_run_starts
),
passes AS (
    SELECT customer_number, device_number, {_CENTRE_OF_PASS} AS time_ms
    FROM distances_in_runs WHERE is_near
    GROUP BY customer_number, device_number, run_ms
    HAVING max(time_ms) - run_ms <= {MAX_PASS_MS}
),
steps AS (
    SELECT DISTINCT customer_number, time_ms + {SAMPLE_MS // 2} - (time_ms + {SAMPLE_MS // 2}) % {SAMPLE_MS} AS at_ms
    FROM (SELECT *, time_ms - lag(time_ms) OVER ({_DEVICE_IN_TIME}) AS since_previous_ms FROM passes) AS passes_in_time
    WHERE since_previous_ms IS NULL OR since_previous_ms >= {REFRACTORY_MS}
)"""

# Samples within a cover. The start of each cover is a row among the samples, with is_sample = 0. A sample that directly
# follows another one is in the same session, so a session starts at a cover's start or after a gap.
_SAMPLES = f"""
readings AS (
    SELECT c.customer_number, a.timeStamp AS t, a.x, a.y, a.z
    FROM accelerometer_trusted AS a JOIN customers AS c ON c.person = a.person
),
samples_and_cover_starts AS (
    SELECT customer_number, at_ms, 1 AS is_sample, x, y, z, NULL::BIGINT AS to_ms
    FROM ({resample_sql("readings", "customer_number")}) AS samples
    UNION ALL
    SELECT customer_number, from_ms, 0, NULL, NULL, NULL, to_ms FROM covers
),
samples_with_covers AS (
    SELECT *, {_latest("to_ms", _CUSTOMER_IN_TIME)} AS covered_to_ms,
        CASE WHEN lag(is_sample) OVER ({_CUSTOMER_IN_TIME}) = 1
            AND at_ms - lag(at_ms) OVER ({_CUSTOMER_IN_TIME}) = {SAMPLE_MS} THEN NULL ELSE at_ms END AS starts_ms
    FROM samples_and_cover_starts
),
samples_in_sessions AS (
    SELECT *, {_latest("starts_ms", _CUSTOMER_IN_TIME)} AS session
    FROM samples_with_covers WHERE is_sample = 1 AND at_ms <= covered_to_ms
)"""

_QUERY = f"""
WITH {",".join((_NUMBERS, _COVERS, _STEPS, _SAMPLES))}
SELECT c.customer_pseudonym, s.session, s.at_ms, s.x, s.y, s.z, p.at_ms IS NOT NULL AS is_step, s.customer_number
FROM samples_in_sessions AS s
JOIN customers AS c ON c.customer_number = s.customer_number
LEFT JOIN steps AS p ON p.customer_number = s.customer_number AND p.at_ms = s.at_ms
"""

TABLE = Table(
    name="step_training_set",
    zone="curated",
    meaning="resampled phone motion while a step trainer measured, and the steps that it registered",
    grain="one sample of one customer's phone",
    key=("customer_pseudonym", "at_ms"),
    inputs=("accelerometer_trusted", "step_trainer_trusted", "customers_curated"),
    columns=(
        CUSTOMER_PSEUDONYM,
        Column(
            "session",
            "long",
            "uninterrupted stretch of samples, by the time of its first sample (ms since the epoch, UTC)",
            required=True,
        ),
        Column("at_ms", "long", "time of the sample, a multiple of 20 ms (ms since the epoch, UTC)", required=True),
        Column("x", "double", "acceleration along the phone's x axis, interpolated", required=True),
        Column("y", "double", "acceleration along the phone's y axis, interpolated", required=True),
        Column("z", "double", "acceleration along the phone's z axis, interpolated", required=True),
        Column(
            "is_step",
            "boolean",
            "whether this sample is the nearest to a step: a foot passing the step trainer",
            required=True,
        ),
    ),
    person="customer_pseudonym",
    person_is_pseudonym=True,
    query=_QUERY,
    rules=(
        unique("one_sample_a_moment", "samples of a customer have distinct times", "customer_pseudonym", "at_ms"),
        KNOWN_PSEUDONYM,
        Rule(
            "steps_seen",
            "warn",
            "every customer has steps; from a customer without steps the detector learns only rest",
            violations="""
            SELECT customer_pseudonym, count(*) AS n FROM {rows}
            GROUP BY customer_pseudonym HAVING NOT bool_or(is_step)""",
            by=("customer_pseudonym",),
        ),
    ),
    day="at_ms",
    sort=("customer_pseudonym", "at_ms"),
    sort_by=("customer_number", "at_ms"),
    # The query reads pseudonyms from customers_curated. The incremental refresh computes them.
    parameters=("pseudonym_inner", "pseudonym_outer"),
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
