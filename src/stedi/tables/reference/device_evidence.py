"""Coincidences of device and phone readings by hour: the evidence for who owns a device.

docs/device-owners.md derives the formulas and measures how often they are right.
"""

from stedi.model.identity import PERSON
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table

HOUR_MS = 3_600_000
# `device_hour` is one number for a device and an hour: the device's number times this factor, plus the hour since the epoch.
# Hours stay below it until 2084.
_HOURS = 1_000_000
# With fewer readings an hour is not compared at offsets, and with fewer coincidences nobody is inferred to own a device.
MIN_COINCIDENCES = 3
# A time that more people share is no evidence, and would add a pair for each of them. In the public landing set at most 5
# people share a time.
MAX_PEOPLE_PER_TIME = 100
# Largest clock offset that is found, and width of the buckets in which times are joined.
MAX_OFFSET_MS = 5_000
# Natural logarithm of one in a million. If exact coincidences have a smaller probability by chance, clocks agree.
_CERTAIN_LOG = -13.8
# Width of the bins in which offsets are counted. Bins are counted twice, shifted by half a bin, so jitter of ±5 ms fits
# into one.
BIN_MS = 20
# With more people around, evidence at an unknown offset never reaches a probability of 0.999.
_MAX_PEOPLE_AROUND = 20
# Readings of a device's hour that are compared at all offsets, evenly chosen. At most 62, because they are bits of a BIGINT.
_SAMPLE_SIZE = 32
# Candidates that are kept for each hour. In the public landing set the owner always has most coincidences.
MAX_CANDIDATES = 3
# A phone with more readings per bucket records continuously: its readings determine an offset no finer than a cell.
_MAX_READINGS_PER_BUCKET = 50
_CELL_MS = 500
# Readings without a longer pause are one stretch. The starts and ends of stretches are compared.
_PAUSE_MS = 2_000


def _bucket(time: str) -> str:
    return f"{time} // {MAX_OFFSET_MS}"


def _hour(time: str) -> str:
    return f"{time} // {HOUR_MS}"


def _thousandths(logarithm: str) -> str:
    """Write a logarithm in thousandths, as integers: their sums are the same in any order and on every engine."""
    return f"round(1000 * {logarithm})::BIGINT"


def _chance_log(matched: str, readings: str, rate: str, trials: str) -> str:
    """Write the logarithm of an upper bound of the probability that a stranger's phone matches this many readings by chance.

    The Chernoff bound of a binomial tail, (e · n · p / m)^m, times the number of trials.

    Args:
        matched: SQL for m, the number of readings that match.
        readings: SQL for n, the number of readings compared.
        rate: SQL for p, the probability that one reading matches by chance.
        trials: SQL for the number of offsets tried.
    """
    independent = f"{matched} * ln(least(1, 2.718282 * {readings} * least(1, {rate}) / {matched}))"
    return f"least(0, ln({trials}) + {independent})"


def _stretches(times: str, by: str) -> str:
    """Write the query for the first and last time of each stretch of times (`at_ms`) without a longer pause."""
    return f"""
    SELECT {by}, min(at_ms) AS first_ms, max(at_ms) AS last_ms
    FROM (
        SELECT *, sum(starts_stretch) OVER (PARTITION BY {by} ORDER BY at_ms) AS stretch
        FROM (
            SELECT *, CASE WHEN at_ms - lag(at_ms) OVER (PARTITION BY {by} ORDER BY at_ms) <= {_PAUSE_MS} THEN 0
                ELSE 1 END AS starts_stretch
            FROM ({times}) AS times
        ) AS with_starts
    ) AS numbered
    GROUP BY {by}, stretch"""


# Readings of devices by device and hour (`device_hour`), and their tick: the resolution of the device's clock.
_DEVICE_TIMES = f"""
device_numbers AS MATERIALIZED (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT device AS serialNumber FROM step_trainer_landing) AS serials
),
device_times AS MATERIALIZED (
    SELECT DISTINCT d.device_number * {_HOURS} + {_hour("s.sensorReadingTime")} AS device_hour,
        s.sensorReadingTime AS at_ms
    FROM step_trainer_landing AS s JOIN device_numbers AS d ON d.serialNumber = s.device
),
device_hours AS MATERIALIZED (
    SELECT device_hour, device_hour // {_HOURS} AS device_number, device_hour % {_HOURS} AS hour,
        count(*) AS reading_times, min(at_ms) AS first_ms, max(at_ms) AS last_ms,
        CASE WHEN max(at_ms % 1000) = 0 THEN 1000 WHEN max(at_ms % 100) = 0 THEN 100 WHEN max(at_ms % 10) = 0 THEN 10
        ELSE 1 END AS tick_ms
    FROM device_times GROUP BY device_hour
)"""

# People who record in these hours: at exactly the times of a device's readings, by bucket of 5 s, and by hour.
_PEOPLE = f"""
person_numbers AS MATERIALIZED (
    SELECT person, row_number() OVER (ORDER BY person) AS person_number
    FROM (SELECT DISTINCT person FROM accelerometer_landing) AS people
),
person_times AS MATERIALIZED (
    SELECT DISTINCT p.person_number, a.timeStamp AS at_ms
    FROM accelerometer_landing AS a JOIN person_numbers AS p ON p.person = a.person
    WHERE a.timeStamp IN (SELECT at_ms FROM device_times)
),
person_buckets AS MATERIALIZED (
    SELECT p.person_number, a.bucket, a.readings
    FROM (
        SELECT person, {_bucket("timeStamp")} AS bucket, count(*) AS readings FROM accelerometer_landing
        WHERE {_hour("timeStamp")} IN (SELECT hour FROM device_hours)
        GROUP BY person, bucket
    ) AS a
    JOIN person_numbers AS p ON p.person = a.person
),
person_hours AS MATERIALIZED (
    SELECT person_number, {_hour(f"(bucket * {MAX_OFFSET_MS})")} AS hour, count(*) AS buckets, sum(readings) AS readings
    FROM person_buckets GROUP BY person_number, hour
),
people_by_hour AS MATERIALIZED (
    SELECT hour, count(*) AS people FROM person_hours GROUP BY hour
),
people_by_bucket AS MATERIALIZED (
    SELECT bucket, count(*) AS people FROM person_buckets GROUP BY bucket
),
-- The number of people who record when the device does, averaged over its buckets.
people_around AS MATERIALIZED (
    SELECT d.device_hour, avg(coalesce(c.people, 0)) AS people
    FROM (SELECT DISTINCT device_hour, {_bucket("at_ms")} AS bucket FROM device_times) AS d
    LEFT JOIN people_by_bucket AS c ON c.bucket = d.bucket
    GROUP BY d.device_hour
)"""

# Exact coincidences: reading times of a device that are also times of a person's phone.
_EXACT_CANDIDATES = f"""
crowded_times AS (
    SELECT at_ms FROM person_times GROUP BY at_ms HAVING count(*) > {MAX_PEOPLE_PER_TIME}
),
comparable_times AS MATERIALIZED (
    SELECT device_hour, at_ms FROM device_times AS t
    WHERE NOT EXISTS (SELECT 1 FROM crowded_times AS c WHERE c.at_ms = t.at_ms)
),
comparable_hours AS MATERIALIZED (
    SELECT device_hour, count(*) AS compared FROM comparable_times GROUP BY device_hour
),
exact_candidates AS MATERIALIZED (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY device_hour ORDER BY matched DESC, person_number) AS place
        FROM (
            SELECT t.device_hour, p.person_number, count(*) AS matched, min(t.at_ms) AS first_ms, max(t.at_ms) AS last_ms
            FROM comparable_times AS t JOIN person_times AS p ON p.at_ms = t.at_ms
            GROUP BY t.device_hour, p.person_number
        ) AS counted
    ) AS ranked
    WHERE place <= {MAX_CANDIDATES}
),
-- Compared times before the first and after the last coincidence.
exact_outside AS (
    SELECT e.device_hour, e.place, count(CASE WHEN t.at_ms < e.first_ms THEN 1 END) AS before,
        count(CASE WHEN t.at_ms > e.last_ms THEN 1 END) AS after
    FROM exact_candidates AS e
    JOIN comparable_hours AS u ON u.device_hour = e.device_hour AND u.compared > e.matched
    JOIN comparable_times AS t ON t.device_hour = e.device_hour
    GROUP BY e.device_hour, e.place
),
-- rate: the chance that a reading matches the phone at one tick.
exact_rated AS MATERIALIZED (
    SELECT e.*, u.compared, p.readings::DOUBLE / (p.buckets * {MAX_OFFSET_MS}) * h.tick_ms AS rate
    FROM exact_candidates AS e
    JOIN comparable_hours AS u ON u.device_hour = e.device_hour
    JOIN device_hours AS h ON h.device_hour = e.device_hour
    JOIN person_hours AS p ON p.person_number = e.person_number AND p.hour = e.device_hour % {_HOURS}
)"""

# Hours in which clocks may differ: fewer than half of the readings coincide exactly with one phone's, possibly by chance.
# In each of these hours an evenly chosen sample of readings is compared at all offsets.
_OFFSET_SAMPLE = f"""
offset_hours AS MATERIALIZED (
    SELECT h.device_hour, greatest({BIN_MS}, 2 * h.tick_ms) AS bin_ms
    FROM device_hours AS h
    JOIN people_around AS a ON a.device_hour = h.device_hour
    LEFT JOIN exact_rated AS e ON e.device_hour = h.device_hour AND e.place = 1
    WHERE h.reading_times >= {MIN_COINCIDENCES} AND a.people <= {_MAX_PEOPLE_AROUND} AND coalesce(
        e.matched * 2 < h.reading_times AND {_chance_log("e.matched", "e.compared", "e.rate", "1")} > {_CERTAIN_LOG}, true
    )
),
-- Whether readings are evenly spaced. Then many intervals are equal, even if readings are lost: a third with 30% lost and
-- jitter. Two of a few uneven intervals may be equal by chance.
interval_regularity AS MATERIALIZED (
    SELECT device_hour, max(times) >= greatest(3, sum(times) / 10) AS is_regular
    FROM (
        SELECT device_hour, interval_ms // {BIN_MS} AS interval_bin, count(*) AS times
        FROM (
            SELECT device_hour, at_ms - lag(at_ms) OVER (PARTITION BY device_hour ORDER BY at_ms) AS interval_ms
            FROM device_times WHERE device_hour IN (SELECT device_hour FROM offset_hours)
        ) AS intervals
        WHERE interval_ms IS NOT NULL GROUP BY device_hour, interval_bin
    ) AS counted
    GROUP BY device_hour
),
-- One reading per cell, so that no two match the same reading of a phone. Readings within the largest offset of a full hour
-- are left out, because on the phone's clock they may be in another hour.
cells AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY device_hour ORDER BY at_ms) AS cell_number,
        count(*) OVER (PARTITION BY device_hour) AS cell_count
    FROM (
        SELECT o.device_hour, o.bin_ms, min(t.at_ms) AS at_ms
        FROM offset_hours AS o JOIN device_times AS t ON t.device_hour = o.device_hour
        WHERE {_bucket("t.at_ms")} NOT IN (SELECT bucket FROM people_by_bucket WHERE people > {MAX_PEOPLE_PER_TIME})
            AND t.at_ms % {HOUR_MS} BETWEEN {MAX_OFFSET_MS} AND {HOUR_MS - MAX_OFFSET_MS}
        GROUP BY o.device_hour, o.bin_ms, t.at_ms // {_CELL_MS}
    ) AS first_times
),
sampled_times AS MATERIALIZED (
    SELECT device_hour, bin_ms, at_ms, row_number() OVER (PARTITION BY device_hour ORDER BY at_ms) AS sample_number
    FROM cells
    WHERE cell_number * {_SAMPLE_SIZE} // cell_count <> (cell_number - 1) * {_SAMPLE_SIZE} // cell_count
),
sample_sizes AS MATERIALIZED (
    SELECT device_hour, count(*) AS compared FROM sampled_times GROUP BY device_hour
),
-- Each sampled time with its bucket and the adjacent ones: they contain all times of a phone within the largest offset.
sampled_buckets AS MATERIALIZED (
    SELECT s.*, {_bucket("s.at_ms")} + b.shift AS bucket
    FROM sampled_times AS s
    CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS b
    WHERE {_hour(f"(({_bucket('s.at_ms')} + b.shift) * {MAX_OFFSET_MS})")} = s.device_hour % {_HOURS}
)"""

# Coincidences at an offset: differences between the sampled times and a phone's times, counted in bins.
_OFFSET_CANDIDATES = f"""
phone_times AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY person_number, at_ms // {_CELL_MS} ORDER BY at_ms) = 1 AS is_first_of_cell
    FROM (
        SELECT DISTINCT p.person_number, a.timeStamp AS at_ms, {_bucket("a.timeStamp")} AS bucket
        FROM accelerometer_landing AS a JOIN person_numbers AS p ON p.person = a.person
        WHERE {_bucket("a.timeStamp")} IN (SELECT bucket FROM sampled_buckets)
    ) AS times
),
phone_buckets AS MATERIALIZED (
    SELECT person_number, bucket, count(*) AS readings FROM phone_times GROUP BY person_number, bucket
),
crowded_buckets AS (
    SELECT bucket FROM phone_buckets GROUP BY bucket HAVING count(*) > {MAX_PEOPLE_PER_TIME}
),
-- If a phone records continuously, one reading per cell is compared, in bins of two cells.
compared_phones AS MATERIALIZED (
    SELECT s.device_hour, p.person_number, avg(p.readings) / {MAX_OFFSET_MS} AS readings_per_ms,
        avg(p.readings) > {_MAX_READINGS_PER_BUCKET} AS is_continuous,
        CASE WHEN avg(p.readings) > {_MAX_READINGS_PER_BUCKET} THEN {2 * _CELL_MS} ELSE max(s.bin_ms) END AS bin_ms
    FROM (SELECT DISTINCT device_hour, bin_ms, bucket FROM sampled_buckets) AS s
    JOIN phone_buckets AS p ON p.bucket = s.bucket
    WHERE p.bucket NOT IN (SELECT bucket FROM crowded_buckets)
    GROUP BY s.device_hour, p.person_number
),
compared_pairs AS (
    SELECT s.device_hour, c.person_number, s.sample_number, s.at_ms, t.at_ms AS phone_ms, c.bin_ms
    FROM sampled_buckets AS s
    JOIN compared_phones AS c ON c.device_hour = s.device_hour AND c.is_continuous
    JOIN phone_times AS t ON t.bucket = s.bucket AND t.person_number = c.person_number AND t.is_first_of_cell
    UNION ALL
    SELECT s.device_hour, c.person_number, s.sample_number, s.at_ms, t.at_ms AS phone_ms, c.bin_ms
    FROM sampled_buckets AS s
    JOIN compared_phones AS c ON c.device_hour = s.device_hour AND NOT c.is_continuous
    JOIN phone_times AS t ON t.bucket = s.bucket AND t.person_number = c.person_number
),
-- Two grids of bins, one shifted by half a bin. Distinct sample numbers are counted as bits of a number, in a quarter of the
-- time of DISTINCT.
offset_bins AS (
    SELECT device_hour, person_number,
        floor((2 * (at_ms - phone_ms) + half * bin_ms) / (2.0 * bin_ms))::BIGINT AS offset_bin,
        bit_count(bit_or(1::BIGINT << sample_number)) AS matched,
        min(sample_number) AS first, max(sample_number) AS last,
        min(at_ms - phone_ms) AS least_ms, max(at_ms - phone_ms) AS most_ms
    FROM compared_pairs CROSS JOIN (SELECT 0 AS half UNION ALL SELECT 1 AS half) AS grids
    WHERE at_ms - phone_ms BETWEEN -{MAX_OFFSET_MS} AND {MAX_OFFSET_MS}
    GROUP BY device_hour, person_number, half, offset_bin HAVING count(*) >= {MIN_COINCIDENCES}
),
-- The bins with most matches. A phone that records continuously has many, and their spread is the uncertainty.
offset_peaks AS (
    SELECT device_hour, person_number, matched, min(first) AS first, max(last) AS last,
        (max(most_ms) + min(least_ms)) / 2.0 AS offset_ms, (max(most_ms) - min(least_ms)) / 2.0 AS offset_uncertainty_ms
    FROM (SELECT *, max(matched) OVER (PARTITION BY device_hour, person_number) AS peak FROM offset_bins) AS bins
    WHERE matched = peak AND matched >= {MIN_COINCIDENCES}
    GROUP BY device_hour, person_number, matched
),
-- rate: the chance that a reading matches the phone in one bin. trials: the number of bins.
offset_candidates AS MATERIALIZED (
    SELECT * FROM (
        SELECT p.*, s.compared, c.readings_per_ms * c.bin_ms AS rate, 2.0 * {MAX_OFFSET_MS} / c.bin_ms AS trials,
            c.is_continuous, r.is_regular,
            row_number() OVER (
                PARTITION BY p.device_hour ORDER BY p.matched DESC, p.last - p.first DESC, p.person_number
            ) AS place
        FROM offset_peaks AS p
        JOIN sample_sizes AS s ON s.device_hour = p.device_hour
        JOIN interval_regularity AS r ON r.device_hour = p.device_hour
        JOIN compared_phones AS c ON c.device_hour = p.device_hour AND c.person_number = p.person_number
    ) AS ranked
    WHERE place <= {MAX_CANDIDATES}
)"""

# For phones that record continuously, the starts and ends of stretches narrow the offset, because the device records within
# a stretch of the phone. If both start and stop together, the offset is exact to a sample. If the phone is always on, the
# offset stays unknown.
_CONTINUOUS_OFFSETS = f"""
continuous_candidates AS MATERIALIZED (
    SELECT device_hour, device_hour % {_HOURS} AS hour, person_number, offset_ms FROM offset_candidates WHERE is_continuous
),
device_stretches AS MATERIALIZED ({
    _stretches(
        "SELECT device_hour, at_ms FROM device_times WHERE device_hour IN (SELECT device_hour FROM continuous_candidates)",
        "device_hour",
    )
}
),
phone_stretches AS MATERIALIZED ({
    _stretches(
        f'''SELECT DISTINCT p.person_number, {_hour("a.timeStamp")} AS hour, a.timeStamp AS at_ms
            FROM accelerometer_landing AS a JOIN person_numbers AS p ON p.person = a.person
            JOIN (SELECT DISTINCT person_number, hour FROM continuous_candidates) AS c
              ON c.person_number = p.person_number AND c.hour = {_hour("a.timeStamp")}''',
        "person_number, hour",
    )
}
),
-- The offsets that agree with all stretches, or the gap between those that contradict each other.
continuous_offsets AS (
    SELECT device_hour, person_number, greatest(least_ms, -{MAX_OFFSET_MS}) AS least_ms,
        least(most_ms, {MAX_OFFSET_MS}) AS most_ms
    FROM (
        SELECT device_hour, person_number, least(max(least_ms), min(most_ms)) AS least_ms,
            greatest(max(least_ms), min(most_ms)) AS most_ms
        FROM (
            SELECT c.device_hour, c.person_number, least(d.first_ms - p.first_ms, d.last_ms - p.last_ms) AS least_ms,
                greatest(d.first_ms - p.first_ms, d.last_ms - p.last_ms) AS most_ms
            FROM continuous_candidates AS c
            JOIN device_stretches AS d ON d.device_hour = c.device_hour
            JOIN phone_stretches AS p ON p.person_number = c.person_number AND p.hour = c.hour
            WHERE (d.first_ms + d.last_ms) / 2 - c.offset_ms BETWEEN p.first_ms AND p.last_ms
        ) AS stretch_pairs
        GROUP BY device_hour, person_number
    ) AS ranges
    WHERE least_ms <= {MAX_OFFSET_MS} AND most_ms >= -{MAX_OFFSET_MS}
)"""

# The candidates of an hour: those at an offset if there are any, otherwise the exact ones.
_CANDIDATES = f"""
counted_candidates AS (
    SELECT o.device_hour, o.place, o.person_number, o.compared, o.matched,
        o.first - 1 AS before, o.compared - o.last AS after,
        coalesce((c.least_ms + c.most_ms) / 2, o.offset_ms) AS offset_ms,
        coalesce((c.most_ms - c.least_ms) / 2, o.offset_uncertainty_ms) AS offset_uncertainty_ms,
        o.is_continuous, o.is_regular, o.rate, o.trials
    FROM offset_candidates AS o
    LEFT JOIN continuous_offsets AS c ON c.device_hour = o.device_hour AND c.person_number = o.person_number
    UNION ALL
    SELECT e.device_hour, e.place, e.person_number, e.compared, e.matched,
        coalesce(x.before, 0), coalesce(x.after, 0), 0.0, 0.0, false, false, e.rate, 1
    FROM exact_rated AS e
    LEFT JOIN exact_outside AS x ON x.device_hour = e.device_hour AND x.place = e.place
    WHERE e.device_hour NOT IN (SELECT device_hour FROM offset_candidates)
),
candidates AS MATERIALIZED (
    SELECT c.*, p.buckets
    FROM counted_candidates AS c
    JOIN person_hours AS p ON p.person_number = c.person_number AND p.hour = c.device_hour % {_HOURS}
)"""

_STEPS = (
    _DEVICE_TIMES,
    _PEOPLE,
    _EXACT_CANDIDATES,
    _OFFSET_SAMPLE,
    _OFFSET_CANDIDATES,
    _CONTINUOUS_OFFSETS,
    _CANDIDATES,
)

# presence_log: share of people who record when the device does. A phone that is always on does so in any case. So its own
# share of active buckets counts, if that is larger.
_QUERY = f"""
WITH {",".join(_STEPS)}
SELECT d.serialNumber, h.hour * {HOUR_MS} AS hour_ms, coalesce(c.place, 0) AS place, p.person, h.reading_times,
    h.first_ms AS first_reading_ms, h.last_ms AS last_reading_ms,
    coalesce(c.compared, CASE WHEN o.device_hour IS NULL THEN u.compared ELSE s.compared END, 0) AS compared_times,
    coalesce(c.matched, 0) AS coincidences,
    coalesce(c.before, 0) AS compared_before,
    coalesce(c.after, 0) AS compared_after,
    c.offset_ms, c.offset_uncertainty_ms, c.is_continuous, c.is_regular,
    CASE WHEN c.device_hour IS NOT NULL THEN {
    _thousandths(_chance_log("c.matched", "c.compared", "c.rate", "c.trials"))
} END AS accident_log,
    CASE WHEN c.device_hour IS NOT NULL THEN {
    _thousandths(f"ln(least(1, greatest(a.people / b.people, c.buckets * {MAX_OFFSET_MS}.0 / {HOUR_MS})))")
} END AS presence_log,
    b.people
FROM device_hours AS h
JOIN device_numbers AS d ON d.device_number = h.device_number
JOIN people_around AS a ON a.device_hour = h.device_hour
LEFT JOIN candidates AS c ON c.device_hour = h.device_hour
LEFT JOIN person_numbers AS p ON p.person_number = c.person_number
LEFT JOIN people_by_hour AS b ON b.hour = h.hour
LEFT JOIN offset_hours AS o ON o.device_hour = h.device_hour
LEFT JOIN sample_sizes AS s ON s.device_hour = h.device_hour
LEFT JOIN comparable_hours AS u ON u.device_hour = h.device_hour
"""

SERIAL = Column("serialNumber", "string", "normalised serial number of the device", personal=True, required=True)
COMPARED_TIMES = Column(
    "compared_times",
    "long",
    "reading times compared with phones, without times that many people share; a sample if clocks differ",
    required=True,
)

TABLE = Table(
    name="device_evidence",
    zone="reference",
    meaning="coincidences of each device's reading times with those of phones, by hour, over all customers",
    grain="one device × hour × candidate",
    key=("serialNumber", "hour_ms", "place"),
    inputs=("accelerometer_landing", "step_trainer_landing"),
    columns=(
        SERIAL,
        Column("hour_ms", "long", "start of the hour (ms since the epoch, UTC)", required=True),
        Column(
            "place", "long", "rank of the candidate by coincidences in this hour, from 1; 0: no candidate", required=True
        ),
        Column("person", "string", f"the candidate: {PERSON.meaning}; null: no candidate", personal=True),
        Column("reading_times", "long", "distinct reading times of the device in the hour", required=True),
        Column("first_reading_ms", "long", "the first of them (ms since the epoch, UTC)", required=True),
        Column("last_reading_ms", "long", "the last of them (ms since the epoch, UTC)", required=True),
        COMPARED_TIMES,
        Column(
            "coincidences",
            "long",
            "compared times that coincide with readings of the candidate's phone at the offset",
            required=True,
        ),
        Column("compared_before", "long", "number of compared times before the first coincidence", required=True),
        Column("compared_after", "long", "number of compared times after the last coincidence", required=True),
        Column("offset_ms", "double", "time that the device's clock is ahead of the candidate's phone (ms)"),
        Column("offset_uncertainty_ms", "double", "half the width of the range of equally good offsets (ms)"),
        Column("is_continuous", "boolean", "whether the candidate's phone records continuously: it matches at any offset"),
        Column(
            "is_regular",
            "boolean",
            "whether the device's readings are evenly spaced, so unrelated readings may be in step; false without offset",
        ),
        Column(
            "accident_log",
            "long",
            "natural logarithm, in thousandths, of the probability that unrelated readings coincide this often",
        ),
        Column(
            "presence_log",
            "long",
            "natural logarithm, in thousandths, of the share of the hour's people who record when the device does",
        ),
        Column("people", "long", "people with accelerometer readings in this hour"),
    ),
    person="person",
    covers_everyone=True,
    query=_QUERY,
    rules=(
        unique("one_row_a_place", "ranks within a device and hour are unique", "serialNumber", "hour_ms", "place"),
        Rule(
            "as_many_coincidences_as_compared",
            "error",
            "coincidences and the compared times before and after them are together at most the compared times",
            where="coincidences + compared_before + compared_after > compared_times",
        ),
    ),
    day="hour_ms",
    sort=("serialNumber", "hour_ms", "place"),
    incremental=IncrementalSpec(
        None,
        {
            "accelerometer_landing": KeyedInput("''", "timeStamp", ("person", "timeStamp")),
            "step_trainer_landing": KeyedInput("''", "sensorReadingTime", ("device", "sensorReadingTime")),
        },
        span_ms=HOUR_MS,
    ),
)
