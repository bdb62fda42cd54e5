"""How probable it is that a device belongs to a candidate, from the evidence of some of its hours.

docs/device-owners.md derives the formulas and says how often they are right.
"""

from stedi.tables.reference.device_evidence import BIN_MS, CANDIDATES, FEWEST, HOUR_MS, MOST_OFFSET_MS

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
# Probability that another phone of the owner's home is active at all the same times: an assumption. It matters for phones
# that record without a pause, which coincide with anything.
_SAME_HOME = 0.02
# Offsets with a larger uncertainty are not compared between sittings.
_SHARP_MS = 1_000
# Odds against an owner whose offsets differ between sittings: one clock in ten is reset or drifts, an assumption.
_CLOCK_CHANGES = 10
# Offsets differ if they are further apart than this.
_MOST_DRIFT_MS = 1_500
# The same where only the ends of sittings tell the offset: people who start together do so within seconds, and in one home
# of a hundred their offsets agree to half a second by chance.
_SAME_OFFSET_MS = 100
# A smaller lead over the runner-up names nobody: two phones of one home may have nearly the same readings. On the public
# set owners have 30 coincidences, others at most 23. Phones that record without a pause have no readings of their own, but
# begin and end at their own moments.
_LEAD_SHARE = 0.2
# With a runner-up who could hardly match by chance either, and readings that the best candidate's phone has not, two
# people may have used the device.
_MOST_RIVAL = 0.99
# The probability of hundreds of coincidences is too small a number to be told from zero.
_LEAST = 1e-12
# Added up in one order, so that every run and engine finds the same digits.
_ODDS = " + ".join(f"coalesce(max(CASE WHEN place = {place} THEN odds END), 0)" for place in range(1, CANDIDATES + 1))
_RIVAL_ODDS = "coalesce(max(CASE WHEN place > 1 THEN odds END), 0)"


def _first(column: str) -> str:
    return f"max(CASE WHEN place = 1 THEN {column} END)"


def weighed(name: str, evidence: str, unit: str) -> str:
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
    SELECT *,
        coalesce(hour_ms - lag(hour_ms) OVER (PARTITION BY {unit}, person ORDER BY hour_ms) > {HOUR_MS}, true) AS begins,
        offset_uncertainty_ms <= {_SHARP_MS} AS is_sharp,
        offset_ms + offset_uncertainty_ms AS most_ms, offset_ms - offset_uncertainty_ms AS least_ms
    FROM {evidence} WHERE person IS NOT NULL
),
{name}_candidates AS (
    SELECT {of_unit}, c.person, max(h.readings) AS readings,
        sum(c.coincidences)::BIGINT AS matched,
        max(h.earlier + h.compared - c.compared_after) - min(h.earlier + c.compared_before) AS span,
        bool_or(c.is_continuous) AS is_continuous, bool_or(c.is_regular) AS is_regular,
        bool_or(c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0) AS is_shifted,
        2 * sum(CASE WHEN c.offset_ms <> 0 OR c.offset_uncertainty_ms > 0 THEN c.coincidences ELSE 0 END)
            > sum(c.coincidences) AS clock_differs,
        count(CASE WHEN c.begins AND c.is_sharp THEN 1 END) AS sharp_sittings,
        max(CASE WHEN c.is_sharp THEN c.offset_ms END) - min(CASE WHEN c.is_sharp THEN c.offset_ms END) AS apart_ms,
        2 * min(c.offset_uncertainty_ms) + {BIN_MS} AS width_ms,
        coalesce(max(CASE WHEN c.is_sharp THEN c.most_ms END), max(c.most_ms)) AS most_ms,
        coalesce(min(CASE WHEN c.is_sharp THEN c.least_ms END), min(c.least_ms)) AS least_ms,
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
{name}_likelihoods AS (
    SELECT *,
        pow(share, {_MATCHED_POWER}) * (
            {1 - _CUT_SHORT} * (outside + 1) * pow(share, 2) * pow(1 - share, outside) + {_CUT_SHORT}::DOUBLE / readings
        ) AS of_owner,
        greatest(strangers, {_LEAST}) + CASE WHEN is_continuous THEN {_SAME_HOME} ELSE 0 END AS others,
        accident + in_step / readings AS of_other,
        CASE WHEN sharp_sittings < 2 THEN 1
            WHEN is_continuous AND apart_ms > {_SAME_OFFSET_MS} THEN {_CLOCK_CHANGES}
            ELSE CASE WHEN apart_ms > {_MOST_DRIFT_MS} THEN {_CLOCK_CHANGES} ELSE 1 END
                * greatest(pow(least(1, (apart_ms + width_ms) / {2.0 * MOST_OFFSET_MS}), sharp_sittings - 1), {_LEAST})
        END AS same_offset
    FROM (
        SELECT *,
            CASE WHEN is_regular THEN {_IN_STEP_WITH_OFFSET} WHEN is_shifted THEN {_IN_STEP_UNEVENLY} ELSE {_IN_STEP} END
            AS in_step
        FROM {name}_shares
    ) AS s
),
{name}_odds AS (
    SELECT *, of_owner / (others * of_other * same_offset) AS odds,
        row_number() OVER (
            PARTITION BY {unit}
            ORDER BY round(ln(of_owner / (others * of_other * same_offset)), 3) DESC, matched DESC, person
        ) AS place
    FROM {name}_likelihoods
),
{name} AS (
    SELECT {unit}, {_first("person")} AS candidate, {_first("matched")} AS matched,
        {_first("first_hour_ms")} AS first_hour_ms, {_first("last_hour_ms")} AS last_hour_ms,
        coalesce(max(CASE WHEN place > 1 THEN matched END), 0) AS runner_up,
        {_first("clock_differs")} AS clock_differs,
        {_first("(most_ms + least_ms) / 2.0")} AS offset_ms,
        {_first("(most_ms - least_ms) / 2.0")} AS offset_uncertainty_ms,
        round({_first("odds")} / ({_ODDS} + {_ABSENT_ODDS:.6f}), 6) AS probability,
        (
            bool_or(place = 1 AND is_continuous)
            OR {_first("matched")} - coalesce(max(CASE WHEN place > 1 THEN matched END), 0)
                >= greatest({FEWEST}, {_LEAD_SHARE} * {_first("matched")})
        ) AND (
            {_first("readings - matched")} < {FEWEST}
            OR {_RIVAL_ODDS} / ({_RIVAL_ODDS} + {_ABSENT_ODDS:.6f}) <= {_MOST_RIVAL}
        ) AS leads
    FROM {name}_odds GROUP BY {unit}
)"""
