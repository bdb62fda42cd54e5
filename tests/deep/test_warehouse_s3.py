"""What a warehouse in S3 does over several runs; the rest is in tests/integration/test_warehouse_s3.py."""

import time

import pytest

from stedi.catalog.run_log import read_runs
from stedi.errors import WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.storage.own_files import own_uuid
from tests.support.compare import contents, found_wrong
from tests.support.killing import land_more, visible_rows
from tests.support.lake import reading
from tests.support.s3 import LakeInS3, Store, aws, server, store
from tests.support.s3_lakes import InFolder, empty, first_run, in_folder, keys, lake

__all__ = ["aws", "empty", "first_run", "in_folder", "lake", "server", "store"]


def test_several_steps_become_one_run_when_the_last_publishes(lake: LakeInS3, in_folder: InFolder) -> None:
    before = visible_rows(lake)
    land_more(lake)
    for tables in (["customer_trusted"], ["accelerometer_trusted", "device_owner"]):
        lake.run(select=tables, publish=False)
        assert visible_rows(lake) == before
    with pytest.raises(WarehouseError, match="a run did not finish"):
        found_wrong(lake)
    assert lake.run().tables["accelerometer_trusted"].status == "up to date"
    assert [run.settings.policy for run in read_runs(lake.open_warehouse())] == ["customer"] * 2
    assert contents(lake) == in_folder.contents[1]
    newest = "SELECT table_name, rule, broken_rows FROM rule_result WHERE run_number = 2 ORDER BY ALL"
    assert lake.rows(newest) == in_folder.lake.rows(newest)
    assert found_wrong(lake) == []


def test_maintenance_leaves_orphan_objects_for_a_day(lake: LakeInS3, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.settings = lake.settings.model_copy(update={"keep_runs": 1})
    lake.land("accelerometer/9.json", [reading("a@x", 900)])
    lake.run()
    folder = "lake/house/stedi/accelerometer_trusted/data"
    strays = {f"{folder}/{own_uuid()}.parquet", f"{folder}/another.parquet"}
    for key in strays:
        store.put(key, b"whatever")
    maintain(lake.settings)
    assert strays <= set(keys(store))
    before, real = len(keys(store)), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
    maintain(lake.settings)
    assert not strays & set(keys(store))
    # What the forgotten run alone named is gone as well.
    assert len(keys(store)) < before - len(strays)
    assert found_wrong(lake) == []
