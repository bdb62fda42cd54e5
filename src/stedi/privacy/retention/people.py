"""Find the people whose raw records have been kept for long enough, and the devices that are theirs.

These are people whose consent to research is not in force, and who were known not to consent before the cut-off. Records
may only go if nobody who consents loses one, and if no device's readings become those of somebody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stedi.catalog import Catalog
from stedi.compute import Backend
from stedi.compute.sql import with_relations
from stedi.compute.suppressed_rows import identity_digest, own_time
from stedi.ingest.retention_marks import DEVICE, PERSON, PHONE
from stedi.model.sql import literal
from stedi.pipeline.landing import reject_files
from stedi.tables.consent import people_without_consent
from stedi.tables.landing import accelerometer, customer, quarantine
from stedi.tables.reference import consent_hold
from stedi.tables.registry import BY_NAME

# The relations with the result: people (person, kind of mark, until_ms), and devices (device, from_ms, to_ms).
PEOPLE, DEVICES = "retention_people", "retention_devices"
# Bounds of open periods, before and after all times.
_FIRST_MS, _LAST_MS = -(2**62), 2**62


@dataclass(frozen=True)
class Counts:
    """How many people and devices are past the retention, and how many stay nevertheless.

    Attributes:
        people: people with records that may go.
        devices: periods of devices with readings that may go.
        kept_on_hold: people whose newest usable record consents, and whose consent is on hold since before the cut-off.
        kept_owners: people without whom readings of a device might be taken for those of somebody else.
    """

    people: int
    devices: int
    kept_on_hold: int
    kept_owners: int


def _past(cutoff_ms: int) -> str:
    """SQL for the people without consent since before the cut-off, with the time up to which their records may go.

    A person on hold may have consented in the record that nobody can read. If their newest usable record lacks consent, or
    if there is none, the hold lasts as long as the retention, from the arrival of the newest unusable record. If it
    consents, they stay until somebody decides.
    """
    return f"""
WITH lacking AS ({people_without_consent()}),
held AS (SELECT person, epoch_ms(held_since) AS received_ms FROM ({consent_hold.TABLE.query}) AS h),
customers AS (SELECT DISTINCT person FROM customer_landing WHERE person IS NOT NULL),
named AS (
    SELECT DISTINCT unnest(string_split(people, chr(10))) AS person FROM rejects WHERE people IS NOT NULL
),
known AS (
    SELECT person, received_ms FROM lacking
    UNION ALL
    SELECT h.person, h.received_ms FROM held AS h
    LEFT JOIN lacking AS l ON l.person = h.person LEFT JOIN customers AS c ON c.person = h.person
    WHERE l.person IS NOT NULL OR c.person IS NULL
)
SELECT person, {cutoff_ms} AS until_ms FROM known GROUP BY person HAVING max(received_ms) < {cutoff_ms}
UNION ALL
-- Readings of addresses without a customer record count from their arrival, because the record may be late.
SELECT a.person,
    least({cutoff_ms}, coalesce(
        min(a."timeStamp") FILTER (WHERE epoch_ms(a.arrived_at) >= {cutoff_ms}) - 1, {cutoff_ms})) AS until_ms
FROM accelerometer_landing AS a
LEFT JOIN customers AS c ON c.person = a.person LEFT JOIN named AS n ON n.person = a.person
WHERE c.person IS NULL AND n.person IS NULL
GROUP BY a.person HAVING epoch_ms(min(a.arrived_at)) < {cutoff_ms}
"""


# Everybody who may be the owner of a device. Records without an address count as one more person, who is never past.
_CANDIDATES = """
SELECT DISTINCT device AS serial, coalesce(person, '') AS person FROM customer_landing WHERE device IS NOT NULL
UNION SELECT serialNumber, person FROM device_evidence WHERE person IS NOT NULL
UNION SELECT serialNumber, person FROM device_owner WHERE person IS NOT NULL
"""

# Devices of which some readings have no clear owner, and whether nobody but people past the retention may be the owner.
_UNCLEAR = """
SELECT c.serial, count(p.person) = count(*) AS is_theirs, min(p.until_ms) AS until_ms
FROM retention_candidates AS c LEFT JOIN retention_past AS p ON p.person = c.person
WHERE c.serial IN (SELECT serialNumber FROM device_owner WHERE person IS NULL AND reading_times > 0)
GROUP BY c.serial
"""

# People whose records keep others from becoming the owner: of readings that are newer than the cut-off, if somebody else
# claims the device, or of readings without a clear owner. A claim of their own is enough for the former.
_NEEDED = """
SELECT c.person, false AS is_claim_enough
FROM retention_candidates AS c JOIN retention_unclear AS u ON u.serial = c.serial
JOIN retention_past AS p ON p.person = c.person
WHERE NOT u.is_theirs
UNION ALL
SELECT o.person, bool_or(c.person = o.person) AS is_claim_enough
FROM device_owner AS o JOIN retention_past AS p ON p.person = o.person
JOIN (SELECT DISTINCT device AS serial, coalesce(person, '') AS person FROM customer_landing WHERE device IS NOT NULL) AS c
    ON c.serial = o.serialNumber
LEFT JOIN retention_past AS q ON q.person = c.person
WHERE o.last_reading_ms > p.until_ms
GROUP BY o.serialNumber, o.period, o.person
HAVING bool_or(q.person IS NULL)
"""

# The people whose records go, with the first times of what is left of them.
_PEOPLE = f"""
WITH needed AS (SELECT person, bool_and(is_claim_enough) AS is_claim_enough FROM retention_needed GROUP BY person),
records AS (
    SELECT person, min(changed_ms) AS first_ms FROM (
        SELECT person, {own_time(customer.FEED)} AS changed_ms FROM customer_landing WHERE person IS NOT NULL
        UNION ALL
        SELECT unnest(string_split(people, chr(10))) AS person, epoch_ms(arrived_at) AS changed_ms
        FROM rejects WHERE people IS NOT NULL
    ) AS r GROUP BY person
),
readings AS (SELECT person, min({own_time(accelerometer.FEED)}) AS first_ms FROM accelerometer_landing GROUP BY person)
SELECT p.person, p.until_ms, CASE WHEN n.person IS NULL THEN {literal(PERSON)} ELSE {literal(PHONE)} END AS kind,
    coalesce(a.first_ms <= p.until_ms, false)
        OR coalesce(n.person IS NULL AND r.first_ms <= p.until_ms, false) AS has_records
FROM retention_past AS p
LEFT JOIN needed AS n ON n.person = p.person
LEFT JOIN records AS r ON r.person = p.person
LEFT JOIN readings AS a ON a.person = p.person
WHERE n.person IS NULL OR n.is_claim_enough
"""

_DEVICES = f"""
WITH theirs AS (
    SELECT o.serialNumber, o.from_ms, o.to_ms, o.first_reading_ms, p.until_ms
    FROM device_owner AS o JOIN retention_people AS p ON p.person = o.person
    UNION ALL
    SELECT o.serialNumber, o.from_ms, o.to_ms, o.first_reading_ms, u.until_ms
    FROM device_owner AS o JOIN retention_unclear AS u ON u.serial = o.serialNumber
    WHERE o.person IS NULL AND u.is_theirs
)
SELECT serialNumber AS device, coalesce(from_ms, {_FIRST_MS}) AS from_ms,
    least(coalesce(to_ms, {_LAST_MS}), until_ms + 1) AS to_ms
FROM theirs
WHERE first_reading_ms <= until_ms
"""


def find_people(backend: Backend, catalog: Catalog, cutoff_ms: int) -> Counts:
    """Create the relations `PEOPLE` and `DEVICES` from the newest commits. The caller must call `drop` afterwards.

    Args:
        backend: runs the queries.
        catalog: the catalog.
        cutoff_ms: records up to this time may go (ms since the epoch, UTC).
    """
    names = ("customer_landing", "accelerometer_landing", "device_owner", "device_evidence")
    relations = {name: backend.scan(BY_NAME[name], catalog.files(name)) for name in names}
    rejects = backend.scan(quarantine.TABLE, reject_files(catalog, customer.FEED.table))
    return find_in(backend, relations | {"rejects": rejects}, cutoff_ms)


def find_in(backend: Backend, relations: Mapping[str, str], cutoff_ms: int) -> Counts:
    """Create the relations `PEOPLE` and `DEVICES`, as `find_people` does.

    Args:
        backend: runs the queries.
        relations: queries for `customer_landing`, `accelerometer_landing`, `rejects` (of customers), `device_owner` and
            `device_evidence`.
        cutoff_ms: records up to this time may go (ms since the epoch, UTC).
    """
    for relation, query in (
        ("retention_past", _past(cutoff_ms)),
        ("retention_candidates", _CANDIDATES),
        ("retention_unclear", _UNCLEAR),
        ("retention_needed", _NEEDED),
        (PEOPLE, _PEOPLE),
        (DEVICES, _DEVICES),
    ):
        backend.materialize(relation, with_relations(query, relations))
    counts = f"""
    SELECT (SELECT count(*) FROM {PEOPLE} WHERE has_records) AS people, (SELECT count(*) FROM {DEVICES}) AS devices,
        (SELECT count(*) FROM ({_kept_on_hold(cutoff_ms)}) AS h) AS kept_on_hold,
        (SELECT count(DISTINCT person) FROM retention_needed) AS kept_owners"""
    [row] = backend.select(with_relations(counts, relations))
    return Counts(**row)


def _kept_on_hold(cutoff_ms: int) -> str:
    return f"""
    SELECT h.person FROM ({consent_hold.TABLE.query}) AS h
    LEFT JOIN ({people_without_consent()}) AS w ON w.person = h.person
    WHERE epoch_ms(h.held_since) < {cutoff_ms} AND w.person IS NULL
        AND h.person IN (SELECT person FROM customer_landing WHERE person IS NOT NULL)"""


def new_marks() -> str:
    """SQL for the retention marks of `PEOPLE` and `DEVICES`. The backend has the parameters of the suppression list."""
    return f"""
    SELECT kind, {identity_digest("person", "person")} AS digest, {_FIRST_MS} AS from_ms, until_ms + 1 AS to_ms
    FROM {PEOPLE} WHERE has_records
    UNION ALL
    SELECT {literal(DEVICE)} AS kind, {identity_digest("device", "device")} AS digest, from_ms, to_ms FROM {DEVICES}"""


def drop(backend: Backend) -> None:
    """Drop all relations of this module. They contain addresses."""
    for relation in ("retention_past", "retention_candidates", "retention_unclear", "retention_needed", PEOPLE, DEVICES):
        backend.drop(relation)
