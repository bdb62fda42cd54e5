"""Invariants of the tables, as independent SQL.

They share no code with the queries that compute the tables, so that they find mistakes of those queries. Consent is
defined here a second time.
"""

from dataclasses import dataclass

from stedi.model.identity import customer_pseudonym, device_pseudonym
from stedi.model.sql import quoted
from stedi.model.table import Table
from stedi.tables.registry import REFRESHED


@dataclass(frozen=True)
class Invariant:
    """A condition that a table must fulfil.

    Attributes:
        table: name of the table.
        violation: what a violation is, as text for people.
        query: SQL query whose rows are the violations.
    """

    table: str
    violation: str
    query: str


_RECORDS = """
    SELECT person, shareWithResearchAsOfDate IS NOT NULL AS consents, shareWithResearchAsOfDate AS shared_ms, arrived_at,
        coalesce(lastUpdateDate, registrationDate) AS valid_from_ms
    FROM customer_landing WHERE person IS NOT NULL"""
# A person is on hold if no usable record arrived after the last unusable one.
_ON_HOLD = f"""
    SELECT unusable.person FROM (
        SELECT unnest(string_split(people, chr(10))) AS person, arrived_at FROM quarantine WHERE people IS NOT NULL
    ) AS unusable
    WHERE NOT EXISTS (
        SELECT 1 FROM ({_RECORDS}) AS later
        WHERE later.person = unusable.person AND later.arrived_at > unusable.arrived_at)"""
# Consent is in force if all of a person's newest records consent and the person is not on hold.
_CONSENTING = f"""
    SELECT r.person FROM ({_RECORDS}) AS r
    JOIN (SELECT person, max(valid_from_ms) AS newest_ms FROM ({_RECORDS}) AS records GROUP BY person) AS n
      ON n.person = r.person AND n.newest_ms = r.valid_from_ms
    WHERE r.person NOT IN ({_ON_HOLD})
    GROUP BY r.person HAVING bool_and(r.consents)"""
# For each time from which a person does not consent (a withdrawal, or the beginning of time): the person's next change.
_NEXT_CHANGES = f"""
    SELECT person, at_ms, next.consents AS consents, next.shared_ms AS shared_ms FROM (
        SELECT person, at_ms, consents,
            lead({{consents: consents, shared_ms: shared_ms}}) OVER (PARTITION BY person ORDER BY at_ms) AS next
        FROM (
            SELECT person, valid_from_ms AS at_ms, bool_and(consents) AS consents, max(shared_ms) AS shared_ms
            FROM ({_RECORDS}) AS records GROUP BY person, valid_from_ms
            UNION ALL
            SELECT DISTINCT person, -9223372036854775807, false, NULL FROM ({_RECORDS}) AS records
        ) AS changes
    ) AS changes_in_order
    WHERE NOT consents"""
_CONSENTING_PSEUDONYMS = f"SELECT {customer_pseudonym('person')} FROM ({_CONSENTING}) AS consenting"
# Pairs whose readings were both received, from a device that belonged to the person at the time of its reading.
_EXPLAINED_PAIRS = f"""
    SELECT m.* FROM machine_learning_curated AS m
    JOIN (
        SELECT *, {customer_pseudonym("person")} AS customer_pseudonym,
            {device_pseudonym("serialNumber")} AS device_pseudonym
        FROM device_owner WHERE person IS NOT NULL
    ) AS o ON o.customer_pseudonym = m.customer_pseudonym AND o.device_pseudonym = m.device_pseudonym
        AND m.sensorReadingTime >= coalesce(o.from_ms, m.sensorReadingTime)
        AND m.sensorReadingTime < coalesce(o.to_ms, m.sensorReadingTime + 1)
    JOIN step_trainer_landing AS s ON s.device = o.serialNumber AND s.sensorReadingTime = m.sensorReadingTime
        AND s.distanceFromObject = m.distanceFromObject
    JOIN accelerometer_landing AS a ON a.person = o.person AND a.timeStamp = m.timeStamp
        AND a.x = m.x AND a.y = m.y AND a.z = m.z"""


def _rows_without_consent(table: Table) -> str:
    """SQL for the rows whose person is unknown or does not consent."""
    consenting = _CONSENTING_PSEUDONYMS if table.person_is_pseudonym else _CONSENTING
    return f"SELECT 1 FROM {quoted(table.name)} WHERE {table.person} IS NULL OR {table.person} NOT IN ({consenting})"


def readings_outside_consent(table: str, time: str) -> str:
    """SQL for the readings of a table that the policy `reading` excludes; no rows under another policy.

    A reading is allowed if the change that follows the person's last withdrawal before the reading gives consent, with a
    consent date at or before the reading.

    Args:
        table: name of the table.
        time: column with the time of a reading (ms since the epoch).
    """
    return f"""
    SELECT r.* FROM {quoted(table)} AS r
    ASOF LEFT JOIN ({_NEXT_CHANGES}) AS n ON n.person = r.person AND n.at_ms <= r.{quoted(time)}
    WHERE $consent_policy = 'reading'
        AND NOT coalesce(n.consents AND n.shared_ms <= r.{quoted(time)}, false)"""


INVARIANTS = (
    # Every table with rows about people whose consent it requires.
    *(
        Invariant(table.name, "rows of people who do not consent", _rows_without_consent(table))
        for table in REFRESHED
        if table.requires_consent
    ),
    *(
        Invariant(table, "readings outside consent, under the policy `reading`", readings_outside_consent(table, time))
        for table, time in (("accelerometer_trusted", "timeStamp"), ("step_trainer_trusted", "sensorReadingTime"))
    ),
    Invariant(
        "consent_hold",
        "people named in an unusable record and not on hold",
        f"SELECT person FROM ({_ON_HOLD}) AS held EXCEPT SELECT person FROM consent_hold",
    ),
    Invariant(
        "machine_learning_curated",
        "pairs that are not two readings of one person",
        f"SELECT * FROM machine_learning_curated EXCEPT SELECT * FROM ({_EXPLAINED_PAIRS}) AS explained",
    ),
)
