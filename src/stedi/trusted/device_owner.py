"""Which customer each device belongs to, by what evidence, how sure that is, and from when to when."""

from stedi.table import Column, Fact, Rule, Scope, Table, no_repeats
from stedi.trusted.device_evidence import BIN_MS, FEWEST, HOUR_MS, MOST_OFFSET_MS

# How the owner's phone matches a device. Share of owners whose phone starts late or stops early: an assumption. The power
# of the matched share is a Beta(6, 1) prior: an owner's phone has most of the readings, 7 in 10 where 30% are lost.
_CUT_SHORT = 0.02
_MATCHED_POWER = 5
# Prior probability that the owner's phone is in the data at all.
_PRESENT = 0.9
_ABSENT_ODDS = (1 - _PRESENT) / _PRESENT
# Probability that a stranger who is active at the same time ticks at the very milliseconds of the device: pairs of people
# on the public set whose readings coincide at more than chance, of all pairs that are active at the same time.
_IN_STEP = 3e-5
# The same at any constant offset that clocks may have: 1 pair of 61 on the public set has the same period. Readings at
# uneven intervals are in step only where one thing starts both: an assumption.
_IN_STEP_WITH_OFFSET = 0.05
_IN_STEP_UNEVENLY = 0.001
# Probability that another phone of the owner's home is active at all the same times: an assumption. A phone that records
# without a pause is told from the owner's by nothing else.
_SAME_HOME = 0.02
# A smaller lead over the runner-up names nobody: two phones of one home may have nearly the same readings. On the public
# set owners have 30 coincidences, others at most 23.
_LEAD_SHARE = 0.2
# With a runner-up who could hardly match by chance either, two people may have used the device.
_MOST_RIVAL = 0.99
_CANDIDATES = 3
# Evidence against a sole claim has to be this many times as sure: at least so many sole claims are right for a wrong one.
CLAIM_ODDS = 10
_SOLE_CLAIM = "(claimants = 1 AND claimant <> '')"
# Added up in one order, so that every run and engine finds the same digits.
_ODDS = " + ".join(f"coalesce(max(CASE WHEN place = {place} THEN odds END), 0)" for place in range(1, _CANDIDATES + 1))
_RIVAL_ODDS = "coalesce(max(CASE WHEN place > 1 THEN odds END), 0)"


def _first(column: str) -> str:
    return f"max(CASE WHEN place = 1 THEN {column} END)"


def _judged(name: str, evidence: str, unit: str) -> str:
    """SQL for common table expressions that weigh the candidates of each unit; the last of them is `{name}`.

    Args:
        name: what they are called, and what their names begin with.
        evidence: a relation of rows of device_evidence.
        unit: the columns that make a unit, a device's hour or period.
    """
    columns = unit.split(", ")
    on = " AND ".join(f"c.{column} = h.{column}" for column in columns)
    of_unit = ", ".join(f"h.{column}" for column in columns)
    shown = ", ".join(dict.fromkeys((*columns, "hour_ms")))
    return f"""
{name}_hours AS (
    SELECT {shown}, compared_times AS compared,
        (sum(compared_times) OVER (PARTITION BY {unit} ORDER BY hour_ms))::BIGINT - compared_times AS earlier,
        (sum(compared_times) OVER (PARTITION BY {unit}))::BIGINT AS readings
    FROM {evidence} WHERE place <= 1
),
-- Hours that follow each other are one sitting: who is active in one of them is active in the next.
{name}_sittings AS (
    SELECT *, coalesce(hour_ms - lag(hour_ms) OVER (PARTITION BY {unit}, person ORDER BY hour_ms) > {HOUR_MS}, true) AS begins
    FROM {evidence} WHERE person IS NOT NULL
),
{name}_candidates AS (
    SELECT {of_unit}, c.person, max(h.readings) AS readings,
        sum(c.coincidences)::BIGINT AS matched,
        max(h.earlier + h.compared - c.compared_after) - min(h.earlier + c.compared_before) AS span,
        bool_or(c.is_continuous) AS is_continuous, bool_or(c.is_regular) AS is_regular, bool_or(c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0) AS is_shifted, count(CASE WHEN c.begins THEN 1 END) AS sittings,
        2 * sum(CASE WHEN c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0 THEN c.coincidences ELSE 0 END)
            > sum(c.coincidences) AS clock_differs,
        max(c.offset_ms + c.offset_uncertainty_ms) AS most_ms, min(c.offset_ms - c.offset_uncertainty_ms) AS least_ms,
        exp(sum(c.accident_log) / 1000.0) AS accident,
        min(c.hour_ms) AS first_hour_ms, max(c.hour_ms) AS last_hour_ms,
        min(c.people) * exp(avg(c.presence_log) / 1000.0 * count(CASE WHEN c.begins THEN 1 END)) AS strangers
    FROM {name}_sittings AS c JOIN {name}_hours AS h ON {on} AND c.hour_ms = h.hour_ms
    GROUP BY {of_unit}, c.person
),
-- A phone that records without a pause misses no reading within its sessions: what it misses is before or after one.
{name}_shares AS (
    SELECT *, readings - CASE WHEN is_continuous THEN matched ELSE span END AS outside,
        matched::DOUBLE / CASE WHEN is_continuous THEN readings ELSE span END AS share
    FROM {name}_candidates
),
{name}_odds AS (
    SELECT *, row_number() OVER (PARTITION BY {unit} ORDER BY matched DESC, outside, person) AS place,
        (
            pow(share, {_MATCHED_POWER}) * ({1 - _CUT_SHORT} * (outside + 1) * pow(share, 2) * pow(1 - share, outside)
            + {_CUT_SHORT}::DOUBLE / readings)
        ) / (
            (strangers + CASE WHEN is_continuous THEN {_SAME_HOME} ELSE 0 END)
            * (accident + CASE WHEN is_regular THEN {_IN_STEP_WITH_OFFSET} WHEN is_shifted THEN {_IN_STEP_UNEVENLY} ELSE {_IN_STEP} END / readings)
            * CASE WHEN is_shifted AND NOT is_continuous
                THEN pow(least(1, (most_ms - least_ms + {BIN_MS}) / {2.0 * MOST_OFFSET_MS}), sittings - 1) ELSE 1 END
        ) AS odds
    FROM {name}_shares
),
{name} AS (
    SELECT {unit}, {_first("person")} AS candidate, {_first("readings")} AS compared, {_first("matched")} AS matched,
        {_first("first_hour_ms")} AS first_hour_ms, {_first("last_hour_ms")} AS last_hour_ms,
        coalesce(max(CASE WHEN place > 1 THEN matched END), 0) AS runner_up,
        {_first("clock_differs")} AS clock_differs,
        {_first("(most_ms + least_ms) / 2.0")} AS offset_ms,
        {_first("(most_ms - least_ms) / 2.0")} AS offset_uncertainty_ms,
        round({_first("odds")} / ({_ODDS} + {_ABSENT_ODDS:.6f}), 6) AS probability,
        {_RIVAL_ODDS} / ({_RIVAL_ODDS} + {_ABSENT_ODDS:.6f}) <= {_MOST_RIVAL} AS is_alone
    FROM {name}_odds GROUP BY {unit}
)"""


def _is_clear(least_doubt: str = "1 - probability") -> str:
    """SQL condition that a unit's candidate is its owner."""
    return (
        f"(is_alone AND matched - runner_up >= greatest({FEWEST}, {_LEAD_SHARE} * matched) "
        f"AND {least_doubt} <= 1 - $owners_confidence::DOUBLE)"
    )


TABLE = Table(
    name="device_owner",
    zone="trusted",
    meaning="which customer each device belongs to, from claims and from coinciding reading times, over all customers",
    grain="one device × period",
    key=("serialNumber", "period"),
    inputs=("customer_landing", "device_evidence"),
    columns=(
        Column(
            "serialNumber", "string", "serial number of the device, trimmed and case-folded", personal=True, required=True
        ),
        Column("period", "long", "number of the period: a device that changes hands has several", required=True),
        Column("from_ms", "long", "start of the period (ms since the epoch, UTC); empty for a device's first"),
        Column("to_ms", "long", "end of the period, which is not part of it (ms since the epoch, UTC); empty for a device's last"),
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
        Column(
            "compared_times",
            "long",
            "reading times that were compared with phones: those that few people share; a sample where clocks disagree",
            required=True,
        ),
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
    # Hours that are clear by themselves tell where a device changed hands: a run of hours of one person is a period, and
    # hours between two people's are nobody's. Other devices have one period.
    query=f"""
WITH claims AS (
    SELECT DISTINCT device AS serialNumber, coalesce(person, '') AS person
    FROM customer_landing WHERE device IS NOT NULL
),
claim_counts AS (
    SELECT serialNumber, count(*) AS claimants, max(person) AS claimant FROM claims GROUP BY serialNumber
),
of_several AS MATERIALIZED (
    SELECT e.* FROM device_evidence AS e
    JOIN (
        SELECT serialNumber FROM device_evidence WHERE place = 1
        GROUP BY serialNumber HAVING count(DISTINCT person) > 1
    ) AS s ON s.serialNumber = e.serialNumber
),
{_judged("hour_by_hour", "of_several", "serialNumber, hour_ms")},
clear_hours AS (
    SELECT serialNumber, hour_ms, max(begins_ms) OVER (PARTITION BY serialNumber ORDER BY hour_ms) AS run_ms
    FROM (
        SELECT *, CASE WHEN candidate = lag(candidate) OVER (PARTITION BY serialNumber ORDER BY hour_ms) THEN NULL
            ELSE hour_ms END AS begins_ms
        FROM hour_by_hour WHERE {_is_clear()}
    ) AS clear
),
-- The runs around each hour: the one that it is in or follows, and the one that it is in or precedes.
between_runs AS (
    SELECT h.serialNumber, h.hour_ms,
        max(c.run_ms) OVER (PARTITION BY h.serialNumber ORDER BY h.hour_ms) AS before_ms,
        min(c.run_ms) OVER (PARTITION BY h.serialNumber ORDER BY h.hour_ms DESC) AS after_ms
    FROM hour_by_hour_hours AS h
    LEFT JOIN clear_hours AS c ON c.serialNumber = h.serialNumber AND c.hour_ms = h.hour_ms
),
-- Numbers that stand in the order of time: even ones for runs, odd ones for what lies between two.
numbered_hours AS MATERIALIZED (
    SELECT serialNumber, hour_ms,
        2 * coalesce(before_ms, after_ms) + CASE WHEN before_ms <> after_ms THEN 1 ELSE 0 END AS stretch
    FROM between_runs
),
stretches AS MATERIALIZED (
    SELECT e.*, coalesce(n.stretch, 0) AS stretch
    FROM device_evidence AS e
    LEFT JOIN numbered_hours AS n ON n.serialNumber = e.serialNumber AND n.hour_ms = e.hour_ms
),
{_judged("weighed", "stretches", "serialNumber, stretch")},
device_stretches AS (
    SELECT serialNumber, stretch, count(*) OVER (PARTITION BY serialNumber) = 1 AS is_only
    FROM (SELECT DISTINCT serialNumber, stretch FROM stretches) AS found
    UNION ALL
    SELECT serialNumber, 0 AS stretch, true AS is_only FROM claim_counts
    WHERE serialNumber NOT IN (SELECT serialNumber FROM device_evidence)
),
-- A claim says nothing of when, so it can't tell whose a stretch of several is. Where somebody else is likelier, it tells nothing.
doubts AS (
    SELECT d.serialNumber, d.stretch, d.is_only, c.claimants, c.claimant, w.candidate, w.probability, w.matched, w.runner_up,
        w.offset_ms, w.offset_uncertainty_ms, w.clock_differs, w.first_hour_ms, w.last_hour_ms, {_SOLE_CLAIM} AS is_claimed,
        is_alone AND matched - runner_up >= greatest({FEWEST}, {_LEAD_SHARE} * matched) AS leads,
        (1 - probability) * CASE WHEN {_SOLE_CLAIM} AND candidate <> claimant THEN {CLAIM_ODDS} ELSE 1 END AS doubt
    FROM device_stretches AS d
    LEFT JOIN claim_counts AS c ON c.serialNumber = d.serialNumber
    LEFT JOIN weighed AS w ON w.serialNumber = d.serialNumber AND w.stretch = d.stretch
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
-- Reading times alone say nothing of the hours before the first that coincides or after the last.
within AS (
    SELECT s.*,
        CASE WHEN j.status = 'inferred' OR (j.status = 'confirmed' AND NOT j.is_only) THEN
            CASE WHEN s.hour_ms < j.first_hour_ms THEN -1 WHEN s.hour_ms > j.last_hour_ms THEN 1 ELSE 0 END
        ELSE 0 END AS beyond
    FROM stretches AS s JOIN judged AS j ON j.serialNumber = s.serialNumber AND j.stretch = s.stretch
    WHERE s.place <= 1
),
periods AS (
    SELECT *, row_number() OVER in_time AS period, lead(starts_ms) OVER in_time AS to_ms
    FROM (
        SELECT serialNumber, stretch, beyond, min(hour_ms) AS starts_ms, sum(reading_times)::BIGINT AS reading_times,
            min(first_reading_ms) AS first_reading_ms, max(last_reading_ms) AS last_reading_ms,
            sum(compared_times)::BIGINT AS compared_times
        FROM within GROUP BY serialNumber, stretch, beyond
    ) AS counted
    WINDOW in_time AS (PARTITION BY serialNumber ORDER BY stretch, beyond)
)
SELECT j.serialNumber, coalesce(p.period, 1) AS period,
    CASE WHEN p.period > 1 THEN p.starts_ms END AS from_ms,
    p.to_ms,
    CASE WHEN p.beyond <> 0 THEN NULL WHEN j.status IN ('confirmed', 'claimed') THEN claimant WHEN j.status = 'inferred' THEN candidate
        END AS person,
    CASE WHEN p.beyond <> 0 THEN 'ambiguous' ELSE j.status END AS status,
    CASE WHEN p.beyond <> 0 THEN NULL ELSE j.probability END AS confidence,
    coalesce(j.claimants, 0) AS claimants,
    coalesce(p.reading_times, 0) AS reading_times,
    p.first_reading_ms,
    p.last_reading_ms,
    coalesce(p.compared_times, 0) AS compared_times,
    CASE WHEN p.beyond <> 0 THEN 0 ELSE coalesce(j.matched, 0) END AS coincidences,
    CASE WHEN p.beyond <> 0 THEN 0 ELSE coalesce(j.runner_up, 0) END AS runner_up_coincidences,
    CASE WHEN p.beyond <> 0 THEN NULL ELSE j.offset_ms END AS offset_ms,
    CASE WHEN p.beyond <> 0 THEN NULL ELSE j.offset_uncertainty_ms END AS offset_uncertainty_ms,
    coalesce(j.clock_differs AND p.beyond = 0 AND NOT (j.status = 'claimed' AND j.candidate <> j.claimant), false)
        AS clock_differs
FROM judged AS j
LEFT JOIN periods AS p ON p.serialNumber = j.serialNumber AND p.stretch = j.stretch
""",
    rules=(
        no_repeats("one_row_a_period", "a device has each period once", "serialNumber", "period"),
        Rule(
            "owner_is_clear",
            "warn",
            "readings of a device whose owner is not clear feed nothing",
            violations="""
            SELECT serialNumber, sum(reading_times)::BIGINT AS n FROM {rows}
            WHERE person IS NULL AND reading_times > 0 GROUP BY serialNumber""",
            by=("serialNumber",),
        ),
    ),
    sort=("serialNumber", "period"),
    parameters=("owners_confidence",),
    scope=Scope(
        "serialNumber",
        {
            "customer_landing": Fact("device", columns=("device", "person")),
            "device_evidence": Fact("serialNumber"),
        },
    ),
)
