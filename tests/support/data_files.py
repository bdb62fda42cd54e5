"""Rows with unusual values, and a comparison of two descriptions of one Parquet file."""

from pyiceberg.manifest import DataFile

from stedi.model.table import Table
from stedi.storage.paths import plain_path
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import BY_NAME

CUSTOMER = next(feed.table for feed in FEEDS if feed.name == "customer")
READINGS = BY_NAME["accelerometer_trusted"]
LATEST_DAY_MS = 20_000 * 86_400_000


def rows(table: Table, **values: str) -> str:
    """Return a query for one row of a table. Other columns are null."""
    return "SELECT " + ", ".join(f'{values.get(c.name, "NULL")} AS "{c.name}"' for c in table.columns)


ODD_RECORDS = " UNION ALL ".join(
    rows(
        CUSTOMER,
        customerName=text,
        registrationDate=str(number - 2),
        source_position=str(2**62 + number),
        arrived_at=f"TIMESTAMPTZ '2026-01-01 10:00:00.{number}00001+00'",
    )
    for number, text in enumerate(
        ("'b'", "'a very long name of somebody'", "'ü' || chr(10) || '''\"'", "''", "repeat('z', 40)")
    )
)


def assert_same_description(ours: DataFile, theirs: DataFile) -> None:
    """Assert that STEDI and PyIceberg describe a Parquet file alike: path, rows, size, partition, counts."""
    assert plain_path(ours.file_path) == plain_path(theirs.file_path)
    assert (ours.record_count, ours.file_size_in_bytes) == (theirs.record_count, theirs.file_size_in_bytes)
    assert ours.partition == theirs.partition
    assert ours.value_counts == theirs.value_counts
    assert ours.null_value_counts == theirs.null_value_counts
    assert ours.column_sizes.keys() == theirs.column_sizes.keys()
