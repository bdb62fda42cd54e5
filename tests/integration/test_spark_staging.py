"""What Iceberg tells of files that Spark wrote holds, and lets readers leave out the files that they don't need."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.io.pyarrow import parquet_file_to_data_file

from stedi.catalog import Catalog
from stedi.catalog.data_file import as_data_file
from stedi.compute.spark import SparkBackend
from stedi.errors import WarehouseError
from stedi.model.data_files import DataFiles
from stedi.model.table import Table
from stedi.storage.paths import location
from stedi.tables.registry import BY_NAME
from tests.support.compare import opened
from tests.support.data_files import LATEST_DAY_MS, ODD_RECORDS, assert_same_description, rows
from tests.support.lake import T0, Lake, customer
from tests.support.spark import with_engine

pytestmark = pytest.mark.usefixtures("spark")


CUSTOMERS, READINGS = BY_NAME["customer_landing"], BY_NAME["accelerometer_trusted"]


@pytest.fixture
def engine(lake: Lake) -> Iterator[SparkBackend]:
    with SparkBackend(lake.open_warehouse(), scratch=lake.landing) as engine:
        yield engine


@pytest.mark.parametrize(
    ("table", "query", "days"),
    [
        (
            CUSTOMERS,
            ODD_RECORDS,
            None,
        ),
        (
            READINGS,
            " UNION ALL ".join(
                rows(
                    READINGS, user="'u'", person="'p'", timeStamp=str(LATEST_DAY_MS - day * 86_400_000 + 5), x=x, y="7", z=x
                )
                for day in range(3)
                for x in ("1.5", "-2e300", "0.1")
            ),
            3,
        ),
    ],
    ids=["texts, moments and empty columns", "numbers, a file a day"],
)
def test_files_are_described_as_by_reading_them(
    lake: Lake, engine: SparkBackend, table: Table, query: str, days: int | None
) -> None:
    with Catalog(lake.open_warehouse(), create=True) as catalog:
        written = engine.write(table, query, catalog.data_folder(table))
        metadata = catalog.table_metadata(table.name)
        assert metadata is not None
        iceberg = catalog.iceberg.table(table.name, metadata)
        for file in written:
            ours = as_data_file(file, iceberg.metadata)
            theirs = parquet_file_to_data_file(iceberg.io, iceberg.metadata, location(file.path))
            assert_same_description(ours, theirs)
            assert ours.lower_bounds == theirs.lower_bounds
            assert ours.upper_bounds == theirs.upper_bounds
    assert sum(file.rows for file in written) == query.count("SELECT")
    assert len({file.day_ms for file in written}) == (days or 1)


@pytest.fixture
def newest_only(lake: Lake) -> DataFiles:
    """The landing table of customers in two files that Spark wrote, of which the one with the earlier records is gone."""
    for updated in (10, 20):
        lake.land(f"customer/{updated}.json", [customer("a@x", updated)])
        with_engine(lake, "spark").run(select=["customer_landing"])
    with Catalog(lake.open_warehouse()) as catalog:
        files = catalog.files("customer_landing")
    with opened(lake, "customer_landing") as table:
        whole = [task.file.file_path for task in table.scan().plan_files()]
        [kept] = [task.file.file_path for task in table.scan(f"lastUpdateDate > {T0 + 15}").plan_files()]
    assert len(whole) == len(files.paths) == 2
    [gone] = set(whole) - {kept}
    Path(gone.removeprefix("file://")).unlink()
    return files


def test_spark_opens_no_file_in_which_no_row_can_be_wanted(engine: SparkBackend, newest_only: DataFiles) -> None:
    found = f"SELECT lastUpdateDate FROM ({engine.scan(CUSTOMERS, newest_only)}) AS found"
    assert engine.select(f"{found} WHERE lastUpdateDate > {T0 + 15}") == [{"lastUpdateDate": T0 + 20}]
    with pytest.raises(WarehouseError, match="Spark failed"):
        engine.select(found)


def test_spark_opens_only_the_files_that_it_is_asked_for(engine: SparkBackend, newest_only: DataFiles) -> None:
    parts = [newest_only.part([path]) for path in newest_only.paths]
    [there] = [part for part in parts if Path(*part.paths).exists()]
    [row] = engine.select(engine.scan(CUSTOMERS, there))
    assert row["lastUpdateDate"] == T0 + 20
