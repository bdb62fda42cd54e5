"""Which customer each device belongs to, by what evidence, and how sure that is."""

from dataclasses import replace

from stedi.identity import PERSON
from stedi.table import Column, Dimension, Fact, Rule, Scope, Table, no_repeats
from stedi.trusted.owner_evidence import EVIDENCE, FEWEST, LEAD_SHARE, affected_devices

# Evidence against a sole claim has to be this many times as sure: at least so many sole claims are right for a wrong one.
CLAIM_ODDS = 10
_SOLE_CLAIM = "(claimants = 1 AND claimant <> '')"

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
        Column("reading_times", "long", "distinct times at which the device took a reading", required=True),
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
        Column("offset_uncertainty_ms", "double", "half the width of the range of offsets that fit as well (ms)"),
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
{EVIDENCE},
evidence AS (
    SELECT d.serialNumber, p.person AS candidate, b.*
    FROM best AS b
    JOIN devices_seen AS d ON d.device_number = b.device_number
    LEFT JOIN people_seen AS p ON p.person_number = b.person_number
),
devices AS (
    SELECT serialNumber FROM evidence UNION SELECT serialNumber FROM claim_counts
),
weighed AS (
    SELECT d.serialNumber, c.claimants, c.claimant, e.reading_times, e.first_ms, e.last_ms,
        e.candidate, e.probability, e.compared, e.matched, e.runner_up, e.offset_ms, e.offset_uncertainty_ms,
        coalesce(
            e.matched - e.runner_up >= greatest({FEWEST}, {LEAD_SHARE} * e.matched)
            AND (1 - e.probability) * CASE WHEN {_SOLE_CLAIM} AND e.candidate <> c.claimant THEN {CLAIM_ODDS} ELSE 1 END
                <= 1 - $owners_confidence::DOUBLE,
            false
        ) AS is_clear
    FROM devices AS d
    LEFT JOIN claim_counts AS c ON c.serialNumber = d.serialNumber
    LEFT JOIN evidence AS e ON e.serialNumber = d.serialNumber
),
judged AS (
    SELECT *,
        CASE
            WHEN {_SOLE_CLAIM} AND is_clear AND candidate = claimant THEN 'confirmed'
            WHEN is_clear THEN 'inferred'
            WHEN {_SOLE_CLAIM} THEN 'claimed'
            WHEN claimants > 0 OR candidate IS NOT NULL THEN 'ambiguous'
            ELSE 'unknown'
        END AS status
    FROM weighed
)
SELECT serialNumber,
    CASE status WHEN 'confirmed' THEN claimant WHEN 'claimed' THEN claimant WHEN 'inferred' THEN candidate END AS person,
    status,
    probability AS confidence,
    coalesce(claimants, 0) AS claimants,
    coalesce(reading_times, 0) AS reading_times,
    first_ms AS first_reading_ms,
    last_ms AS last_reading_ms,
    coalesce(compared, 0) AS compared_times,
    coalesce(matched, 0) AS coincidences,
    coalesce(runner_up, 0) AS runner_up_coincidences,
    offset_ms,
    offset_uncertainty_ms
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
    parameters=("owners_confidence",),
    scope=Scope(
        "serialNumber",
        {
            "customer_landing": Fact("device", columns=("device", "person")),
            "accelerometer_landing": Dimension(affected_devices("{changed}"), ("person", "timeStamp")),
            "step_trainer_landing": Fact("device", columns=("device", "sensorReadingTime"), spelling="device"),
        },
    ),
)
