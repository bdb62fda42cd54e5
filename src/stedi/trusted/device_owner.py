"""Which customer each device belongs to, and by what evidence."""

from dataclasses import replace

from stedi.identity import PERSON
from stedi.table import Column, Dimension, Fact, Rule, Scope, Table, no_repeats

# The best candidate is clear when it leads the runner-up by a fifth of its own coincidences and
# by at least three. On the public landing set every true owner has 30 coincidences and the best
# other candidate at most 23; three guards devices with only a few readings against chance.
LEAD_SHARE = 0.2
LEAD_COUNT = 3
# A time that more people share tells little about any of them, and where clocks only know whole
# seconds a pair for each of them would be too many. At most 5 people share one on the public set.
CROWD = 100

TABLE = Table(
    name="device_owner",
    zone="trusted",
    meaning="which customer each device belongs to, from claims and from coinciding reading times, over all customers",
    grain="one device",
    key=("serialNumber",),
    inputs=("customer_landing", "accelerometer_landing", "step_trainer_landing"),
    columns=(
        Column(
            "serialNumber", "string", "serial number of the device, trimmed and case-folded", personal=True, required=True
        ),
        replace(PERSON, meaning=f"{PERSON.meaning}, of the owner; empty when not clear"),
        Column("status", "string", "claimed, confirmed, inferred, ambiguous or unknown", required=True),
        Column(
            "claimants",
            "long",
            "customers whose records carry this serial; one more when a record has no e-mail address",
            required=True,
        ),
        Column("reading_times", "long", "distinct times at which the device took a reading", required=True),
        Column(
            "coincidences",
            "long",
            "of those that few people share, how many are also times of the best candidate's accelerometer",
            required=True,
        ),
        Column("runner_up_coincidences", "long", "the same of the second-best candidate", required=True),
    ),
    person="person",
    covers_everyone=True,
    query=f"""
WITH claims AS (
    SELECT DISTINCT device AS serialNumber, coalesce(person, '') AS person
    FROM customer_landing WHERE device IS NOT NULL
),
claim_counts AS (
    SELECT serialNumber, count(*) AS claimants, max(person) AS claimant FROM claims GROUP BY serialNumber
),
devices_seen AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number
    FROM (SELECT DISTINCT device AS serialNumber FROM step_trainer_landing) AS seen
),
device_times AS (
    SELECT DISTINCT d.device_number, s.sensorReadingTime AS at_ms
    FROM step_trainer_landing AS s JOIN devices_seen AS d ON d.serialNumber = s.device
),
reading_counts AS (
    SELECT d.serialNumber, t.reading_times
    FROM (SELECT device_number, count(*) AS reading_times FROM device_times GROUP BY device_number) AS t
    JOIN devices_seen AS d ON d.device_number = t.device_number
),
people_seen AS (
    SELECT person, row_number() OVER (ORDER BY person) AS person_number
    FROM (SELECT DISTINCT person FROM accelerometer_landing) AS seen
),
person_times AS (
    SELECT DISTINCT p.person_number, a.timeStamp AS at_ms
    FROM accelerometer_landing AS a JOIN people_seen AS p ON p.person = a.person
    WHERE a.timeStamp IN (SELECT at_ms FROM device_times)
),
crowded_times AS (
    SELECT at_ms FROM person_times GROUP BY at_ms HAVING count(*) > {CROWD}
),
coincidences AS (
    SELECT d.serialNumber, p.person, c.n
    FROM (
        SELECT t.device_number, w.person_number, count(*) AS n
        FROM device_times AS t JOIN person_times AS w ON w.at_ms = t.at_ms
        WHERE NOT EXISTS (SELECT 1 FROM crowded_times AS c WHERE c.at_ms = t.at_ms)
        GROUP BY t.device_number, w.person_number
    ) AS c
    JOIN devices_seen AS d ON d.device_number = c.device_number
    JOIN people_seen AS p ON p.person_number = c.person_number
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY serialNumber ORDER BY n DESC, person) AS place FROM coincidences
),
best AS (
    SELECT serialNumber,
        max(CASE WHEN place = 1 THEN person END) AS candidate,
        max(CASE WHEN place = 1 THEN n END) AS n,
        coalesce(max(CASE WHEN place = 2 THEN n END), 0) AS runner_up
    FROM ranked WHERE place <= 2 GROUP BY serialNumber
),
devices AS (
    SELECT serialNumber FROM reading_counts UNION SELECT serialNumber FROM claim_counts
),
weighed AS (
    SELECT d.serialNumber, c.claimants, nullif(c.claimant, '') AS claimant, r.reading_times, b.candidate,
        coalesce(b.n, 0) AS n, coalesce(b.runner_up, 0) AS runner_up,
        coalesce(b.n - b.runner_up >= greatest({LEAD_COUNT}, {LEAD_SHARE} * b.n), false) AS is_clear
    FROM devices AS d
    LEFT JOIN claim_counts AS c ON c.serialNumber = d.serialNumber
    LEFT JOIN reading_counts AS r ON r.serialNumber = d.serialNumber
    LEFT JOIN best AS b ON b.serialNumber = d.serialNumber
),
judged AS (
    SELECT *,
        CASE
            WHEN claimants = 1 AND claimant IS NOT NULL AND is_clear AND candidate = claimant THEN 'confirmed'
            WHEN is_clear THEN 'inferred'
            WHEN claimants = 1 AND claimant IS NOT NULL THEN 'claimed'
            WHEN claimants > 0 OR candidate IS NOT NULL THEN 'ambiguous'
            ELSE 'unknown'
        END AS status
    FROM weighed
)
SELECT serialNumber,
    CASE status WHEN 'confirmed' THEN claimant WHEN 'claimed' THEN claimant WHEN 'inferred' THEN candidate END AS person,
    status,
    coalesce(claimants, 0) AS claimants,
    coalesce(reading_times, 0) AS reading_times,
    n AS coincidences,
    runner_up AS runner_up_coincidences
FROM judged
""",
    rules=(
        no_repeats("one_row_a_device", "a device appears once", "serialNumber"),
        Rule(
            "owner_is_clear",
            "warn",
            "a device whose owner is not clear feeds nothing",
            where="person IS NULL AND reading_times > 0",
        ),
    ),
    sort=("serialNumber",),
    scope=Scope(
        "serialNumber",
        {
            "customer_landing": Fact("device", columns=("device", "person")),
            "accelerometer_landing": Dimension(
                "SELECT device AS k FROM step_trainer_landing "
                "WHERE sensorReadingTime IN (SELECT timeStamp FROM {changed} AS changed)",
                ("person", "timeStamp"),
            ),
            "step_trainer_landing": Fact("device", columns=("device", "sensorReadingTime"), spelling="device"),
        },
    ),
)
