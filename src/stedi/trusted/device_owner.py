"""Which customer each device belongs to, and by what evidence."""

from stedi.table import Column, Rule, Table
from stedi.trusted.consent import person

# The best candidate is clear when it leads the runner-up by a fifth of its own coincidences and
# by at least three. On the public landing set every true owner has 30 coincidences and the best
# other candidate at most 23; three guards devices with only a few readings against chance.
LEAD_SHARE = 0.2
LEAD_COUNT = 3

TABLE = Table(
    name="device_owner",
    zone="trusted",
    meaning="which customer each device belongs to, from claims and from coinciding reading times, over all customers",
    grain="one device",
    key=("serialNumber",),
    inputs=("customer_landing", "accelerometer_landing", "step_trainer_landing"),
    columns=(
        Column("serialNumber", "string", "serial number of the device", personal=True, required=True),
        Column(
            "person",
            "string",
            "the owner's e-mail address, trimmed and case-folded; empty when not clear",
            personal=True,
        ),
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
            "of these, how many are also times of the best candidate's accelerometer",
            required=True,
        ),
        Column("runner_up_coincidences", "long", "the same of the second-best candidate", required=True),
    ),
    query=f"""
WITH claims AS (
    SELECT DISTINCT serialNumber, coalesce(nullif({person("email")}, ''), '') AS person
    FROM customer_landing WHERE serialNumber IS NOT NULL
),
claim_counts AS (
    SELECT serialNumber, count(*) AS claimants, max(person) AS claimant FROM claims GROUP BY serialNumber
),
device_times AS (
    SELECT DISTINCT serialNumber, sensorReadingTime AS at_ms FROM step_trainer_landing
),
reading_counts AS (
    SELECT serialNumber, count(*) AS reading_times FROM device_times GROUP BY serialNumber
),
person_times AS (
    SELECT DISTINCT {person('a."user"')} AS person, a.timeStamp AS at_ms
    FROM accelerometer_landing AS a
    WHERE a.timeStamp IN (SELECT at_ms FROM device_times)
),
coincidences AS (
    SELECT d.serialNumber, p.person, count(*) AS n
    FROM device_times AS d JOIN person_times AS p ON d.at_ms = p.at_ms
    GROUP BY d.serialNumber, p.person
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
        Rule(
            "one_row_a_device",
            "error",
            "a device appears once",
            violations="SELECT count(*) - count(DISTINCT serialNumber) FROM {rows}",
        ),
        Rule(
            "owner_is_clear",
            "warn",
            "a device whose owner is not clear feeds nothing",
            where="person IS NULL AND reading_times > 0",
        ),
    ),
    sort=("serialNumber",),
)
