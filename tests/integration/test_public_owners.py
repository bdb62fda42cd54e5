"""Whose the devices of the public landing set are, when claims are worthless, clocks disagree and readings are lost.

In the published set each customer's own serial number is the truth. Hundreds of people record at the same moment, with one
of 60 periods, so at an offset that is not known strangers match as well as owners: docs/device-owners.md.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from stedi.compute.duckdb.sql import bind_parameters
from stedi.tables.reference import device_evidence, device_owner
from tests.support.lake import PUBLIC_COUNTS, Lake

# SQL for the phones' readings, and for the devices' times (`t`), each with what is wrong with them.
ALL = "SELECT * FROM phones"
LOST = "SELECT * FROM phones WHERE hash(person, t) % 10 >= 3"
HALF_ABSENT = "SELECT * FROM phones WHERE hash(person) % 2 = 0"
# A third of the owners live with somebody whose phone has all of their readings but a few.
HOMES = (
    "SELECT * FROM phones UNION ALL SELECT 'partner of ' || person, t FROM phones "
    "WHERE hash(person) % 3 = 0 AND hash(person, t) % 15 > 0"
)
OFFSET = "((hash(device) % 4001)::BIGINT - 2000)"
JITTER = "((hash(device, t) % 11)::BIGINT - 5)"
CASES = {
    "as they are": (ALL, "t", 956),
    "30% of the phones' readings lost": (LOST, "t", 650),
    "half of the owners have no phone": (HALF_ABSENT, "t", 430),
    "two phones in a third of the homes": (HOMES, "t", 580),
    "an offset and jitter": (ALL, f"t + {OFFSET} + {JITTER}", 0),
    "an offset and jitter, half of the owners without a phone": (HALF_ABSENT, f"t + {OFFSET} + {JITTER}", 0),
    "an offset and jitter, 30% lost": (LOST, f"t + {OFFSET} + {JITTER}", 0),
    "jitter alone": (ALL, f"t + {JITTER}", 0),
    "whole seconds": (ALL, "t // 1000 * 1000", 0),
    "a drift of 50 parts in a million": (
        ALL,
        "t + ((t - 1655561935465) * ((hash(device) % 101)::BIGINT - 50) // 1000000)",
        0,
    ),
    "times at random": (ALL, "1655561935465 + (hash(device, t) % 2584171)::BIGINT", 0),
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    landing = Path(__file__).parents[3] / "shared/data/landing"
    if not landing.is_dir():
        pytest.skip("the public landing set is not here (../shared/data/landing)")
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1; SET VARIABLE owners_confidence = '0.999'")
        connection.execute(
            f"CREATE TABLE truth AS SELECT email AS person, serialNumber::VARCHAR AS device FROM '{landing}/customer/*.json'"
        )
        connection.execute(
            f"CREATE TABLE phones AS SELECT \"user\" AS person, timeStamp AS t FROM '{landing}/accelerometer/*.json'"
        )
        connection.execute(
            f"CREATE TABLE devices AS SELECT serialNumber::VARCHAR AS device, sensorReadingTime AS t "
            f"FROM '{landing}/step_trainer/*.json'"
        )
        connection.execute(
            "CREATE VIEW customer_landing AS SELECT 'reused-' || hash(person) % 30 AS device, person FROM truth"
        )
        yield connection


@pytest.mark.parametrize(("phones", "time", "resolved"), CASES.values(), ids=CASES)
def test_nobody_is_named_but_the_owner(connection: duckdb.DuckDBPyConnection, phones: str, time: str, resolved: int) -> None:
    connection.execute(f'CREATE OR REPLACE VIEW accelerometer_landing AS SELECT person, t AS "timeStamp" FROM ({phones})')
    connection.execute(
        f"CREATE OR REPLACE VIEW step_trainer_landing AS SELECT device, {time} AS sensorReadingTime FROM devices"
    )
    connection.execute(f"CREATE OR REPLACE TABLE device_evidence AS {bind_parameters(device_evidence.TABLE.query)}")
    [(right, named)] = connection.execute(
        "SELECT count(*) FILTER (t.person = o.person), count(o.person) "
        f"FROM ({bind_parameters(device_owner.TABLE.query)}) AS o LEFT JOIN truth AS t ON t.device = o.serialNumber"
    ).fetchall()
    assert named == right
    assert right >= resolved


def test_worthless_claims_change_no_table(public_landing_set: Path, lake: Lake) -> None:
    """Each of 30 serial numbers on the records of 32 customers."""
    for file in sorted(public_landing_set.glob("*/*")):
        lake.land(f"{file.parent.name}/{file.name}", file.read_bytes())
    [file] = public_landing_set.glob("customer/*")
    customers = [json.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
    lake.land(f"customer/{file.name}", [record | {"serialNumber": f"reused-{n % 30}"} for n, record in enumerate(customers)])
    report = lake.run()
    assert {name: report.tables[name].rows for name in PUBLIC_COUNTS["customer"]} == PUBLIC_COUNTS["customer"]
    assert lake.rows("SELECT status, count(*) FROM device_owner WHERE reading_times > 0 GROUP BY 1") == [("inferred", 956)]
