"""SQL that weighs whose phone was active when a device was: the probability of each candidate, on clocks that disagree.

docs/device-owners.md derives the formulas and says how often they are right.
"""

# How the owner's phone matches a device. Share of owners whose phone starts late or stops early: an assumption. The power
# of the matched share is a Beta(6, 1) prior: an owner's phone has most of the readings, 7 in 10 where 30% are lost.
_CUT_SHORT = 0.02
_MATCHED_POWER = 5
# Prior probability that the owner's phone is in the data at all.
_PRESENT = 0.9
# Fewer coincidences name nobody, whatever the formulas say, nor does a smaller lead over the runner-up: two phones of one
# home may have nearly the same readings. On the public set owners have 30 coincidences, others at most 23.
FEWEST = 3
LEAD_SHARE = 0.2
# A moment that more people share is no evidence, and a pair for each of them would be too many. At most 5 people share one
# on the public set.
CROWD = 100
# Probability that a stranger who is active at the same time ticks at the very milliseconds of the device: pairs of people
# on the public set whose readings coincide at more than chance, of all pairs that are active at the same time.
_IN_STEP = 3e-5
# The same at any constant offset that clocks may have.
_IN_STEP_WITH_OFFSET = 0.05
# Probability that another phone of the owner's home is active at all the same times: an assumption. A phone that records
# without a pause is told from the owner's by nothing else.
_SAME_HOME = 0.02
# Clocks of device and phone differ by at most this much, and moments are compared in buckets of this size.
MOST_OFFSET_MS = 5_000
_HOUR_MS = 3_600_000
# Offsets are compared in bins of this width, twice, shifted by half of it: jitter of ±5 ms fits into one.
_BIN_MS = 20
# With more people around, no evidence at an offset that is not known reaches 0.999.
_MOST_AROUND = 20
# Readings of a device that are compared at all offsets, evenly chosen.
_SAMPLED = 32
_CANDIDATES = 3
# A phone with more readings a bucket records without a pause, and its readings tell no offset finer than a cell.
_DENSE = 50
_CELL_MS = 500


def _bucket(time: str) -> str:
    return f"{time} // {MOST_OFFSET_MS}"


def _hour(time: str) -> str:
    return f"{time} // {_HOUR_MS}"


def _owner_likelihood(share: str, outside: str, readings: str) -> str:
    """SQL for the likelihood of a match if the candidate is the owner.

    An owner's phone misses each reading with the same probability, so few readings are `outside`: before the first or after
    the last that matches.
    """
    return (
        f"(pow({share}, {_MATCHED_POWER}) * ({1 - _CUT_SHORT} * ({outside} + 1) * pow({share}, 2) "
        f"* pow(1 - {share}, {outside}) + {_CUT_SHORT}::DOUBLE / {readings}))"
    )


def _by_accident(matched: str, readings: str, rate: str, trials: str = "1") -> str:
    """SQL for a bound of the probability that a stranger matches so many readings independently, each at a rate."""
    return f"least(1, {trials} * pow(least(1, 2.718282 * {readings} * least(1, {rate}) / {matched}), {matched}))"


# Added up in one order, so that every run and engine finds the same digits.
_ODDS = " + ".join(f"coalesce(max(CASE WHEN place = {place} THEN odds END), 0)" for place in range(1, _CANDIDATES + 1))
_PROBABILITY = f"round(max(CASE WHEN place = 1 THEN odds END) / ({_ODDS} + {(1 - _PRESENT) / _PRESENT:.6f}), 6)"

EVIDENCE = f"""
devices_seen AS MATERIALIZED (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT device AS serialNumber FROM step_trainer_landing) AS seen
),
device_times AS MATERIALIZED (
    SELECT DISTINCT d.device_number, s.sensorReadingTime AS at_ms
    FROM step_trainer_landing AS s JOIN devices_seen AS d ON d.serialNumber = s.device
),
reading_counts AS MATERIALIZED (
    SELECT device_number, count(*) AS reading_times, min(at_ms) AS first_ms, max(at_ms) AS last_ms,
        CASE WHEN max(at_ms % 1000) = 0 THEN 1000 WHEN max(at_ms % 100) = 0 THEN 100 WHEN max(at_ms % 10) = 0 THEN 10 ELSE 1
        END AS tick_ms
    FROM device_times GROUP BY device_number
),
device_buckets AS MATERIALIZED (
    SELECT DISTINCT device_number, {_bucket("at_ms")} AS bucket FROM device_times
),
people_seen AS MATERIALIZED (
    SELECT person, row_number() OVER (ORDER BY person) AS person_number
    FROM (SELECT DISTINCT person FROM accelerometer_landing) AS seen
),
person_times AS MATERIALIZED (
    SELECT DISTINCT p.person_number, a.timeStamp AS at_ms
    FROM accelerometer_landing AS a JOIN people_seen AS p ON p.person = a.person
    WHERE a.timeStamp IN (SELECT at_ms FROM device_times)
),
person_buckets AS MATERIALIZED (
    SELECT p.person_number, a.bucket, a.n
    FROM (
        SELECT person, {_bucket("timeStamp")} AS bucket, count(*) AS n FROM accelerometer_landing
        WHERE {_bucket("timeStamp")} IN (SELECT bucket FROM device_buckets)
        GROUP BY person, bucket
    ) AS a
    JOIN people_seen AS p ON p.person = a.person
),
bucket_crowds AS MATERIALIZED (
    SELECT bucket, count(*) AS people FROM person_buckets GROUP BY bucket
),
hours_around AS MATERIALIZED (
    SELECT d.device_number, {_hour(f"(d.bucket * {MOST_OFFSET_MS})")} AS hour, avg(coalesce(c.people, 0)) AS people
    FROM device_buckets AS d LEFT JOIN bucket_crowds AS c ON c.bucket = d.bucket GROUP BY d.device_number, hour
),
-- A stranger who is active whenever the device is, is one of those around in the hour with the fewest.
around AS MATERIALIZED (
    SELECT device_number, min(people) AS people_around FROM hours_around GROUP BY device_number
),
crowded_times AS (
    SELECT at_ms FROM person_times GROUP BY at_ms HAVING count(*) > {CROWD}
),
usable_times AS MATERIALIZED (
    SELECT * FROM device_times AS t WHERE NOT EXISTS (SELECT 1 FROM crowded_times AS c WHERE c.at_ms = t.at_ms)
),
exact_ranked AS (
    SELECT *, row_number() OVER (PARTITION BY device_number ORDER BY matched DESC, person_number) AS place
    FROM (
        SELECT t.device_number, w.person_number, count(*) AS matched, min(t.at_ms) AS first_ms, max(t.at_ms) AS last_ms
        FROM usable_times AS t JOIN person_times AS w ON w.at_ms = t.at_ms
        GROUP BY t.device_number, w.person_number
    ) AS counted
),
exact_best AS MATERIALIZED (
    SELECT * FROM exact_ranked WHERE place <= {_CANDIDATES}
),
exact_spans AS (
    SELECT *, matched::DOUBLE / (readings - outside) AS share
    FROM (
        SELECT e.device_number, e.person_number, e.matched, count(*) AS readings,
            count(CASE WHEN t.at_ms < e.first_ms OR t.at_ms > e.last_ms THEN 1 END) AS outside
        FROM exact_best AS e JOIN usable_times AS t ON t.device_number = e.device_number
        GROUP BY e.device_number, e.person_number, e.matched
    ) AS counted
),
exact_rates AS (
    SELECT e.device_number, e.person_number, avg(p.n) / {MOST_OFFSET_MS} AS per_ms
    FROM exact_best AS e
    JOIN device_buckets AS d ON d.device_number = e.device_number
    JOIN person_buckets AS p ON p.person_number = e.person_number AND p.bucket = d.bucket
    GROUP BY e.device_number, e.person_number
),
exact_odds AS (
    SELECT e.device_number, e.person_number, s.readings, e.matched, e.place,
        {_owner_likelihood("s.share", "s.outside", "s.readings")} / (
            greatest(a.people_around, 1)
            * ({_by_accident("e.matched", "s.readings", "r.per_ms * c.tick_ms")} + {_IN_STEP} / s.readings)
        ) AS odds
    FROM exact_best AS e
    JOIN exact_spans AS s ON s.device_number = e.device_number AND s.person_number = e.person_number
    JOIN exact_rates AS r ON r.device_number = e.device_number AND r.person_number = e.person_number
    JOIN around AS a ON a.device_number = e.device_number
    JOIN reading_counts AS c ON c.device_number = e.device_number
),
exact AS MATERIALIZED (
    SELECT device_number,
        max(CASE WHEN place = 1 THEN person_number END) AS person_number,
        max(readings) AS compared,
        max(CASE WHEN place = 1 THEN matched END) AS matched,
        coalesce(max(CASE WHEN place = 2 THEN matched END), 0) AS runner_up,
        {_PROBABILITY} AS probability
    FROM exact_odds GROUP BY device_number
),
open_devices AS MATERIALIZED (
    SELECT c.device_number, c.reading_times, greatest({_BIN_MS}, 2 * c.tick_ms) AS bin_ms
    FROM reading_counts AS c
    JOIN around AS a ON a.device_number = c.device_number
    LEFT JOIN exact AS e ON e.device_number = c.device_number
    WHERE c.reading_times >= {FEWEST} AND a.people_around <= {_MOST_AROUND}
        AND (e.device_number IS NULL OR e.probability < $owners_confidence::DOUBLE OR e.matched < {FEWEST})
),
-- One reading a cell, so that no two match the same reading of a phone.
numbered AS (
    SELECT o.device_number, o.bin_ms, t.at_ms, row_number() OVER (PARTITION BY o.device_number ORDER BY t.at_ms) AS place,
        count(*) OVER (PARTITION BY o.device_number) AS readings
    FROM open_devices AS o
    JOIN (
        SELECT device_number, min(at_ms) AS at_ms FROM device_times
        WHERE {_bucket("at_ms")} NOT IN (SELECT bucket FROM bucket_crowds WHERE people > {CROWD})
        GROUP BY device_number, at_ms // {_CELL_MS}
    ) AS t ON t.device_number = o.device_number
),
sampled AS MATERIALIZED (
    SELECT device_number, bin_ms, at_ms, row_number() OVER (PARTITION BY device_number ORDER BY at_ms) AS place
    FROM numbered
    WHERE place * {_SAMPLED} // readings <> (place - 1) * {_SAMPLED} // readings
),
sampled_buckets AS MATERIALIZED (
    SELECT s.*, {_bucket("s.at_ms")} + b.shift AS bucket
    FROM sampled AS s CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS b
),
near_times AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY person_number, at_ms // {_CELL_MS} ORDER BY at_ms) = 1 AS is_first
    FROM (
        SELECT DISTINCT p.person_number, a.timeStamp AS at_ms, {_bucket("a.timeStamp")} AS bucket
        FROM accelerometer_landing AS a JOIN people_seen AS p ON p.person = a.person
        WHERE {_bucket("a.timeStamp")} IN (SELECT bucket FROM sampled_buckets)
    ) AS near
),
near_buckets AS MATERIALIZED (
    SELECT person_number, bucket, count(*) AS n FROM near_times GROUP BY person_number, bucket
),
crowded_buckets AS (
    SELECT bucket FROM near_buckets GROUP BY bucket HAVING count(*) > {CROWD}
),
-- Of a phone that records without a pause one reading a cell is compared, in bins of two cells.
pairs AS MATERIALIZED (
    SELECT s.device_number, n.person_number, avg(n.n) / {MOST_OFFSET_MS} AS per_ms, avg(n.n) > {_DENSE} AS is_dense,
        CASE WHEN avg(n.n) > {_DENSE} THEN {2 * _CELL_MS} ELSE max(s.bin_ms) END AS width_ms
    FROM (SELECT DISTINCT device_number, bin_ms, bucket FROM sampled_buckets) AS s
    JOIN near_buckets AS n ON n.bucket = s.bucket
    WHERE n.bucket NOT IN (SELECT bucket FROM crowded_buckets)
    GROUP BY s.device_number, n.person_number
),
compared AS (
    SELECT s.device_number, p.person_number, s.place, s.at_ms, w.at_ms AS phone_ms, p.width_ms
    FROM sampled_buckets AS s
    JOIN pairs AS p ON p.device_number = s.device_number AND p.is_dense
    JOIN near_times AS w ON w.bucket = s.bucket AND w.person_number = p.person_number AND w.is_first
    UNION ALL
    SELECT s.device_number, p.person_number, s.place, s.at_ms, w.at_ms AS phone_ms, p.width_ms
    FROM sampled_buckets AS s
    JOIN pairs AS p ON p.device_number = s.device_number AND NOT p.is_dense
    JOIN near_times AS w ON w.bucket = s.bucket AND w.person_number = p.person_number
),
-- Places and hours are bits of a number: distinct ones are counted in a quarter of the time that DISTINCT takes.
matches AS (
    SELECT device_number, person_number,
        floor((2 * (at_ms - phone_ms) + half * width_ms) / (2.0 * width_ms))::BIGINT AS bin,
        bit_count(bit_or(1::BIGINT << place)) AS matched, bit_count(bit_or(1::BIGINT << ({_hour("at_ms")} % 62))) AS hours,
        max(place) - min(place) + 1 AS span, min(at_ms - phone_ms) AS least_ms, max(at_ms - phone_ms) AS most_ms
    FROM compared CROSS JOIN (SELECT 0 AS half UNION ALL SELECT 1 AS half) AS halves
    WHERE at_ms - phone_ms BETWEEN -{MOST_OFFSET_MS} AND {MOST_OFFSET_MS}
    GROUP BY device_number, person_number, half, bin HAVING count(*) >= {FEWEST}
),
sample_sizes AS (
    SELECT device_number, count(*) AS readings FROM sampled GROUP BY device_number
),
-- A phone that records without a pause matches at many offsets equally well; their spread is the uncertainty.
peaks AS (
    SELECT device_number, person_number, matched, max(span) AS span, max(hours) AS hours,
        (max(most_ms) + min(least_ms)) / 2.0 AS offset_ms, (max(most_ms) - min(least_ms)) / 2.0 AS offset_uncertainty_ms
    FROM (SELECT *, max(matched) OVER (PARTITION BY device_number, person_number) AS peak FROM matches) AS counted
    WHERE matched = peak AND matched >= {FEWEST}
    GROUP BY device_number, person_number, matched
),
-- A phone that records without a pause misses no reading within its sessions: what it misses is before or after one.
peaks_ranked AS (
    SELECT p.*, n.readings, r.per_ms, r.width_ms, r.is_dense,
        n.readings - CASE WHEN r.is_dense THEN p.matched ELSE p.span END AS outside,
        p.matched::DOUBLE / CASE WHEN r.is_dense THEN n.readings ELSE p.span END AS share,
        row_number() OVER (PARTITION BY p.device_number ORDER BY p.matched DESC, p.span DESC, p.person_number) AS place
    FROM peaks AS p
    JOIN sample_sizes AS n ON n.device_number = p.device_number
    JOIN pairs AS r ON r.device_number = p.device_number AND r.person_number = p.person_number
),
peaks_best AS MATERIALIZED (
    SELECT * FROM peaks_ranked WHERE place <= {_CANDIDATES}
),
open_hours AS MATERIALIZED (
    SELECT h.* FROM hours_around AS h JOIN open_devices AS o ON o.device_number = h.device_number
),
person_hours AS MATERIALIZED (
    SELECT p.person_number, a.hour, a.buckets
    FROM (
        SELECT person, {_hour("timeStamp")} AS hour, count(DISTINCT {_bucket("timeStamp")}) AS buckets
        FROM accelerometer_landing WHERE {_hour("timeStamp")} IN (SELECT hour FROM open_hours) GROUP BY person, hour
    ) AS a
    JOIN people_seen AS p ON p.person = a.person
),
-- The chance that somebody of the hour is active when the device is: the geometric mean over its hours.
strangers AS (
    SELECT o.device_number, min(h.people) AS people,
        exp(avg(ln(greatest((o.people - 1) / h.people, {MOST_OFFSET_MS}.0 / {_HOUR_MS})))) AS share
    FROM open_hours AS o JOIN (SELECT hour, count(*) AS people FROM person_hours GROUP BY hour) AS h ON h.hour = o.hour
    GROUP BY o.device_number
),
-- The share of an hour in which a candidate is active: a phone that is always on is active when any device is.
habits AS (
    SELECT e.device_number, e.person_number, avg(p.buckets) * {MOST_OFFSET_MS}.0 / {_HOUR_MS} AS share
    FROM peaks_best AS e
    JOIN open_hours AS o ON o.device_number = e.device_number
    JOIN person_hours AS p ON p.person_number = e.person_number AND p.hour = o.hour
    GROUP BY e.device_number, e.person_number
),
offset_odds AS (
    SELECT e.*,
        {_owner_likelihood("e.share", "e.outside", "e.readings")} / (
            (
                s.people * pow(least(1, greatest(s.share, h.share)), e.hours)
                + CASE WHEN e.is_dense THEN {_SAME_HOME} ELSE 0 END
            ) * (
                {_by_accident("e.matched", "e.readings", "e.per_ms * e.width_ms", f"(2.0 * {MOST_OFFSET_MS} / e.width_ms)")}
                + {_IN_STEP_WITH_OFFSET} / e.readings
            )
        ) AS odds
    FROM peaks_best AS e
    JOIN strangers AS s ON s.device_number = e.device_number
    JOIN habits AS h ON h.device_number = e.device_number AND h.person_number = e.person_number
),
shifted AS (
    SELECT device_number,
        max(CASE WHEN place = 1 THEN person_number END) AS person_number,
        max(readings) AS compared,
        max(CASE WHEN place = 1 THEN matched END) AS matched,
        coalesce(max(CASE WHEN place = 2 THEN matched END), 0) AS runner_up,
        max(CASE WHEN place = 1 THEN offset_ms END) AS offset_ms,
        max(CASE WHEN place = 1 THEN offset_uncertainty_ms END) AS offset_uncertainty_ms,
        {_PROBABILITY} AS probability
    FROM offset_odds GROUP BY device_number
),
-- The likelier of the two; exact coincidences where both are.
best AS (
    SELECT c.*, b.person_number, b.probability, b.compared, b.matched, b.runner_up, b.offset_ms, b.offset_uncertainty_ms
    FROM reading_counts AS c
    LEFT JOIN (
        SELECT *, row_number() OVER (PARTITION BY device_number ORDER BY probability DESC, is_exact DESC) AS place
        FROM (
            SELECT device_number, person_number, probability, compared, matched, runner_up, 0.0 AS offset_ms,
                0.0 AS offset_uncertainty_ms, 1 AS is_exact
            FROM exact
            UNION ALL
            SELECT device_number, person_number, probability, compared, matched, runner_up, offset_ms,
                offset_uncertainty_ms, 0 AS is_exact
            FROM shifted
        ) AS either
    ) AS b ON b.device_number = c.device_number AND b.place = 1
)"""


def affected_devices(changed: str) -> str:
    """SQL for the devices whose evidence may change with some rows of accelerometer_landing: `k`, serial numbers."""
    return (
        f"SELECT device AS k FROM step_trainer_landing WHERE {_hour('sensorReadingTime')} IN "
        f"(SELECT {_hour('timeStamp')} + h.shift FROM {changed} AS changed "
        "CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS h)"
    )
