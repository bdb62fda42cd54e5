"""The owner of each device and period, with the evidence and its probability."""

from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.reference.device_evidence import COMPARED_TIMES, HOUR_MS, SERIAL
from stedi.tables.reference.owner_probability import best_candidates

# An hour is clear if its evidence alone gives somebody this probability. It then ends another person's period. 19 in 20
# clear hours are right.
_CLEAR_HOUR = 0.9
# Readings at most this far apart are one sitting, which may start or end in an hour without coincidences.
_SITTING_GAP_MS = 60_000
# Prior odds of a sole claim: at least this many are right for each wrong one. Evidence against a sole claim needs an error
# probability that is smaller by this factor.
_CLAIM_ODDS = 10
# SQL condition: one customer claims the device.
_HAS_SOLE_CLAIM = "(claimants = 1 AND claimant <> '')"

OWNER_IS_CLEAR = Rule(
    "owner_is_clear",
    "warn",
    "every device with readings has an owner; readings of devices without one go to no trusted table",
    violations="""
    SELECT serialNumber, sum(reading_times)::BIGINT AS n FROM {rows}
    WHERE person IS NULL AND reading_times > 0 GROUP BY serialNumber""",
    by=("serialNumber",),
)

# Devices by number, the customers who claim them, and their evidence.
_CLAIMS_AND_EVIDENCE = """
claims AS (
    SELECT DISTINCT device AS serialNumber, coalesce(person, '') AS person
    FROM customer_landing WHERE device IS NOT NULL
),
claim_counts AS (
    SELECT serialNumber, count(*) AS claimants, max(person) AS claimant FROM claims GROUP BY serialNumber
),
devices AS MATERIALIZED (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device
    FROM (SELECT serialNumber FROM device_evidence UNION SELECT serialNumber FROM claim_counts) AS serials
),
claims_by_device AS (
    SELECT d.device, c.claimants, c.claimant FROM claim_counts AS c JOIN devices AS d ON d.serialNumber = c.serialNumber
),
evidence AS MATERIALIZED (
    SELECT e.*, d.device FROM device_evidence AS e JOIN devices AS d ON d.serialNumber = e.serialNumber
)"""

# Runs of hours. If different people have most coincidences in a device's hours, its clear hours show when it changed hands:
# consecutive clear hours of one person are a run, and the hours between the runs of two people are a run of their own.
# Other devices have one run, 0.
_RUNS = f"""
evidence_of_several AS MATERIALIZED (
    SELECT e.* FROM evidence AS e
    JOIN (
        SELECT device FROM evidence WHERE place = 1 GROUP BY device HAVING count(DISTINCT person) > 1
    ) AS s ON s.device = e.device
),
{best_candidates("hourly", "evidence_of_several", "device, hour_ms")},
-- Clear hours, with the first hour of their run.
clear_hours AS (
    SELECT device, hour_ms, max(run_start_ms) OVER (PARTITION BY device ORDER BY hour_ms) AS run_ms
    FROM (
        SELECT *, CASE WHEN candidate = lag(candidate) OVER (PARTITION BY device ORDER BY hour_ms) THEN NULL
            ELSE hour_ms END AS run_start_ms
        FROM hourly WHERE leads AND probability >= {_CLEAR_HOUR}
    ) AS with_run_starts
),
-- All hours, with the run that the hour is in or after, and the run that it is in or before.
adjacent_runs AS (
    SELECT h.device, h.hour_ms,
        max(c.run_ms) OVER (PARTITION BY h.device ORDER BY h.hour_ms) AS previous_run_ms,
        min(c.run_ms) OVER (PARTITION BY h.device ORDER BY h.hour_ms DESC) AS next_run_ms
    FROM hourly_hours AS h
    LEFT JOIN clear_hours AS c ON c.device = h.device AND c.hour_ms = h.hour_ms
),
-- Run numbers in order of time: even for runs of one person, odd for the hours between two of them.
numbered_hours AS MATERIALIZED (
    SELECT device, hour_ms,
        2 * coalesce(previous_run_ms, next_run_ms) + CASE WHEN previous_run_ms <> next_run_ms THEN 1 ELSE 0 END AS run
    FROM adjacent_runs
),
evidence_in_runs AS MATERIALIZED (
    SELECT e.*, coalesce(n.run, 0) AS run
    FROM evidence AS e
    LEFT JOIN numbered_hours AS n ON n.device = e.device AND n.hour_ms = e.hour_ms
),
{best_candidates("best", "evidence_in_runs", "device, run")},
device_runs AS (
    SELECT device, run, count(*) OVER (PARTITION BY device) = 1 AS is_only_run, false AS lacks_readings
    FROM (SELECT DISTINCT device, run FROM evidence_in_runs) AS runs
    UNION ALL
    SELECT device, 0, true, true FROM devices WHERE device NOT IN (SELECT device FROM evidence)
)"""

# The status of each run. A claim has no time, so it does not decide if there are several runs. Nor does it decide if
# somebody else is more likely than not.
_STATUS = f"""
runs_with_claims AS (
    SELECT d.device, d.run, d.is_only_run, c.claimants, c.claimant, b.candidate, b.probability, b.matched, b.runner_up,
        b.offset_ms, b.offset_uncertainty_ms, b.clock_differs, b.first_hour_ms, b.last_hour_ms, b.leads,
        {_HAS_SOLE_CLAIM} AS has_sole_claim,
        (1 - probability) * CASE WHEN {_HAS_SOLE_CLAIM} AND candidate <> claimant THEN {_CLAIM_ODDS} ELSE 1 END
        AS error_probability
    FROM device_runs AS d
    LEFT JOIN claims_by_device AS c ON c.device = d.device
    LEFT JOIN best AS b ON b.device = d.device AND b.run = d.run
),
runs_with_status AS MATERIALIZED (
    SELECT *,
        CASE
            WHEN leads AND error_probability <= 1 - $owners_confidence::DOUBLE THEN
                CASE WHEN has_sole_claim AND candidate = claimant THEN 'confirmed' ELSE 'inferred' END
            WHEN has_sole_claim AND is_only_run AND coalesce(candidate = claimant OR probability < 0.5, true) THEN 'claimed'
            WHEN claimants > 0 OR candidate IS NOT NULL THEN 'ambiguous'
            ELSE 'unknown'
        END AS status
    FROM runs_with_claims
)"""

# Periods. If reading times alone decide, sittings before the first coincidence and after the last have no owner. They are
# periods of their own: parts -1 and 1 of a run.
_PERIODS = f"""
hours AS (
    SELECT *, last_reading_ms + {_SITTING_GAP_MS} >= lead(first_reading_ms) OVER by_time AS continues_in_next,
        first_reading_ms - {_SITTING_GAP_MS} <= lag(last_reading_ms) OVER by_time AS continues_previous
    FROM evidence_in_runs WHERE place <= 1
    WINDOW by_time AS (PARTITION BY device ORDER BY hour_ms)
),
hours_in_parts AS (
    SELECT h.*,
        CASE WHEN s.status <> 'inferred' AND (s.status <> 'confirmed' OR s.is_only_run) THEN 0
            WHEN h.hour_ms < s.first_hour_ms - CASE WHEN h.continues_in_next THEN {HOUR_MS} ELSE 0 END THEN -1
            WHEN h.hour_ms > s.last_hour_ms + CASE WHEN h.continues_previous THEN {HOUR_MS} ELSE 0 END THEN 1
            ELSE 0 END AS part
    FROM hours AS h JOIN runs_with_status AS s ON s.device = h.device AND s.run = h.run
),
periods AS (
    SELECT *, row_number() OVER by_time AS period, lead(starts_ms) OVER by_time AS to_ms
    FROM (
        SELECT device, run, part, min(hour_ms) AS starts_ms, sum(reading_times)::BIGINT AS reading_times,
            min(first_reading_ms) AS first_reading_ms, max(last_reading_ms) AS last_reading_ms,
            sum(compared_times)::BIGINT AS compared_times
        FROM hours_in_parts GROUP BY device, run, part
        UNION ALL
        SELECT device, run, 0, NULL, 0, NULL, NULL, 0 FROM device_runs WHERE lacks_readings
    ) AS counted
    WINDOW by_time AS (PARTITION BY device ORDER BY run, part)
)"""

_QUERY = f"""
WITH {",".join((_CLAIMS_AND_EVIDENCE, _RUNS, _STATUS, _PERIODS))}
SELECT d.serialNumber, p.period,
    CASE WHEN p.period > 1 THEN p.starts_ms END AS from_ms,
    p.to_ms,
    CASE WHEN s.status IN ('confirmed', 'claimed') THEN s.claimant WHEN s.status = 'inferred' THEN s.candidate END AS person,
    coalesce(s.status, CASE WHEN c.claimants > 0 THEN 'ambiguous' ELSE 'unknown' END) AS status,
    s.probability AS confidence,
    coalesce(c.claimants, 0) AS claimants,
    p.reading_times,
    p.first_reading_ms,
    p.last_reading_ms,
    p.compared_times,
    coalesce(s.matched, 0) AS coincidences,
    coalesce(s.runner_up, 0) AS runner_up_coincidences,
    s.offset_ms,
    s.offset_uncertainty_ms,
    coalesce(s.clock_differs AND (s.status <> 'claimed' OR s.candidate = s.claimant), false) AS clock_differs
FROM periods AS p
LEFT JOIN runs_with_status AS s ON s.device = p.device AND s.run = p.run AND p.part = 0
JOIN devices AS d ON d.device = p.device
LEFT JOIN claims_by_device AS c ON c.device = p.device
"""

TABLE = Table(
    name="device_owner",
    zone="reference",
    meaning="the owner of each device and period, from claims and coinciding reading times, over all customers",
    grain="one device × period",
    key=("serialNumber", "period"),
    inputs=("customer_landing", "device_evidence"),
    columns=(
        SERIAL,
        Column("period", "long", "number of the period, from 1; several if the device changed hands", required=True),
        Column("from_ms", "long", "start of the period, included (ms since the epoch, UTC); null for the first period"),
        Column("to_ms", "long", "end of the period, excluded (ms since the epoch, UTC); null for the last period"),
        Column("person", "string", "the owner: normalised e-mail address; null if not clear", personal=True),
        Column(
            "status",
            "string",
            "confirmed (sole claim and reading times agree), inferred (reading times), claimed (sole claim), "
            "ambiguous, or unknown (no claim, no candidate)",
            required=True,
        ),
        Column(
            "confidence",
            "double",
            "probability, from reading times alone, that the best candidate is the owner; null without a candidate",
        ),
        Column(
            "claimants",
            "long",
            "number of customers who claim the device; records without an e-mail address count as one customer",
            required=True,
        ),
        Column("reading_times", "long", "distinct reading times of the device in the period", required=True),
        Column("first_reading_ms", "long", "the first of them (ms since the epoch, UTC)"),
        Column("last_reading_ms", "long", "the last of them (ms since the epoch, UTC)"),
        COMPARED_TIMES,
        Column(
            "coincidences",
            "long",
            "compared times that coincide with readings of the best candidate's phone at the offset",
            required=True,
        ),
        Column("runner_up_coincidences", "long", "the same for the second-best candidate, at its offset", required=True),
        Column("offset_ms", "double", "time that the device's clock is ahead of the best candidate's phone (ms)"),
        Column("offset_uncertainty_ms", "double", "half the width of the range of its offsets (ms)"),
        Column(
            "clock_differs",
            "boolean",
            "whether most coincidences with the owner's phone are at an offset; if false, clocks are assumed to agree",
            required=True,
        ),
    ),
    person="person",
    covers_everyone=True,
    query=_QUERY,
    rules=(
        unique("one_row_a_period", "periods of a device are unique", "serialNumber", "period"),
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
