"""Consenting customers with accelerometer readings, and their device."""

from stedi.model.identity import customer_pseudonym
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.rules import Rule, unique
from stedi.model.table import Column, Table
from stedi.tables.trusted import customer

_CUSTOMER_COLUMNS = ", ".join(f"c.{name}" for name in customer.TABLE.column_names)

_QUERY = f"""
WITH people_with_readings AS (SELECT DISTINCT person FROM accelerometer_trusted),
-- A customer's devices, the one with most readings first.
owned_devices AS (
    SELECT person, serialNumber,
        row_number() OVER (
            PARTITION BY person ORDER BY sum(reading_times) DESC, sum(coincidences) DESC, serialNumber
        ) AS device_rank,
        count(*) OVER (PARTITION BY person) AS device_count
    FROM device_owner WHERE person IS NOT NULL GROUP BY person, serialNumber
)
SELECT {_CUSTOMER_COLUMNS},
    d.serialNumber AS device_serial_number,
    coalesce(d.device_count, 0) AS device_count,
    {customer_pseudonym("c.person")} AS customer_pseudonym
FROM customer_trusted AS c
JOIN people_with_readings AS p ON p.person = c.person
LEFT JOIN owned_devices AS d ON d.person = c.person AND d.device_rank = 1
"""

TABLE = Table(
    name="customers_curated",
    zone="curated",
    meaning="customers in customer_trusted who have accelerometer readings in accelerometer_trusted, with their device",
    grain="one customer",
    key=("person",),
    inputs=("customer_trusted", "accelerometer_trusted", "device_owner"),
    columns=(
        *customer.TABLE.columns,
        Column(
            "device_serial_number",
            "string",
            "serial number of the customer's device, resolved by device_owner; of several, the one with most readings",
            personal=True,
        ),
        Column("device_count", "long", "number of devices that the customer owns", required=True),
        Column(
            "customer_pseudonym",
            "string",
            "keyed pseudonym of the customer, as in machine_learning_curated",
            personal=True,
            required=True,
        ),
    ),
    person="person",
    query=_QUERY,
    rules=(
        unique("one_row_a_customer", "customers are unique", "person"),
        unique("one_pseudonym_a_customer", "pseudonyms are unique", "customer_pseudonym"),
        Rule(
            "has_device",
            "warn",
            "every customer has a device; those without one have no step-trainer readings",
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
