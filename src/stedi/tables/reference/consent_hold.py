"""Customers whose consent is on hold because a record of theirs can't be used."""

from dataclasses import replace

from stedi.model.identity import PERSON
from stedi.model.rules import Rule
from stedi.model.table import Column, Table

# The newest unusable record of a customer decides. A usable record ends the hold only if its file is newer: of two
# records in one file, or in files of the same moment, the usable one may be the older.
_QUERY = """
WITH named AS (
    SELECT unnest(string_split(people, chr(10))) AS person, arrived_at, source_file, source_position, reason
    FROM rejects WHERE people IS NOT NULL
),
unusable AS (
    SELECT *, count(*) OVER (PARTITION BY person) AS records,
        row_number() OVER (PARTITION BY person ORDER BY arrived_at DESC, source_file DESC, source_position DESC) AS age
    FROM named
),
usable AS (
    SELECT person, max(arrived_at) AS arrived_at FROM customer_landing
    WHERE person IN (SELECT person FROM named)
    GROUP BY person
)
SELECT n.person, n.arrived_at AS held_since, n.records, n.source_file, n.source_position, n.reason
FROM unusable AS n LEFT JOIN usable AS u ON u.person = n.person
WHERE n.age = 1 AND (u.arrived_at IS NULL OR u.arrived_at <= n.arrived_at)
"""

TABLE = Table(
    name="consent_hold",
    zone="reference",
    meaning="customers whose consent is on hold, because a record of theirs can't be used",
    grain="one customer on hold",
    key=("person",),
    inputs=("customer_landing",),
    rejects_of=("customer_landing",),
    columns=(
        replace(PERSON, required=True),
        Column("held_since", "timestamptz", "when the newest record that can't be used arrived", required=True),
        Column("records", "long", "how many records of this customer can't be used", required=True),
        Column("source_file", "string", "file of the newest of them, relative to the landing folder", required=True),
        Column("source_position", "long", "number of that record in its file, from 1", required=True),
        Column("reason", "string", "why that record can't be used", required=True),
    ),
    person="person",
    covers_everyone=True,
    query=_QUERY,
    rules=(
        Rule(
            "nobody_on_hold",
            "warn",
            "a customer on hold has no row downstream until a usable record of theirs arrives in a later file",
            where="person IS NOT NULL",
        ),
    ),
    sort=("person",),
)
