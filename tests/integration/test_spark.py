"""Spark computes the same tables as the embedded engine, row for row, full and incremental, under both policies."""

import bz2
import gzip
from collections.abc import Callable

import pytest
import zstandard

from stedi.errors import WarehouseError
from stedi.ingest.suppression import DevicePeriod, ErasedPerson, open_suppression
from stedi.tables.curated.step_training_set import TABLE as TRAINING_SET
from stedi.tables.registry import REFRESHED
from tests.support.compare import contents, found_wrong
from tests.support.killing import violation_counts
from tests.support.lake import T0, Lake, customer, distance, reading
from tests.support.spark import with_engine
from tests.support.spark_data import land_first, land_more

pytestmark = pytest.mark.usefixtures("spark")
EVERY_TABLE = [table.name for table in REFRESHED]


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_tables_are_the_same_on_both_engines(new_lake: Callable[..., Lake], policy: str) -> None:
    ours, theirs = (with_engine(new_lake(engine, policy=policy), engine) for engine in ("embedded", "spark"))
    for land in (land_first, land_more):
        for lake in (ours, theirs):
            land(lake)
            lake.run()
            # Made when first selected; the next run keeps it.
            if land is land_first:
                lake.run(select=[TRAINING_SET.name])
        assert contents(theirs, EVERY_TABLE) == contents(ours, EVERY_TABLE)
        assert violation_counts(theirs) == violation_counts(ours)
        # On clocks that disagree, too.
        [[shifted]] = theirs.rows("SELECT count(*) FROM machine_learning_curated WHERE timeStamp <> sensorReadingTime")
        assert shifted
    assert found_wrong(theirs) == []


def test_odd_files_are_read_alike(new_lake: Callable[..., Lake]) -> None:
    lines = (
        b'{"user":"a@x","timeStamp":"1640995200005","x":1,"y":2.5e0,"z":-0.0}\r\n'
        b'{"USER":"b","timestamp":1640995200006,"X":"1","y":0,"z":1,"more":[1]}'
    )
    files = {
        "lines.json": lines,
        "array.json": b"\xef\xbb\xbf[" + lines.replace(b"\r\n", b",\n") + b",]",
        "packed.json.gz": gzip.compress(lines) + gzip.compress(b"\n" + lines[:20]),
        "back-to-back.json": lines.replace(b"\r\n", b""),
        "empty.json": b"",
        "packed.bz2": bz2.compress(lines),
        "damaged.zst": zstandard.ZstdCompressor(write_checksum=True).compress(lines)[:-1] + b"x",
        "no-ending": lines,
        "other.json": b"PK\x03\x04",
        "broken.json": b'{"user":"a"}\nnonsense\n{"user":true,"timeStamp":1640995200007,"x":1,"y":1,"z":"\xff"}\n' + lines,
    }
    taken = []
    for engine in ("embedded", "spark"):
        lake = with_engine(new_lake(engine), engine)
        for name, content in files.items():
            lake.land(f"accelerometer/{name}", content)
        assert lake.run(select=["quarantine"]).not_taken.first == {"content is zip": ["accelerometer/other.json"]}
        found = contents(lake)
        taken.append((found["accelerometer_landing"], found["quarantine"]))
    assert taken[0] == taken[1]
    assert all(taken[0])


def test_erased_people_are_stopped_alike(new_lake: Callable[..., Lake]) -> None:
    stored, stopped = [], []
    for engine in ("embedded", "spark"):
        lake = with_engine(new_lake(engine), engine)
        suppression = open_suppression(lake.settings)
        for number, (name, serial) in enumerate((("ann@x", "S1"), ("bob@x", "s2"))):
            person = ErasedPerson(name, (DevicePeriod(serial, T0 + 2, None),))
            suppression = suppression.add([person], erased_at_ms=T0 + 5, erasure_id=str(number))
        suppression.lift("bob@x", at_ms=T0 + 10)
        for name in ("ann@x", "bob@x", "cat@x"):
            lake.land(f"customer/{name}.json", [customer(name.upper(), at, registered=None) for at in (4, 5, 6)])
            lake.land(f"accelerometer/{name}.json", [reading(name, at) for at in (4, 5, 6)])
            lake.land(f"customer/{name}-bad.json", f'{{"email": "{name}", "phone": 1}}\n{{"email": "{name}, cat@x"'.encode())
        lake.land("step_trainer/1.json", [distance(serial, at) for serial in ("s1", "s2", "s3") for at in (1, 2, 4, 5)])
        stopped.append(lake.run(select=["quarantine"]).suppressed)
        stored.append(contents(lake, ["customer_landing", "accelerometer_landing", "step_trainer_landing", "quarantine"]))
    assert stored[0] == stored[1]
    assert stopped == [{"customer": 6, "accelerometer": 5, "step_trainer": 4}] * 2


def test_what_spark_can_not_do_is_said_in_a_line_that_holds_no_data(new_lake: Callable[..., Lake]) -> None:
    lake = new_lake("broken")
    land_first(lake)
    lake.run()
    for path in (lake.warehouse / "stedi/customer_landing/data").rglob("*.parquet"):
        path.unlink()
    lake.land("customer/3.json", [customer("a@x", 20)])
    with pytest.raises(WarehouseError) as caught:
        with_engine(lake, "spark").run(select=["customer_trusted"])
    assert str(caught.value).startswith("Spark failed: ")
    assert "\n" not in str(caught.value)
    assert "a@x" not in str(caught.value)
