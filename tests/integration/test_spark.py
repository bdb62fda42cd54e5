"""Spark computes the same tables, row for row, and either engine goes on where the other stopped."""

import gzip
from collections.abc import Callable

import duckdb
import pytest
from pyspark.sql import SparkSession

from stedi.engines.spark.dialect import translated
from stedi.errors import WarehouseError
from stedi.identity import person
from stedi.maintain import maintain
from tests.support.compare import contents, found_wrong
from tests.support.killing import found_by_rules
from tests.support.lake import Lake, customer, distance, reading
from tests.support.spark import on, require_java, session

require_java()
__all__ = ["session"]


def land_first(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10, serial="s1"), customer("b@x", 10, serial="s1")])
    lake.land("customer/2.json", [customer(" C@x\t", 10, shares=10, serial="s3")])
    lake.land("accelerometer/1.json", [reading(user, 100 + 10 * t, x=t / 7) for user in ("a@x", "c@x") for t in range(8)])
    lake.land("step_trainer/1.json", [distance(s, 100 + 10 * t) for s in ("s1", "s3") for t in range(8)])
    lake.land("accelerometer/odd name [1] %20 é.json", [{"user": "a@x"}, reading("B@X", 900)])


def land_more(lake: Lake) -> None:
    """One withdraws, one consents late, a file changes, and a reading comes twice."""
    lake.land("customer/3.json", [customer("a@x", 20, serial="s1"), customer("b@x", 20, shares=15, serial="s1")])
    lake.land("accelerometer/2.json", [reading("b@x", 100 + 10 * t) for t in range(5)])
    lake.land("accelerometer/odd name [1] %20 é.json", [reading("c@x", 905), reading("c@x", 905)])


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_tables_are_the_same_on_both_engines(new_lake: Callable[..., Lake], policy: str) -> None:
    ours, theirs = (on(new_lake(engine, policy=policy), engine) for engine in ("embedded", "spark"))
    for land in (land_first, land_more):
        for lake in (ours, theirs):
            land(lake)
            lake.run()
        assert contents(theirs) == contents(ours)
        assert found_by_rules(theirs) == found_by_rules(ours)
    assert found_wrong(theirs) == []


def test_either_engine_goes_on_where_the_other_stopped(new_lake: Callable[..., Lake]) -> None:
    lake, twin = new_lake("both"), new_lake("twin")
    for engine, land in (("embedded", land_first), ("spark", land_more)):
        land(lake)
        land(twin)
        on(lake, engine).run()
        twin.run()
    assert contents(lake) == contents(twin)
    lake.land("accelerometer/3.json", [reading("b@x", 1000)])
    report = on(lake, "embedded").run()
    assert (report.tables["accelerometer_trusted"].added, report.tables["accelerometer_trusted"].removed) == (1, 0)
    assert found_wrong(lake) == []
    before = lake.rows("SELECT max(run_number) FROM rule_result")
    assert {table.status for table in on(lake, "spark").run().tables.values()} == {"up to date"}
    assert lake.rows("SELECT max(run_number) FROM rule_result") == before


def test_upkeep_on_spark_merges_files_and_changes_no_row(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("kept-up")
    land_first(lake)
    lake.run()
    for number in range(2):
        lake.land(f"accelerometer/late-{number}.json", [reading("a@x", 500 + number)])
        lake.run()
    before = contents(lake)
    done = maintain(on(lake, "spark").settings).tables["accelerometer_trusted"]
    assert (done.merged, done.files_before, done.files_after) == (3, 3, 1)
    assert contents(lake) == before
    assert found_wrong(lake) == []


def test_a_plan_on_spark_is_what_the_run_then_does_and_writes_nothing(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("planned")
    land_first(lake)
    lake.run()
    land_more(lake)
    before = contents(lake)
    planned = on(lake, "spark").run(dry_run=True, select=["customer_trusted"])
    assert contents(lake) == before
    done = on(lake, "embedded").run(select=["customer_trusted"])
    assert {name: (t.added, t.removed) for name, t in planned.tables.items()} == {
        name: (t.added, t.removed) for name, t in done.tables.items()
    }


def test_odd_files_are_read_alike(new_lake: Callable[..., Lake]) -> None:
    lines = (
        b'{"user":"a@x","timeStamp":"5","x":1,"y":2.5e0,"z":-0.0}\r\n'
        b'{"USER":"b","timestamp":6,"X":"1","y":0,"z":1,"more":[1]}'
    )
    files = {
        "lines.json": lines,
        "array.json": b"\xef\xbb\xbf[" + lines.replace(b"\r\n", b",\n") + b",]",
        "packed.json.gz": gzip.compress(lines) + gzip.compress(b"\n" + lines[:20]),
        "back-to-back.json": lines.replace(b"\r\n", b""),
        "empty.json": b"",
        "broken.json": b'{"user":"a"}\nnonsense\n{"user":true,"timeStamp":7,"x":1,"y":1,"z":"\xff"}\n' + lines,
    }
    taken = []
    for engine in ("embedded", "spark"):
        lake = on(new_lake(engine), engine)
        for name, content in files.items():
            lake.land(f"accelerometer/{name}", content)
        lake.run(select=["quarantine"])
        found = contents(lake)
        taken.append((found["accelerometer_landing"], found["quarantine"]))
    assert taken[0] == taken[1]
    assert all(taken[0])


def test_what_spark_can_not_do_is_said_in_a_line_that_holds_no_data(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("broken")
    land_first(lake)
    lake.run()
    for path in (lake.warehouse / "stedi/customer_landing/data").rglob("*.parquet"):
        path.unlink()
    lake.land("customer/3.json", [customer("a@x", 20)])
    with pytest.raises(WarehouseError) as caught:
        on(lake, "spark").run(select=["customer_trusted"])
    assert str(caught.value).startswith("Spark failed: ")
    assert "\n" not in str(caught.value)
    assert "a@x" not in str(caught.value)


def test_persons_are_the_same_whatever_letters_they_write_themselves_with(session: SparkSession) -> None:
    addresses = ["A@X ", "\tb@x\r\n", "\u3000c@x\u00a0", "İ@X", "ΣΑΣ@X", "ς@X", "ß@x", "Straße@x", "Ǆ@x", "\ua7cb@x", " "]
    sql = f"SELECT a, {person('a')} AS p FROM addresses"
    session.createDataFrame([(a,) for a in addresses], ["a"]).createOrReplaceTempView("addresses")
    ours = duckdb.execute(f"{sql.replace('addresses', '(SELECT unnest($1) AS a)')}", [addresses]).fetchall()
    assert sorted(tuple(row) for row in session.sql(translated(sql)).collect()) == sorted(ours)
