"""How the reading times of devices coincide with those of phones, hour by hour: what says whose device it is.

docs/device-owners.md derives the formulas and says how often they are right.
"""

from stedi.model.identity import PERSON
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table

HOUR_MS = 3_600_000
# Hours since the epoch, until the year 2084: number n of a device's hour is the device's number times this, plus the hour.
_HOURS = 1_000_000
# Fewer coincidences are not looked for at offsets, and name nobody.
FEWEST = 3
# A moment that more people share is no evidence, and a pair for each of them would be too many. At most 5 people share one
# on the public set.
CROWD = 100
# Clocks of device and phone differ by at most this much, and moments are compared in buckets of this size.
MOST_OFFSET_MS = 5_000
# Logarithm of a chance of one in a million: exact coincidences that are less likely by accident show that clocks agree.
_NO_ACCIDENT = -13.8
# Offsets are compared in bins of this width, twice, shifted by half of it: jitter of ±5 ms fits into one.
BIN_MS = 20
# With more people around, no evidence at an offset that is not known reaches 0.999.
_MOST_AROUND = 20
# Readings of a device in an hour that are compared at all offsets, evenly chosen.
_SAMPLED = 32
# The phones with most coincidences in an hour; on the public set the owner's is always the first of them.
CANDIDATES = 3
# A phone with more readings a bucket records without a pause, and its readings tell no offset finer than a cell.
_DENSE = 50
_CELL_MS = 500
# What a phone or a device records without a longer pause than this has a beginning and an end.
_PAUSE_MS = 2_000


def _bucket(time: str) -> str:
    return f"{time} // {MOST_OFFSET_MS}"


def _hour(time: str) -> str:
    return f"{time} // {HOUR_MS}"


def _thousandths(logarithm: str) -> str:
    """SQL for a logarithm in whole thousandths: their sums are the same in any order and on every engine."""
    return f"round(1000 * {logarithm})::BIGINT"


def _by_accident(matched: str, readings: str, rate: str, trials: str) -> str:
    """SQL for a bound of the probability that a stranger matches so many readings independently, each at a rate.

    The Chernoff bound of a binomial tail, (e · n · p / m)^m.
    """
    independent = f"{matched} * ln(least(1, 2.718282 * {readings} * least(1, {rate}) / {matched}))"
    return f"least(0, ln({trials}) + {independent})"


def _unbroken(times: str, by: str) -> str:
    """SQL for the first and last of times (`at_ms`) that follow each other without a pause."""
    return f"""
    SELECT {by}, min(at_ms) AS first_ms, max(at_ms) AS last_ms
    FROM (
        SELECT *, sum(begins) OVER (PARTITION BY {by} ORDER BY at_ms) AS number
        FROM (
            SELECT *, CASE WHEN at_ms - lag(at_ms) OVER (PARTITION BY {by} ORDER BY at_ms) <= {_PAUSE_MS} THEN 0
                ELSE 1 END AS begins
            FROM ({times}) AS times
        ) AS followed
    ) AS numbered
    GROUP BY {by}, number"""


SERIAL = Column(
    "serialNumber", "string", "serial number of the device, trimmed and case-folded", personal=True, required=True
)
COMPARED_TIMES = Column(
    "compared_times",
    "long",
    "reading times that were compared with phones: those that few people share; a sample where clocks disagree",
    required=True,
)

TABLE = Table(
    name="device_evidence",
    zone="reference",
    meaning="how the reading times of each device coincide with those of phones, hour by hour, over all customers",
    grain="one device × hour × candidate",
    key=("serialNumber", "hour_ms", "place"),
    inputs=("accelerometer_landing", "step_trainer_landing"),
    columns=(
        SERIAL,
        Column("hour_ms", "long", "start of the hour (ms since the epoch, UTC)", required=True),
        Column(
            "place",
            "long",
            "the candidate's place among all people by coincidences in this hour, from 1; 0 where nobody has any",
            required=True,
        ),
        Column(
            "person",
            "string",
            f"{PERSON.meaning}, of the candidate",
            personal=True,
        ),
        Column("reading_times", "long", "distinct times of the hour at which the device took a reading", required=True),
        Column("first_reading_ms", "long", "the first of them (ms since the epoch, UTC)", required=True),
        Column("last_reading_ms", "long", "the last of them (ms since the epoch, UTC)", required=True),
        COMPARED_TIMES,
        Column(
            "coincidences",
            "long",
            "of those, how many coincide with readings of the candidate's accelerometer, at the offset",
            required=True,
        ),
        Column("compared_before", "long", "compared times before the first that coincides", required=True),
        Column("compared_after", "long", "compared times after the last that coincides", required=True),
        Column("offset_ms", "double", "how far the device's clock is ahead of the candidate's phone (ms)"),
        Column("offset_uncertainty_ms", "double", "half the width of the range of offsets that fit as well (ms)"),
        Column(
            "is_continuous", "boolean", "whether the candidate's phone records without a pause, and matches at any offset"
        ),
        Column(
            "is_regular",
            "boolean",
            "whether readings have even intervals, so that others may tick in step; not asked where they coincide exactly",
        ),
        Column(
            "accident_log",
            "long",
            "logarithm of the chance that readings which have nothing to do with the device coincide so often (thousandths)",
        ),
        Column(
            "presence_log",
            "long",
            "logarithm of the share of people of the hour who are active when the device is (thousandths)",
        ),
        Column("people", "long", "people who recorded anything in this hour"),
    ),
    person="person",
    covers_everyone=True,
    query=f"""
WITH devices_seen AS MATERIALIZED (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT device AS serialNumber FROM step_trainer_landing) AS seen
),
-- All that follows is by the hour of a device: n is its number.
device_times AS MATERIALIZED (
    SELECT DISTINCT d.device_number * {_HOURS} + {_hour("s.sensorReadingTime")} AS n, s.sensorReadingTime AS at_ms
    FROM step_trainer_landing AS s JOIN devices_seen AS d ON d.serialNumber = s.device
),
device_hours AS MATERIALIZED (
    SELECT n, n // {_HOURS} AS device_number, n % {_HOURS} AS hour, count(*) AS reading_times, min(at_ms) AS first_ms,
        max(at_ms) AS last_ms,
        CASE WHEN max(at_ms % 1000) = 0 THEN 1000 WHEN max(at_ms % 100) = 0 THEN 100 WHEN max(at_ms % 10) = 0 THEN 10
        ELSE 1 END AS tick_ms
    FROM device_times GROUP BY n
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
    SELECT p.person_number, a.bucket, a.readings
    FROM (
        SELECT person, {_bucket("timeStamp")} AS bucket, count(*) AS readings FROM accelerometer_landing
        WHERE {_hour("timeStamp")} IN (SELECT hour FROM device_hours)
        GROUP BY person, bucket
    ) AS a
    JOIN people_seen AS p ON p.person = a.person
),
person_hours AS MATERIALIZED (
    SELECT person_number, {_hour(f"(bucket * {MOST_OFFSET_MS})")} AS hour, count(*) AS buckets, sum(readings) AS readings
    FROM person_buckets GROUP BY person_number, hour
),
hours AS MATERIALIZED (
    SELECT hour, count(*) AS people FROM person_hours GROUP BY hour
),
bucket_crowds AS MATERIALIZED (
    SELECT bucket, count(*) AS people FROM person_buckets GROUP BY bucket
),
-- How many people are active when the device is, on average over its buckets.
around AS MATERIALIZED (
    SELECT d.n, avg(coalesce(c.people, 0)) AS people
    FROM (SELECT DISTINCT n, {_bucket("at_ms")} AS bucket FROM device_times) AS d
    LEFT JOIN bucket_crowds AS c ON c.bucket = d.bucket
    GROUP BY d.n
),
crowded_times AS (
    SELECT at_ms FROM person_times GROUP BY at_ms HAVING count(*) > {CROWD}
),
usable_times AS MATERIALIZED (
    SELECT n, at_ms FROM device_times AS t WHERE NOT EXISTS (SELECT 1 FROM crowded_times AS c WHERE c.at_ms = t.at_ms)
),
usable_hours AS MATERIALIZED (
    SELECT n, count(*) AS compared FROM usable_times GROUP BY n
),
exact AS MATERIALIZED (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY n ORDER BY matched DESC, person_number) AS place
        FROM (
            SELECT t.n, w.person_number, count(*) AS matched, min(t.at_ms) AS first_ms, max(t.at_ms) AS last_ms
            FROM usable_times AS t JOIN person_times AS w ON w.at_ms = t.at_ms
            GROUP BY t.n, w.person_number
        ) AS counted
    ) AS ranked
    WHERE place <= {CANDIDATES}
),
exact_ends AS (
    SELECT e.n, e.place, count(CASE WHEN t.at_ms < e.first_ms THEN 1 END) AS before,
        count(CASE WHEN t.at_ms > e.last_ms THEN 1 END) AS after
    FROM exact AS e
    JOIN usable_hours AS u ON u.n = e.n AND u.compared > e.matched
    JOIN usable_times AS t ON t.n = e.n
    GROUP BY e.n, e.place
),
exact_rated AS MATERIALIZED (
    SELECT e.*, u.compared, p.readings::DOUBLE / (p.buckets * {MOST_OFFSET_MS}) * h.tick_ms AS rate
    FROM exact AS e
    JOIN usable_hours AS u ON u.n = e.n
    JOIN device_hours AS h ON h.n = e.n
    JOIN person_hours AS p ON p.person_number = e.person_number AND p.hour = e.n % {_HOURS}
),
-- Where fewer than half of the readings coincide with one phone's, and those that do may be accident, clocks may disagree.
open_hours AS MATERIALIZED (
    SELECT h.n, greatest({BIN_MS}, 2 * h.tick_ms) AS bin_ms
    FROM device_hours AS h
    JOIN around AS a ON a.n = h.n
    LEFT JOIN exact_rated AS e ON e.n = h.n AND e.place = 1
    WHERE h.reading_times >= {FEWEST} AND a.people <= {_MOST_AROUND} AND coalesce(
        e.matched * 2 < h.reading_times AND {_by_accident("e.matched", "e.compared", "e.rate", "1")} > {_NO_ACCIDENT}, true
    )
),
-- Of readings at even intervals many have the same, also where some are lost: with 30% lost and jitter it is a third. Of
-- few at uneven ones two may have the same.
spacings AS MATERIALIZED (
    SELECT n, max(times) >= greatest(3, sum(times) / 10) AS is_regular
    FROM (
        SELECT n, gap_ms // {BIN_MS} AS gap, count(*) AS times
        FROM (
            SELECT n, at_ms - lag(at_ms) OVER (PARTITION BY n ORDER BY at_ms) AS gap_ms
            FROM device_times WHERE n IN (SELECT n FROM open_hours)
        ) AS gaps
        WHERE gap_ms IS NOT NULL GROUP BY n, gap
    ) AS counted
    GROUP BY n
),
-- One reading a cell, so that no two match the same reading of a phone; none that the phone may have in another hour.
cells AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY n ORDER BY at_ms) AS place, count(*) OVER (PARTITION BY n) AS readings
    FROM (
        SELECT o.n, o.bin_ms, min(t.at_ms) AS at_ms
        FROM open_hours AS o JOIN device_times AS t ON t.n = o.n
        WHERE {_bucket("t.at_ms")} NOT IN (SELECT bucket FROM bucket_crowds WHERE people > {CROWD})
            AND t.at_ms % {HOUR_MS} BETWEEN {MOST_OFFSET_MS} AND {HOUR_MS - MOST_OFFSET_MS}
        GROUP BY o.n, o.bin_ms, t.at_ms // {_CELL_MS}
    ) AS firsts
),
sampled AS MATERIALIZED (
    SELECT n, bin_ms, at_ms, row_number() OVER (PARTITION BY n ORDER BY at_ms) AS place
    FROM cells
    WHERE place * {_SAMPLED} // readings <> (place - 1) * {_SAMPLED} // readings
),
sample_sizes AS MATERIALIZED (
    SELECT n, count(*) AS compared FROM sampled GROUP BY n
),
sampled_buckets AS MATERIALIZED (
    SELECT s.*, {_bucket("s.at_ms")} + b.shift AS bucket
    FROM sampled AS s CROSS JOIN (SELECT -1 AS shift UNION ALL SELECT 0 AS shift UNION ALL SELECT 1 AS shift) AS b
    WHERE {_hour(f"(({_bucket('s.at_ms')} + b.shift) * {MOST_OFFSET_MS})")} = s.n % {_HOURS}
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
    SELECT person_number, bucket, count(*) AS readings FROM near_times GROUP BY person_number, bucket
),
crowded_buckets AS (
    SELECT bucket FROM near_buckets GROUP BY bucket HAVING count(*) > {CROWD}
),
-- Of a phone that records without a pause one reading a cell is compared, in bins of two cells.
pairs AS MATERIALIZED (
    SELECT s.n, w.person_number, avg(w.readings) / {MOST_OFFSET_MS} AS per_ms, avg(w.readings) > {_DENSE} AS is_continuous,
        CASE WHEN avg(w.readings) > {_DENSE} THEN {2 * _CELL_MS} ELSE max(s.bin_ms) END AS width_ms
    FROM (SELECT DISTINCT n, bin_ms, bucket FROM sampled_buckets) AS s
    JOIN near_buckets AS w ON w.bucket = s.bucket
    WHERE w.bucket NOT IN (SELECT bucket FROM crowded_buckets)
    GROUP BY s.n, w.person_number
),
compared AS (
    SELECT s.n, p.person_number, s.place, s.at_ms, w.at_ms AS phone_ms, p.width_ms
    FROM sampled_buckets AS s
    JOIN pairs AS p ON p.n = s.n AND p.is_continuous
    JOIN near_times AS w ON w.bucket = s.bucket AND w.person_number = p.person_number AND w.is_first
    UNION ALL
    SELECT s.n, p.person_number, s.place, s.at_ms, w.at_ms AS phone_ms, p.width_ms
    FROM sampled_buckets AS s
    JOIN pairs AS p ON p.n = s.n AND NOT p.is_continuous
    JOIN near_times AS w ON w.bucket = s.bucket AND w.person_number = p.person_number
),
-- Places are bits of a number: distinct ones are counted in a quarter of the time that DISTINCT takes.
matches AS (
    SELECT n, person_number, floor((2 * (at_ms - phone_ms) + half * width_ms) / (2.0 * width_ms))::BIGINT AS bin,
        bit_count(bit_or(1::BIGINT << place)) AS matched, min(place) AS first, max(place) AS last,
        min(at_ms - phone_ms) AS least_ms, max(at_ms - phone_ms) AS most_ms
    FROM compared CROSS JOIN (SELECT 0 AS half UNION ALL SELECT 1 AS half) AS halves
    WHERE at_ms - phone_ms BETWEEN -{MOST_OFFSET_MS} AND {MOST_OFFSET_MS}
    GROUP BY n, person_number, half, bin HAVING count(*) >= {FEWEST}
),
-- A phone that records without a pause matches at many offsets equally well; their spread is the uncertainty.
peaks AS (
    SELECT n, person_number, matched, min(first) AS first, max(last) AS last,
        (max(most_ms) + min(least_ms)) / 2.0 AS offset_ms, (max(most_ms) - min(least_ms)) / 2.0 AS offset_uncertainty_ms
    FROM (SELECT *, max(matched) OVER (PARTITION BY n, person_number) AS peak FROM matches) AS counted
    WHERE matched = peak AND matched >= {FEWEST}
    GROUP BY n, person_number, matched
),
shifted AS MATERIALIZED (
    SELECT * FROM (
        SELECT p.*, s.compared, r.per_ms * r.width_ms AS rate, 2.0 * {
        MOST_OFFSET_MS
    } / r.width_ms AS trials, r.is_continuous, g.is_regular,
            row_number() OVER (PARTITION BY p.n ORDER BY p.matched DESC, p.last - p.first DESC, p.person_number) AS place
        FROM peaks AS p
        JOIN sample_sizes AS s ON s.n = p.n
        JOIN spacings AS g ON g.n = p.n
        JOIN pairs AS r ON r.n = p.n AND r.person_number = p.person_number
    ) AS ranked
    WHERE place <= {CANDIDATES}
),
continuous AS MATERIALIZED (
    SELECT n, n % {_HOURS} AS hour, person_number, offset_ms FROM shifted WHERE is_continuous
),
device_stretches AS MATERIALIZED (
    {_unbroken("SELECT n, at_ms FROM device_times WHERE n IN (SELECT n FROM continuous)", "n")}
),
phone_stretches AS MATERIALIZED (
    {
        _unbroken(
            f'''SELECT DISTINCT p.person_number, {_hour("a.timeStamp")} AS hour, a.timeStamp AS at_ms
            FROM accelerometer_landing AS a JOIN people_seen AS p ON p.person = a.person
            JOIN (SELECT DISTINCT person_number, hour FROM continuous) AS c
              ON c.person_number = p.person_number AND c.hour = {_hour("a.timeStamp")}''',
            "person_number, hour",
        )
    }
),
-- Of a phone that records without a pause, where it begins and ends tells the offset: the device records within. One that
-- records from the same moment to the same moment tells it to a sample, one that is always on not at all.
ends AS (
    SELECT n, person_number, greatest(least_ms, -{MOST_OFFSET_MS}) AS least_ms, least(most_ms, {MOST_OFFSET_MS}) AS most_ms
    FROM (
        SELECT n, person_number, least(max(least_ms), min(most_ms)) AS least_ms,
            greatest(max(least_ms), min(most_ms)) AS most_ms
        FROM (
            SELECT c.n, c.person_number, least(d.first_ms - p.first_ms, d.last_ms - p.last_ms) AS least_ms,
                greatest(d.first_ms - p.first_ms, d.last_ms - p.last_ms) AS most_ms
            FROM continuous AS c
            JOIN device_stretches AS d ON d.n = c.n
            JOIN phone_stretches AS p ON p.person_number = c.person_number AND p.hour = c.hour
            WHERE (d.first_ms + d.last_ms) / 2 - c.offset_ms BETWEEN p.first_ms AND p.last_ms
        ) AS compared_ends
        GROUP BY n, person_number
    ) AS ranges
    WHERE least_ms <= {MOST_OFFSET_MS} AND most_ms >= -{MOST_OFFSET_MS}
),
either AS (
    SELECT s.n, s.place, s.person_number, s.compared, s.matched, s.first - 1 AS before, s.compared - s.last AS after,
        coalesce((e.least_ms + e.most_ms) / 2, s.offset_ms) AS offset_ms,
        coalesce((e.most_ms - e.least_ms) / 2, s.offset_uncertainty_ms) AS offset_uncertainty_ms,
        s.is_continuous, s.is_regular, s.rate, s.trials
    FROM shifted AS s LEFT JOIN ends AS e ON e.n = s.n AND e.person_number = s.person_number
    UNION ALL
    SELECT e.n, e.place, e.person_number, e.compared, e.matched, coalesce(o.before, 0), coalesce(o.after, 0), 0.0, 0.0,
        false, false, e.rate, 1
    FROM exact_rated AS e
    LEFT JOIN exact_ends AS o ON o.n = e.n AND o.place = e.place
    WHERE e.n NOT IN (SELECT n FROM shifted)
),
candidates AS MATERIALIZED (
    SELECT b.*, p.buckets
    FROM either AS b
    JOIN person_hours AS p ON p.person_number = b.person_number AND p.hour = b.n % {_HOURS}
)
SELECT d.serialNumber, h.hour * {HOUR_MS} AS hour_ms, coalesce(c.place, 0) AS place, p.person, h.reading_times,
    h.first_ms AS first_reading_ms, h.last_ms AS last_reading_ms,
    coalesce(c.compared, CASE WHEN w.n IS NULL THEN u.compared ELSE s.compared END, 0) AS compared_times,
    coalesce(c.matched, 0) AS coincidences,
    coalesce(c.before, 0) AS compared_before,
    coalesce(c.after, 0) AS compared_after,
    c.offset_ms, c.offset_uncertainty_ms, c.is_continuous, c.is_regular,
    CASE WHEN c.n IS NOT NULL THEN {
        _thousandths(_by_accident("c.matched", "c.compared", "c.rate", "c.trials"))
    } END AS accident_log,
    CASE WHEN c.n IS NOT NULL THEN {
        _thousandths(f"ln(least(1, greatest(a.people / o.people, c.buckets * {MOST_OFFSET_MS}.0 / {HOUR_MS})))")
    } END AS presence_log,
    o.people
FROM device_hours AS h
JOIN devices_seen AS d ON d.device_number = h.device_number
JOIN around AS a ON a.n = h.n
LEFT JOIN candidates AS c ON c.n = h.n
LEFT JOIN people_seen AS p ON p.person_number = c.person_number
LEFT JOIN hours AS o ON o.hour = h.hour
LEFT JOIN open_hours AS w ON w.n = h.n
LEFT JOIN sample_sizes AS s ON s.n = h.n
LEFT JOIN usable_hours AS u ON u.n = h.n
""",
    rules=(
        unique("one_row_a_place", "a device and hour have each place once", "serialNumber", "hour_ms", "place"),
        Rule(
            "as_many_coincidences_as_compared",
            "error",
            "no more reading times coincide than are compared",
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
