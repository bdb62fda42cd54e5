"""Spark reads a rewritten history, goes on with it, and its own deletes (position deletes, deletion vectors) are applied."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from stedi.compute.spark import SparkBackend
from stedi.compute.spark.session import CATALOG
from stedi.maintenance.orphan_files import orphan_files
from tests.support.histories import TABLE, Rows, TableHistory, files_with, table_history, without
from tests.support.lake import T0, Lake

pytestmark = pytest.mark.usefixtures("spark")
NAME = f"{CATALOG}.stedi.{TABLE.name}"


@pytest.fixture
def history(lake: Lake) -> Iterator[TableHistory]:
    with table_history(lake) as made:
        yield made


@pytest.fixture
def spark_sql(history: TableHistory) -> Iterator[Any]:
    with SparkBackend(history.lake.open_warehouse(), scratch=history.lake.landing) as engine:
        yield engine._session.sql


def rows_by_spark(spark_sql: Any, history: TableHistory) -> dict[int, Rows]:
    """The rows of each snapshot by time travel."""
    return {
        snapshot_id: Counter(
            (row["person"], row["timeStamp"] - T0)
            for row in spark_sql(f"SELECT person, timeStamp FROM {NAME} VERSION AS OF {snapshot_id}").collect()
        )
        for snapshot_id in history.expected
    }


def delete(spark_sql: Any, history: TableHistory, time: int) -> None:
    before = history.current
    spark_sql(f"DELETE FROM {NAME} WHERE timeStamp = {T0 + time}")
    history.by_another(type(before)({row: n for row, n in before.items() if row[1] != time}))


@pytest.mark.parametrize("version", [2, 3])
def test_spark_reads_and_continues_a_rewritten_history(spark_sql: Any, history: TableHistory, version: int) -> None:
    history.append(("ann@x", 1), ("bob@x", 2), ("ann@x", 7), ("ann@x", 8))
    history.append(("cleo@x", 3), ("bob@x", 3))
    history.compact()
    spark_sql(
        f"ALTER TABLE {NAME} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read', 'format-version' = '{version}')"
    )
    delete(spark_sql, history, 7)
    delete(spark_sql, history, 3)
    assert rows_by_spark(spark_sql, history) == history.expected
    before = {view: spark_sql(f"SELECT * FROM {NAME}.{view}").collect() for view in ("history", "snapshots", "refs")}
    assert [len(file.file.position_deletes) > 0 for file in history.files()][-1:] == [True]
    assert any(path.endswith(".puffin") for file in history.files() for path in file.file.position_deletes) == (version == 3)
    assert_row_ids(spark_sql, version)
    found = history.erase("bob@x")
    assert (found.expired, found.snapshots) == ({}, 5)
    assert found.delete_files_removed
    assert rows_by_spark(spark_sql, history) == history.expected
    assert files_with(history.lake.warehouse, "bob@x") == []
    assert orphan_files(history.catalog, TABLE.name) == []
    assert_row_ids(spark_sql, version)
    after = {view: spark_sql(f"SELECT * FROM {NAME}.{view}").collect() for view in before}
    assert after["history"] == before["history"]
    assert after["refs"] == before["refs"]
    kept = ("committed_at", "snapshot_id", "parent_id", "operation")
    assert [[row[name] for name in kept] for row in after["snapshots"]] == [
        [row[name] for name in kept] for row in before["snapshots"]
    ]
    # Tables of metadata that read every manifest.
    for view in ("all_data_files", "all_entries", "all_manifests", "partitions"):
        assert spark_sql(f"SELECT * FROM {NAME}.{view}").collect()
    delete(spark_sql, history, 8)
    spark_sql(f"CALL {CATALOG}.system.rewrite_manifests('{NAME}')")
    history.by_another(history.current)
    assert rows_by_spark(spark_sql, history) == history.expected
    history.erase("cleo@x")
    assert history.current == without(history.current, "cleo@x") == {("ann@x", 1): 1}
    assert rows_by_spark(spark_sql, history) == history.expected
    assert_row_ids(spark_sql, version)


def assert_row_ids(spark_sql: Any, version: int) -> None:
    """In format version 3 every row of the current snapshot has an ID of its own."""
    if version == 3:
        ids = [row[0] for row in spark_sql(f"SELECT _row_id FROM {NAME}").collect()]
        assert None not in ids
        assert len(ids) == len(set(ids)) > 0
