"""Which customer each device belongs to, by what evidence, how sure that is, and from when to when."""

from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.reference.device_evidence import COMPARED_TIMES, HOUR_MS, SERIAL
from stedi.tables.reference.owner_probability import weighed

# An hour that is somebody's with this probability is not another's, and ends the other's period. Of such hours, 19 in 20
# are right.
_TURN = 0.9
# Readings so close to each other are one sitting: it may begin or end in an hour in which nothing else coincides.
_SITTING_GAP_MS = 60_000
# Evidence against a sole claim has to be this many times as sure: at least so many sole claims are right for a wrong one.
_CLAIM_ODDS = 10
_SOLE_CLAIM = "(claimants = 1 AND claimant <> '')"


OWNER_IS_CLEAR = Rule(
    "owner_is_clear",
    "warn",
    "readings of a device whose owner is not clear feed nothing",
    violations="""
    SELECT serialNumber, sum(reading_times)::BIGINT AS n FROM {rows}
    WHERE person IS NULL AND reading_times > 0 GROUP BY serialNumber""",
    by=("serialNumber",),
)

TABLE = Table(
    name="device_owner",
    zone="reference",
    meaning="which customer each device belongs to, from claims and from coinciding reading times, over all customers",
    grain="one device × period",
    key=("serialNumber", "period"),
    inputs=("customer_landing", "device_evidence"),
    columns=(
        SERIAL,
        Column("period", "long", "number of the period: a device that changes hands has several", required=True),
        Column("from_ms", "long", "start of the period (ms since the epoch, UTC); empty for a device's first"),
        Column(
            "to_ms",
            "long",
            "end of the period, which is not part of it (ms since the epoch, UTC); empty for a device's last",
        ),
        Column(
            "person",
            "string",
            "the owner, by the e-mail address in the form in which all its spellings agree; empty when not clear",
            personal=True,
        ),
        Column("status", "string", "claimed, confirmed, inferred, ambiguous or unknown", required=True),
        Column(
            "confidence",
            "double",
            "probability, from reading times alone, that the device is the best candidate's; empty without a candidate",
        ),
        Column(
            "claimants",
            "long",
            "customers whose records carry this serial; one more when a record has no e-mail address",
            required=True,
        ),
        Column("reading_times", "long", "distinct times of the period at which the device took a reading", required=True),
        Column("first_reading_ms", "long", "the first of them (ms since the epoch, UTC)"),
        Column("last_reading_ms", "long", "the last of them (ms since the epoch, UTC)"),
        COMPARED_TIMES,
        Column(
            "coincidences",
            "long",
            "of those, how many coincide with readings of the best candidate's accelerometer, at the offset",
            required=True,
        ),
        Column("runner_up_coincidences", "long", "the same of the second-best candidate, at its best offset", required=True),
        Column("offset_ms", "double", "how far the device's clock is ahead of the best candidate's phone (ms)"),
        Column("offset_uncertainty_ms", "double", "half the width of the range of its offsets (ms)"),
        Column(
            "clock_differs",
            "boolean",
            "whether most coincidences with the owner's phone are at an offset; otherwise clocks are taken to agree",
            required=True,
        ),
    ),
    person="person",
    covers_everyone=True,
    # Hours that are somebody's by themselves tell where a device changed hands: a run of hours of one person is a period,
    # and hours between two people's are nobody's. Other devices have one period.
    query=f"""
WITH claims AS (
    SELECT DISTINCT device AS serialNumber, coalesce(person, '') AS person
    FROM customer_landing WHERE device IS NOT NULL
),
claim_counts AS (
    SELECT serialNumber, count(*) AS claimants, max(person) AS claimant FROM claims GROUP BY serialNumber
),
devices AS MATERIALIZED (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device
    FROM (SELECT serialNumber FROM device_evidence UNION SELECT serialNumber FROM claim_counts) AS seen
),
claims_by_device AS (
    SELECT d.device, c.claimants, c.claimant FROM claim_counts AS c JOIN devices AS d ON d.serialNumber = c.serialNumber
),
evidence AS MATERIALIZED (
    SELECT e.*, d.device FROM device_evidence AS e JOIN devices AS d ON d.serialNumber = e.serialNumber
),
of_several AS MATERIALIZED (
    SELECT e.* FROM evidence AS e
    JOIN (
        SELECT device FROM evidence WHERE place = 1 GROUP BY device HAVING count(DISTINCT person) > 1
    ) AS s ON s.device = e.device
),
{weighed("hour_by_hour", "of_several", "device, hour_ms")},
clear_hours AS (
    SELECT device, hour_ms, max(begins_ms) OVER (PARTITION BY device ORDER BY hour_ms) AS run_ms
    FROM (
        SELECT *, CASE WHEN candidate = lag(candidate) OVER (PARTITION BY device ORDER BY hour_ms) THEN NULL
            ELSE hour_ms END AS begins_ms
        FROM hour_by_hour WHERE leads AND probability >= {_TURN}
    ) AS clear
),
-- The runs around each hour: the one that it is in or follows, and the one that it is in or precedes.
between_runs AS (
    SELECT h.device, h.hour_ms,
        max(c.run_ms) OVER (PARTITION BY h.device ORDER BY h.hour_ms) AS before_ms,
        min(c.run_ms) OVER (PARTITION BY h.device ORDER BY h.hour_ms DESC) AS after_ms
    FROM hour_by_hour_hours AS h
    LEFT JOIN clear_hours AS c ON c.device = h.device AND c.hour_ms = h.hour_ms
),
-- Numbers that stand in the order of time: even ones for runs, odd ones for what lies between two.
numbered_hours AS MATERIALIZED (
    SELECT device, hour_ms,
        2 * coalesce(before_ms, after_ms) + CASE WHEN before_ms <> after_ms THEN 1 ELSE 0 END AS stretch
    FROM between_runs
),
stretches AS MATERIALIZED (
    SELECT e.*, coalesce(n.stretch, 0) AS stretch
    FROM evidence AS e
    LEFT JOIN numbered_hours AS n ON n.device = e.device AND n.hour_ms = e.hour_ms
),
{weighed("weighed", "stretches", "device, stretch")},
device_stretches AS (
    SELECT device, stretch, count(*) OVER (PARTITION BY device) = 1 AS is_only, false AS lacks_readings
    FROM (SELECT DISTINCT device, stretch FROM stretches) AS found
    UNION ALL
    SELECT device, 0, true, true FROM devices WHERE device NOT IN (SELECT device FROM evidence)
),
-- A claim says nothing of when, so it can't tell whose a stretch of several is, nor does it where somebody else is likelier.
doubts AS (
    SELECT d.device, d.stretch, d.is_only, c.claimants, c.claimant, w.candidate, w.probability, w.matched, w.runner_up,
        w.offset_ms, w.offset_uncertainty_ms, w.clock_differs, w.first_hour_ms, w.last_hour_ms, w.leads,
        {_SOLE_CLAIM} AS is_claimed,
        (1 - probability) * CASE WHEN {_SOLE_CLAIM} AND candidate <> claimant THEN {_CLAIM_ODDS} ELSE 1 END AS doubt
    FROM device_stretches AS d
    LEFT JOIN claims_by_device AS c ON c.device = d.device
    LEFT JOIN weighed AS w ON w.device = d.device AND w.stretch = d.stretch
),
judged AS MATERIALIZED (
    SELECT *,
        CASE
            WHEN leads AND doubt <= 1 - $owners_confidence::DOUBLE THEN
                CASE WHEN is_claimed AND candidate = claimant THEN 'confirmed' ELSE 'inferred' END
            WHEN is_claimed AND is_only AND coalesce(candidate = claimant OR probability < 0.5, true) THEN 'claimed'
            WHEN claimants > 0 OR candidate IS NOT NULL THEN 'ambiguous'
            ELSE 'unknown'
        END AS status
    FROM doubts
),
hours AS (
    SELECT *, last_reading_ms + {_SITTING_GAP_MS} >= lead(first_reading_ms) OVER in_time AS goes_on,
        first_reading_ms - {_SITTING_GAP_MS} <= lag(last_reading_ms) OVER in_time AS went_on
    FROM stretches WHERE place <= 1
    WINDOW in_time AS (PARTITION BY device ORDER BY hour_ms)
),
-- Reading times alone say nothing of the sittings before the first that coincides or after the last.
within AS (
    SELECT h.*,
        CASE WHEN j.status <> 'inferred' AND (j.status <> 'confirmed' OR j.is_only) THEN 0
            WHEN h.hour_ms < j.first_hour_ms - CASE WHEN h.goes_on THEN {HOUR_MS} ELSE 0 END THEN -1
            WHEN h.hour_ms > j.last_hour_ms + CASE WHEN h.went_on THEN {HOUR_MS} ELSE 0 END THEN 1
            ELSE 0 END AS beyond
    FROM hours AS h JOIN judged AS j ON j.device = h.device AND j.stretch = h.stretch
),
periods AS (
    SELECT *, row_number() OVER in_time AS period, lead(starts_ms) OVER in_time AS to_ms
    FROM (
        SELECT device, stretch, beyond, min(hour_ms) AS starts_ms, sum(reading_times)::BIGINT AS reading_times,
            min(first_reading_ms) AS first_reading_ms, max(last_reading_ms) AS last_reading_ms,
            sum(compared_times)::BIGINT AS compared_times
        FROM within GROUP BY device, stretch, beyond
        UNION ALL
        SELECT device, stretch, 0, NULL, 0, NULL, NULL, 0 FROM device_stretches WHERE lacks_readings
    ) AS counted
    WINDOW in_time AS (PARTITION BY device ORDER BY stretch, beyond)
)
SELECT d.serialNumber, p.period,
    CASE WHEN p.period > 1 THEN p.starts_ms END AS from_ms,
    p.to_ms,
    CASE WHEN j.status IN ('confirmed', 'claimed') THEN j.claimant WHEN j.status = 'inferred' THEN j.candidate END AS person,
    coalesce(j.status, CASE WHEN c.claimants > 0 THEN 'ambiguous' ELSE 'unknown' END) AS status,
    j.probability AS confidence,
    coalesce(c.claimants, 0) AS claimants,
    p.reading_times,
    p.first_reading_ms,
    p.last_reading_ms,
    p.compared_times,
    coalesce(j.matched, 0) AS coincidences,
    coalesce(j.runner_up, 0) AS runner_up_coincidences,
    j.offset_ms,
    j.offset_uncertainty_ms,
    coalesce(j.clock_differs AND (j.status <> 'claimed' OR j.candidate = j.claimant), false) AS clock_differs
FROM periods AS p
LEFT JOIN judged AS j ON j.device = p.device AND j.stretch = p.stretch AND p.beyond = 0
JOIN devices AS d ON d.device = p.device
LEFT JOIN claims_by_device AS c ON c.device = p.device
""",
    rules=(
        unique("one_row_a_period", "a device has each period once", "serialNumber", "period"),
        OWNER_IS_CLEAR,
    ),
    sort=("serialNumber", "period"),
    parameters=("owners_confidence",),
    incremental=IncrementalSpec(
        "serialNumber",
        {
            "customer_landing": KeyedInput("device", columns=("device", "person")),
            "device_evidence": KeyedInput("serialNumber"),
        },
    ),
)
