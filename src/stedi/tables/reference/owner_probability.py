"""Probability that a device belongs to a candidate, given the evidence of some of its hours.

docs/device-owners.md derives the formulas and measures how often they are right.
"""

from stedi.tables.reference.device_evidence import BIN_MS, HOUR_MS, MAX_CANDIDATES, MAX_OFFSET_MS, MIN_COINCIDENCES

# Share of owners whose phone starts late or stops early: an assumption.
_CUT_SHORT = 0.02
# Power of the matched share in the owner's likelihood: a Beta(6, 1) prior. The owner's phone matches most of the readings, 7
# in 10 if 30% are lost.
_MATCHED_POWER = 5
# Prior probability that the owner's phone is in the data.
_PRESENT = 0.9
_ABSENT_ODDS = (1 - _PRESENT) / _PRESENT
# Probability that a stranger's phone that is active at the same time has readings at the milliseconds of the device. On the
# public landing set: of all pairs of people who are active at the same time, those with more coincidences than by chance.
_IN_STEP = 3e-5
# The same at any constant clock offset: 1 pair of 61 in the public landing set has the same period.
_IN_STEP_WITH_OFFSET = 0.05
# The same for readings at uneven intervals, which are in step only if one event starts both: an assumption.
_IN_STEP_UNEVENLY = 0.001
# Probability that another phone of the owner's home is active at all the same times: an assumption. It matters for phones
# that record continuously, which coincide with anything.
_SAME_HOME = 0.02
# Offsets with a larger uncertainty are not compared between sittings.
_SHARP_MS = 1_000
# Factor by which different offsets between sittings reduce an owner's odds: an assumption, one clock in ten is reset or
# drifts.
_CLOCK_CHANGES = 10
# Offsets further apart than this differ.
_MAX_DRIFT_MS = 1_500
# The same for phones that record continuously, whose offsets come from the starts and ends of recordings. People who start
# together do so within seconds, and in one home of a hundred their offsets agree to half a second by chance.
_SAME_OFFSET_MS = 100
# With a smaller lead over the runner-up, as a share of the coincidences, the device has no owner: two phones of one home may
# have nearly the same readings. In the public landing set owners have 30 coincidences, others at most 23. Phones that record
# continuously need no lead: they match at any time, and are told apart by the starts and ends of their recordings.
_LEAD_SHARE = 0.2
# If the runner-up, taken alone, has a higher probability, and the best candidate's phone lacks readings of the device, then
# two people may have used it, and it has no owner.
_MAX_RUNNER_UP = 0.99
# Lower bound of the likelihood's factors, so that none is zero.
_MIN_FACTOR = 1e-12


def _of_best(column: str) -> str:
    """Write the SQL for the best candidate's value of a column."""
    return f"max(CASE WHEN place = 1 THEN {column} END)"


# Summed in a fixed order, so that every run and engine gets the same digits.
_SUM_OF_ODDS = " + ".join(
    f"coalesce(max(CASE WHEN place = {place} THEN odds END), 0)" for place in range(1, MAX_CANDIDATES + 1)
)
_RUNNER_UP_MATCHED = "coalesce(max(CASE WHEN place > 1 THEN matched END), 0)"
_RUNNER_UP_ODDS = "coalesce(max(CASE WHEN place > 1 THEN odds END), 0)"


def best_candidates(name: str, evidence: str, unit: str) -> str:
    """Write the common table expressions that find the best candidate of each unit, with a probability.

    Args:
        name: name of the last expression, and prefix of the other names. `{name}_hours` has one row for each hour.
        evidence: a relation of rows of device_evidence.
        unit: the columns that identify a unit: a device's hour, or a device's run of hours.

    Returns:
        SQL without `WITH`. The last expression has the unit's columns and candidate, matched, first_hour_ms, last_hour_ms,
        runner_up, clock_differs, offset_ms, offset_uncertainty_ms, probability, and leads: whether the candidate is far
        enough ahead of the runner-up to be the owner.
    """
    unit_columns = unit.split(", ")
    same_unit = " AND ".join(f"c.{column} = h.{column}" for column in unit_columns)
    unit_of_hour = ", ".join(f"h.{column}" for column in unit_columns)
    hour_columns = ", ".join(dict.fromkeys((*unit_columns, "hour_ms")))
    return f"""
-- Times compared in each hour, in the unit's hours before it, and in the whole unit.
{name}_hours AS (
    SELECT {hour_columns}, compared_times AS compared,
        (sum(compared_times) OVER (PARTITION BY {unit} ORDER BY hour_ms))::BIGINT - compared_times AS compared_earlier,
        (sum(compared_times) OVER (PARTITION BY {unit}))::BIGINT AS readings
    FROM {evidence} WHERE place <= 1
),
-- Consecutive hours are one sitting: a person who is active in one of them is active in the next.
{name}_sittings AS (
    SELECT *,
        coalesce(hour_ms - lag(hour_ms) OVER (PARTITION BY {unit}, person ORDER BY hour_ms) > {HOUR_MS}, true)
        AS starts_sitting,
        offset_uncertainty_ms <= {_SHARP_MS} AS is_sharp,
        offset_ms + offset_uncertainty_ms AS most_ms, offset_ms - offset_uncertainty_ms AS least_ms
    FROM {evidence} WHERE person IS NOT NULL
),
-- One row for each unit and candidate. span: number of times from the first coincidence to the last. strangers: expected
-- number of strangers who are active in all the sittings.
{name}_candidates AS (
    SELECT {unit_of_hour}, c.person, max(h.readings) AS readings,
        sum(c.coincidences)::BIGINT AS matched,
        max(h.compared_earlier + h.compared - c.compared_after) - min(h.compared_earlier + c.compared_before) AS span,
        bool_or(c.is_continuous) AS is_continuous, bool_or(c.is_regular) AS is_regular,
        bool_or(c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0) AS has_offset,
        2 * sum(CASE WHEN c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0 THEN c.coincidences ELSE 0 END)
            > sum(c.coincidences) AS clock_differs,
        count(CASE WHEN c.starts_sitting AND c.is_sharp THEN 1 END) AS sharp_sittings,
        max(CASE WHEN c.is_sharp THEN c.offset_ms END) - min(CASE WHEN c.is_sharp THEN c.offset_ms END) AS drift_ms,
        2 * min(c.offset_uncertainty_ms) + {BIN_MS} AS width_ms,
        coalesce(max(CASE WHEN c.is_sharp THEN c.most_ms END), max(c.most_ms)) AS most_ms,
        coalesce(min(CASE WHEN c.is_sharp THEN c.least_ms END), min(c.least_ms)) AS least_ms,
        exp(sum(c.accident_log) / 1000.0) AS accident,
        min(c.hour_ms) AS first_hour_ms, max(c.hour_ms) AS last_hour_ms,
        min(c.people) * exp(avg(c.presence_log) / 1000.0 * count(CASE WHEN c.starts_sitting THEN 1 END)) AS strangers
    FROM {name}_sittings AS c JOIN {name}_hours AS h ON {same_unit} AND c.hour_ms = h.hour_ms
    GROUP BY {unit_of_hour}, c.person
),
-- A phone that records continuously matches all readings within its recordings, so those that it misses are outside.
{name}_shares AS (
    SELECT *, readings - CASE WHEN is_continuous THEN matched ELSE span END AS outside,
        matched::DOUBLE / CASE WHEN is_continuous THEN readings ELSE span END AS share
    FROM {name}_candidates
),
-- Likelihood of the evidence if the candidate is the owner (of_owner), and its factors if the candidate is a stranger.
{name}_likelihoods AS (
    SELECT *,
        pow(share, {_MATCHED_POWER}) * (
            {1 - _CUT_SHORT} * (outside + 1) * pow(share, 2) * pow(1 - share, outside) + {_CUT_SHORT}::DOUBLE / readings
        ) AS of_owner,
        greatest(strangers, {_MIN_FACTOR}) + CASE WHEN is_continuous THEN {_SAME_HOME} ELSE 0 END AS strangers_active,
        accident + in_step / readings AS stranger_matches,
        CASE WHEN sharp_sittings < 2 THEN 1
            WHEN is_continuous AND drift_ms > {_SAME_OFFSET_MS} THEN {_CLOCK_CHANGES}
            ELSE CASE WHEN drift_ms > {_MAX_DRIFT_MS} THEN {_CLOCK_CHANGES} ELSE 1 END
                * greatest(pow(least(1, (drift_ms + width_ms) / {2.0 * MAX_OFFSET_MS}), sharp_sittings - 1), {_MIN_FACTOR})
        END AS stranger_keeps_offset
    FROM (
        SELECT *,
            CASE WHEN is_regular THEN {_IN_STEP_WITH_OFFSET} WHEN has_offset THEN {_IN_STEP_UNEVENLY} ELSE {_IN_STEP} END
            AS in_step
        FROM {name}_shares
    ) AS with_in_step
),
{name}_odds AS (
    SELECT *, of_owner / (strangers_active * stranger_matches * stranger_keeps_offset) AS odds,
        row_number() OVER (
            PARTITION BY {unit}
            ORDER BY round(ln(of_owner / (strangers_active * stranger_matches * stranger_keeps_offset)), 3) DESC,
                matched DESC, person
        ) AS place
    FROM {name}_likelihoods
),
{name} AS (
    SELECT {unit}, {_of_best("person")} AS candidate, {_of_best("matched")} AS matched,
        {_of_best("first_hour_ms")} AS first_hour_ms, {_of_best("last_hour_ms")} AS last_hour_ms,
        {_RUNNER_UP_MATCHED} AS runner_up,
        {_of_best("clock_differs")} AS clock_differs,
        {_of_best("(most_ms + least_ms) / 2.0")} AS offset_ms,
        {_of_best("(most_ms - least_ms) / 2.0")} AS offset_uncertainty_ms,
        round({_of_best("odds")} / ({_SUM_OF_ODDS} + {_ABSENT_ODDS:.6f}), 6) AS probability,
        (
            bool_or(place = 1 AND is_continuous)
            OR {_of_best("matched")} - {_RUNNER_UP_MATCHED}
                >= greatest({MIN_COINCIDENCES}, {_LEAD_SHARE} * {_of_best("matched")})
        ) AND (
            {_of_best("readings - matched")} < {MIN_COINCIDENCES}
            OR {_RUNNER_UP_ODDS} / ({_RUNNER_UP_ODDS} + {_ABSENT_ODDS:.6f}) <= {_MAX_RUNNER_UP}
        ) AS leads
    FROM {name}_odds GROUP BY {unit}
)"""
