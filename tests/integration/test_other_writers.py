"""Athena, Spark or a notebook write to the tables too: deletes are honoured, and nobody's commit is overlooked."""

from collections.abc import Callable

import duckdb
import pyarrow as pa
import pytest

from stedi.catalog import Catalog, Commit, Snapshot
from stedi.errors import CommitConflictError
from stedi.model.table import Table
from stedi.tables.registry import BY_NAME
from tests.support.compare import as_another, commit_metadata, contents, found_wrong, opened, rule_counts
from tests.support.lake import T0, Lake, customer, distance, reading
from tests.support.other_writers import delete_as_athena_does


def furnish(lake: Lake) -> None:
    lake.land("customer/1.json", [customer(p, 10, shares=10, serial=s) for p, s in (("a@x", "s1"), ("b@x", "s2"))])
    lake.land("accelerometer/1.json", [reading(p, t) for p in ("a@x", "b@x") for t in range(100, 110)])
    lake.land("step_trainer/1.json", [distance("s1", t) for t in range(100, 110)])
    lake.run()


def delete_by_rewriting(lake: Lake, name: str, condition: str) -> None:
    """Delete rows as a notebook does, in new files without them."""
    if BY_NAME[name].day is None:
        with opened(lake, name) as table:
            table.delete(condition)
    else:
        as_another(lake, name, lambda rows: duckdb.execute(f"FROM rows WHERE NOT ({condition})").to_arrow_table())


def at_another_time(rows: pa.Table, time: int) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("timeStamp"), "timeStamp", pa.array([time] * len(rows)))


DELETERS: dict[str, Callable[[Lake, str, str], object]] = {"athena": delete_as_athena_does, "pyiceberg": delete_by_rewriting}
deleters = pytest.mark.parametrize("delete", DELETERS.values(), ids=DELETERS.keys())


def test_deletes_as_athena_makes_them_are_what_other_readers_take_them_for(lake: Lake) -> None:
    furnish(lake)
    assert delete_as_athena_does(lake, "accelerometer_landing", f"timeStamp = {T0 + 105}") == 2
    with opened(lake, "accelerometer_landing") as table:
        assert table.scan().to_arrow().num_rows == 18
        assert sum(task.file.record_count for task in table.scan().plan_files()) == 20


@deleters
def test_a_row_deleted_from_a_landing_table_leaves_everything_downstream_and_no_file_is_read_again(
    lake: Lake, delete: Callable[[Lake, str, str], object]
) -> None:
    furnish(lake)
    delete(lake, "accelerometer_landing", f"timeStamp = {T0 + 105}")
    report = lake.run()
    assert report.files["accelerometer"] == {"new": 0, "changed": 0}
    assert report.tables["accelerometer_landing"].rows == 18
    for name, rows in {"accelerometer_landing": 18, "accelerometer_trusted": 18, "machine_learning_curated": 9}.items():
        assert report.tables[name].rows == rows
        assert lake.rows(f"SELECT count(*), count(*) FILTER (timeStamp = {T0 + 105}) FROM {name}") == [(rows, 0)]
    assert lake.rows("SELECT coincidences FROM device_owner WHERE serialNumber = 's1'") == [(9,)]
    assert report.tables["accelerometer_trusted"].removed == 2
    again = lake.run()
    assert {t.status for t in again.tables.values()} == {"up to date"}
    lake.land("accelerometer/2.json", [reading("a@x", 200)])
    assert lake.run().tables["accelerometer_landing"].rows == 19
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(19,)]


@deleters
def test_a_run_restores_what_belongs_in_a_derived_table(lake: Lake, delete: Callable[[Lake, str, str], object]) -> None:
    furnish(lake)
    before = contents(lake)
    for name, condition in {
        "consent_history": "person = 'a@x'",
        "accelerometer_trusted": f"timeStamp > {T0 + 103}",
        "machine_learning_curated": f"timeStamp = {T0 + 105}",
    }.items():
        delete(lake, name, condition)
    report = lake.run()
    assert {name for name, t in report.tables.items() if t.reason == "another writer changed it"} >= {
        "consent_history",
        "accelerometer_trusted",
        "machine_learning_curated",
    }
    assert contents(lake) == before
    assert report.tables["accelerometer_trusted"].rows == 20
    assert report.tables["accelerometer_trusted"].added == 12
    assert found_wrong(lake) == []
    assert {t.status for t in lake.run().tables.values()} == {"up to date"}


def test_a_query_shows_the_newest_finished_run_until_the_next_has_seen_the_deletes(lake: Lake) -> None:
    furnish(lake)
    count = "SELECT count(*) FROM accelerometer_landing"
    delete_as_athena_does(lake, "accelerometer_landing", f"timeStamp = {T0 + 105}")
    assert lake.rows(count) == [(20,)]
    second = lake.run().run_id
    assert lake.rows(count) == [(18,)]
    assert lake.rows(count, as_of=second) == [(18,)]


@deleters
def test_a_changed_file_replaces_what_another_writer_left_of_it(
    lake: Lake, delete: Callable[[Lake, str, str], object]
) -> None:
    furnish(lake)
    lake.land("accelerometer/2.json", [reading("a@x", t) for t in range(200, 205)])
    lake.run()
    delete(lake, "accelerometer_landing", f"timeStamp = {T0 + 105} OR timeStamp = {T0 + 202}")
    lake.land("accelerometer/2.json", [reading("a@x", t) for t in range(200, 208)])
    report = lake.run()
    assert report.tables["accelerometer_landing"].rows == 18 + 8
    assert lake.rows(f"SELECT count(*), count(*) FILTER (timeStamp = {T0 + 105}) FROM accelerometer_landing") == [(26, 0)]
    assert lake.rows("SELECT count(*) FROM accelerometer_trusted") == [(26,)]


@deleters
def test_counts_of_broken_rows_follow_what_another_writer_took_away(
    lake: Lake, delete: Callable[[Lake, str, str], object]
) -> None:
    furnish(lake)
    lake.land("customer/2.json", [customer("c@x", 10, birthDay="0967-01-01"), customer(None, 10)])
    lake.run()
    assert rule_counts(lake)["customer_landing"]["has_email"] == 1
    delete(lake, "customer_landing", "birthDay = '0967-01-01'")
    lake.run()
    counted = rule_counts(lake)["customer_landing"]
    assert (counted["has_email"], counted["birthday_plausible"]) == (1, 0)
    assert commit_metadata(lake)["customer_landing"].rows == 3
    assert lake.rows(
        "SELECT checked_rows, broken_rows FROM rule_result WHERE table_name = 'customer_landing' "
        "AND rule = 'birthday_plausible' ORDER BY run_number"
    ) == [(2, 0), (4, 1), (3, 0)]


def test_all_rows_of_a_table_may_be_deleted(lake: Lake) -> None:
    furnish(lake)
    delete_as_athena_does(lake, "accelerometer_trusted", "timeStamp > 0")
    delete_as_athena_does(lake, "step_trainer_landing", "sensorReadingTime > 0")
    report = lake.run()
    assert report.tables["accelerometer_trusted"].rows == 20
    assert report.tables["step_trainer_landing"].rows == 0
    assert lake.rows("SELECT count(*) FROM machine_learning_curated") == [(0,)]


def test_rows_that_another_writer_put_in_a_landing_table_count_and_those_in_a_derived_table_go(lake: Lake) -> None:
    furnish(lake)
    before = contents(lake)
    for name in ("accelerometer_landing", "accelerometer_trusted"):
        as_another(lake, name, lambda rows: pa.concat_tables([rows, at_another_time(rows.slice(0, 1), T0 + 500)]))
    report = lake.run()
    assert report.tables["accelerometer_landing"].rows == 21
    assert lake.rows("SELECT count(*), max(timeStamp) FROM accelerometer_trusted") == [(21, T0 + 500)]
    assert contents(lake)["device_owner"] == before["device_owner"]


class Interference:
    """Stands between us and the catalog: somebody else commits first, so and so often."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, lake: Lake, table: str, change: Callable[[], object], times: int
    ) -> None:
        self.left = times
        real = Catalog.commit

        def commit(catalog: Catalog, target: Table, commit: Commit) -> Snapshot:
            if target.name == table and self.left:
                self.left -= 1
                change()
            return real(catalog, target, commit)

        monkeypatch.setattr(Catalog, "commit", commit)
        monkeypatch.setattr("stedi.pipeline.runner.time.sleep", lambda _: None)


def add_a_reading(lake: Lake, name: str) -> None:
    as_another(lake, name, lambda rows: pa.concat_tables([rows, at_another_time(rows.slice(0, 1), T0 + 900)]))


def test_a_commit_that_comes_between_is_seen_and_the_step_done_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 200)])
    between = Interference(
        monkeypatch,
        lake,
        "accelerometer_landing",
        lambda: delete_by_rewriting(lake, "accelerometer_landing", f"timeStamp = {T0 + 105}"),
        1,
    )
    report = lake.run()
    assert between.left == 0
    assert report.tables["accelerometer_landing"].rows == 19
    assert lake.rows(f"SELECT count(*), count(*) FILTER (timeStamp = {T0 + 105}) FROM accelerometer_trusted") == [(19, 0)]
    assert {t.status for t in lake.run().tables.values()} == {"up to date"}


def test_rows_put_into_a_derived_table_during_its_refresh_do_not_stay(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 200)])
    Interference(monkeypatch, lake, "accelerometer_trusted", lambda: add_a_reading(lake, "accelerometer_trusted"), 2)
    report = lake.run()
    assert report.tables["accelerometer_trusted"].rows == 21
    assert lake.rows(f"SELECT count(*), count(*) FILTER (timeStamp = {T0 + 900}) FROM accelerometer_trusted") == [(21, 0)]
    assert found_wrong(lake) == []


def test_a_writer_who_never_rests_ends_the_run_with_a_message_and_whole_tables(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(lake)
    before = contents(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 200)])
    with monkeypatch.context() as patch:
        Interference(patch, lake, "accelerometer_trusted", lambda: add_a_reading(lake, "accelerometer_trusted"), 99)
        with pytest.raises(CommitConflictError, match="accelerometer_trusted was changed by another writer"):
            lake.run()
    assert contents(lake) == before
    lake.run()
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(21,)]
    assert lake.rows("SELECT count(*), max(timeStamp) FROM accelerometer_trusted") == [(21, T0 + 200)]
    assert found_wrong(lake) == []
