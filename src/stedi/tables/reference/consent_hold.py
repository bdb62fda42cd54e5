"""Customers whose consent is on hold because one of their records is unusable."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.rules import Rule
from stedi.model.table import Column, Table

# A usable record ends the hold only if its file is newer. Of two records in one file, or in files of the same time, either
# may be the older one.
_QUERY = """
WITH named AS (
    -- One row for each customer named in a quarantined record.
    SELECT unnest(string_split(people, chr(10))) AS person, arrived_at, source_file, source_position, reason
    FROM rejects WHERE people IS NOT NULL
),
unusable AS (
    -- The newest of a customer's unusable records has age 1.
    SELECT *, count(*) OVER (PARTITION BY person) AS records,
        row_number() OVER (PARTITION BY person ORDER BY arrived_at DESC, source_file DESC, source_position DESC) AS age
    FROM named
),
newest_usable AS (
    SELECT person, max(arrived_at) AS arrived_at FROM customer_landing
    WHERE person IN (SELECT person FROM named)
    GROUP BY person
)
SELECT n.person, n.arrived_at AS held_since, n.records, n.source_file, n.source_position, n.reason
FROM unusable AS n LEFT JOIN newest_usable AS u ON u.person = n.person
WHERE n.age = 1 AND (u.arrived_at IS NULL OR u.arrived_at <= n.arrived_at)
"""

# The customers on hold, and since when: the arrival of the first unusable record (ms since the epoch, UTC) that is not older
# than every usable one. The table itself has the newest one, which a sender has to correct.
HELD_FROM = """
WITH named AS (SELECT unnest(string_split(people, chr(10))) AS person, arrived_at FROM rejects WHERE people IS NOT NULL),
newest_usable AS (
    SELECT person, max(arrived_at) AS arrived_at FROM customer_landing
    WHERE person IN (SELECT person FROM named)
    GROUP BY person
)
SELECT n.person, epoch_ms(min(n.arrived_at)) AS received_ms
FROM named AS n LEFT JOIN newest_usable AS u ON u.person = n.person
WHERE u.arrived_at IS NULL OR u.arrived_at <= n.arrived_at
GROUP BY n.person
"""

TABLE = Table(
    name="consent_hold",
    zone="reference",
    meaning="customers whose consent is on hold: a record of theirs is unusable, and no usable one is in a newer file",
    grain="one customer on hold",
    key=("person",),
    inputs=("customer_landing",),
    rejects_of=("customer_landing",),
    columns=(
        replace(PERSON, required=True),
        Column("held_since", "timestamptz", "arrival of the newest unusable record", required=True),
        Column("records", "long", "number of the customer's unusable records", required=True),
        Column("source_file", "string", "file of the newest unusable record, relative to the landing folder", required=True),
        Column("source_position", "long", "number of that record in its file, from 1", required=True),
        Column("reason", "string", "why that record is unusable", required=True),
    ),
    person="person",
    covers_everyone=True,
    query=_QUERY,
    rules=(
        Rule(
            "nobody_on_hold",
            "warn",
            "no customer is on hold; those who are have no downstream rows until a usable record arrives in a newer file",
            where="person IS NOT NULL",
        ),
    ),
    sort=("person",),
)
