"""Consenting customers who have accelerometer readings, with their device as resolved."""

from stedi.model.identity import customer_pseudonym
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.trusted import customer

_CUSTOMER = ", ".join(f"c.{name}" for name in customer.TABLE.column_names)

TABLE = Table(
    name="customers_curated",
    zone="curated",
    meaning="customers in customer_trusted with at least one row in accelerometer_trusted, and their device as resolved",
    grain="one customer",
    key=("person",),
    inputs=("customer_trusted", "accelerometer_trusted", "device_owner"),
    columns=(
        *customer.TABLE.columns,
        Column(
            "device_serial_number",
            "string",
            "the device resolved as this customer's; the one with most readings, of several",
            personal=True,
        ),
        Column("device_count", "long", "how many devices were resolved as this customer's", required=True),
        Column(
            "customer_pseudonym",
            "string",
            "keyed pseudonym under which machine_learning_curated knows this customer",
            personal=True,
            required=True,
        ),
    ),
    person="person",
    query=f"""
WITH active AS (SELECT DISTINCT person FROM accelerometer_trusted),
owned AS (
    SELECT person, serialNumber,
        row_number() OVER (
            PARTITION BY person ORDER BY sum(reading_times) DESC, sum(coincidences) DESC, serialNumber
        ) AS place,
        count(*) OVER (PARTITION BY person) AS device_count
    FROM device_owner WHERE person IS NOT NULL GROUP BY person, serialNumber
)
SELECT {_CUSTOMER},
    o.serialNumber AS device_serial_number,
    coalesce(o.device_count, 0) AS device_count,
    {customer_pseudonym("c.person")} AS customer_pseudonym
FROM customer_trusted AS c
JOIN active AS a ON a.person = c.person
LEFT JOIN owned AS o ON o.person = c.person AND o.place = 1
""",
    rules=(
        unique("one_row_a_customer", "a customer appears once", "person"),
        unique("one_pseudonym_a_customer", "no two customers share a pseudonym", "customer_pseudonym"),
        Rule(
            "has_device",
            "warn",
            "a customer whose device is not clear contributes no step-trainer readings",
            where="device_count = 0",
        ),
    ),
    sort=("person",),
    parameters=("pseudonym_inner", "pseudonym_outer"),
    incremental=IncrementalSpec(
        "person",
        {
            "customer_trusted": KeyedInput("person"),
            "accelerometer_trusted": KeyedInput("person", columns=("person",), lookup_column="person"),
            "device_owner": KeyedInput("person", columns=("person", "serialNumber", "reading_times", "coincidences")),
        },
    ),
)
