"""Either engine goes on where the other stopped, with maintenance and plans on Spark."""

from collections.abc import Callable

import pytest

from stedi.maintenance.maintain import maintain
from tests.support.compare import contents, found_wrong
from tests.support.lake import Lake, reading
from tests.support.spark import with_engine
from tests.support.spark_data import land_first, land_more

pytestmark = pytest.mark.usefixtures("spark")


def test_either_engine_goes_on_where_the_other_stopped(new_lake: Callable[..., Lake]) -> None:
    lake, twin = new_lake("both"), new_lake("twin")
    for engine, land in (("embedded", land_first), ("spark", land_more)):
        land(lake)
        land(twin)
        with_engine(lake, engine).run()
        twin.run()
    assert contents(lake) == contents(twin)
    lake.land("accelerometer/3.json", [reading("b@x", 1000)])
    report = with_engine(lake, "embedded").run()
    assert (report.tables["accelerometer_trusted"].added, report.tables["accelerometer_trusted"].removed) == (1, 0)
    assert found_wrong(lake) == []
    before = lake.rows("SELECT max(run_number) FROM rule_result")
    assert {table.status for table in with_engine(lake, "spark").run().tables.values()} == {"up to date"}
    assert lake.rows("SELECT max(run_number) FROM rule_result") == before


def test_upkeep_on_spark_merges_files_and_changes_no_row(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("kept-up")
    land_first(lake)
    lake.run()
    for number in range(2):
        lake.land(f"accelerometer/late-{number}.json", [reading("a@x", 500 + number)])
        lake.run()
    before = contents(lake)
    done = maintain(with_engine(lake, "spark").settings).tables["accelerometer_trusted"]
    assert (done.merged, done.files_before, done.files_after) == (3, 3, 1)
    assert contents(lake) == before
    assert found_wrong(lake) == []


def test_a_plan_on_spark_is_what_the_run_then_does_and_writes_nothing(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("planned")
    land_first(lake)
    lake.run()
    land_more(lake)
    before = contents(lake)
    planned = with_engine(lake, "spark").run(dry_run=True, select=["customer_trusted"])
    assert contents(lake) == before
    done = with_engine(lake, "embedded").run(select=["customer_trusted"])
    assert {name: (t.added, t.removed) for name, t in planned.tables.items()} == {
        name: (t.added, t.removed) for name, t in done.tables.items()
    }
