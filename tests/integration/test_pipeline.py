"""Whole runs: twice, late data, changed files, withdrawn consent, failing rules, two at once."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas
import polars
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from stedi.catalog.layout import LAYOUT_VERSION
from stedi.cli.run_report import run_sections
from stedi.errors import LandingError, WarehouseBusyError, WarehouseError
from stedi.model.rules import Rule
from stedi.model.table import Table
from stedi.pipeline import run
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.verify.verify import verify
from tests.support.compare import contents, narrowed, tree
from tests.support.lake import PUBLIC_COUNTS, T0, Lake, customer, distance, put, reading, small


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_counts_of_the_public_landing_set(public_landing_set: Path, new_lake: Callable[..., Lake], policy: str) -> None:
    lake = new_lake("public", policy=policy)
    shutil.copytree(public_landing_set, lake.landing, dirs_exist_ok=True)
    report = lake.run()
    counted = {name: report.tables[name].rows for name in PUBLIC_COUNTS[policy]}
    assert counted == PUBLIC_COUNTS[policy]
    assert {name: lake.rows(f"SELECT count(*) FROM {name}")[0][0] for name in counted} == PUBLIC_COUNTS[policy]
    assert lake.rows("SELECT count(*), count(person) FROM device_owner") == [(956, 956)]
    if policy == "customer":
        # What docs/from-the-course.md and the README say of the usual join and the usual filter.
        assert lake.rows(
            "SELECT count(*), count(*) FILTER (a.person <> s.person) FROM step_trainer_trusted AS s "
            "JOIN accelerometer_trusted AS a ON a.timeStamp = s.sensorReadingTime"
        ) == [(43_681, 2_700)]
        assert report.outside_consent["accelerometer_trusted"] == 8_956


def test_a_second_run_with_nothing_new_commits_nothing(lake: Lake) -> None:
    small(lake)
    first, second = lake.run(), lake.run()
    assert {t.status for t in second.tables.values()} == {"up to date"}
    assert second.run_id == first.run_id
    assert [t.snapshot_id for t in second.tables.values()] == [t.snapshot_id for t in first.tables.values()]


def test_withdrawn_consent_empties_everything_downstream(small_lake: Lake) -> None:
    before = contents(small_lake)
    small_lake.land("customer/2.json", [customer("a@x", 20, serial="s1")])
    report = small_lake.run()
    for table in ("customer_trusted", "accelerometer_trusted", "customers_curated", "step_trainer_trusted"):
        assert small_lake.rows(f"SELECT count(*) FROM {table} WHERE person = 'a@x'") == [(0,)], table
    assert small_lake.rows("SELECT count(*) FROM machine_learning_curated") == [(0,)]
    assert (report.tables["accelerometer_trusted"].added, report.tables["accelerometer_trusted"].removed) == (0, 10)
    small_lake.land("customer/3.json", [customer("a@x", 30, shares=30, serial="s1")])
    small_lake.run()
    assert contents(small_lake)["machine_learning_curated"] == before["machine_learning_curated"]


def test_both_zeros_are_one_value_whichever_comes_first(lake: Lake) -> None:
    small(lake)
    lake.land(
        "accelerometer/2.json", [reading("a@x", t, x=x) for t, zeros in ((1, (-0.0, 0.0)), (2, (0.0, -0.0))) for x in zeros]
    )
    lake.land("step_trainer/2.json", [distance("s1", 1, -0.0)])
    lake.run()
    assert lake.rows(f"SELECT timeStamp, x::VARCHAR FROM accelerometer_trusted WHERE timeStamp < {T0 + 3} ORDER BY ALL") == [
        (T0 + 1, "0.0"),
        (T0 + 2, "0.0"),
    ]
    assert lake.rows(f"SELECT distanceFromObject::VARCHAR FROM step_trainer_trusted WHERE sensorReadingTime = {T0 + 1}") == [
        ("0.0",)
    ]


def test_a_changed_file_replaces_its_rows_and_a_vanished_file_keeps_them(lake: Lake) -> None:
    small(lake)
    lake.land("accelerometer/2.json", b'{"user": "a@x"}\n')
    lake.run()
    lake.land("accelerometer/2.json", [reading("a@x", 500)])
    (lake.landing / "accelerometer/1.json").unlink()
    report = lake.run()
    assert report.quarantined["accelerometer"] == 0
    assert lake.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert lake.rows("SELECT count(*), max(timeStamp) FROM accelerometer_landing") == [(21, T0 + 500)]


def test_small_steps_give_what_one_full_run_gives(tmp_path: Path, new_lake: Callable[..., Lake]) -> None:
    simulate(tmp_path / "feeds", replace(IDEAL, customers=40, days=2, seed=3, readings=30_000))
    put(tmp_path / "feeds/customer/broken.json", b'{"email": "ann@x"}\n')
    files = sorted(p for p in (tmp_path / "feeds").glob("*/**/*") if p.is_file() and "ground_truth" not in str(p))
    small_steps, at_once = new_lake("steps"), new_lake("once")
    random.Random(0).shuffle(files)
    for number, file in enumerate(files):
        for lake in (small_steps, at_once):
            target = lake.landing / file.relative_to(tmp_path / "feeds")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        if number % 6 == 5:
            small_steps.run()
    small_steps.run()
    at_once.run()
    found = contents(small_steps)
    assert found == contents(at_once)
    assert all(found[name] for name in found)


def test_a_changed_policy_refreshes_what_depends_on_it(lake: Lake, tmp_path: Path) -> None:
    small(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 5)])
    lake.run()
    strict = Lake(tmp_path, policy="reading")
    assert strict.run().tables["accelerometer_trusted"].removed == 1


def test_earlier_runs_can_be_read(lake: Lake) -> None:
    small(lake)
    first = lake.run().run_id
    lake.land("customer/2.json", [customer("a@x", 20)])
    lake.run()
    count = "SELECT count(*) FROM customer_trusted"
    assert (lake.rows(count, as_of=first), lake.rows(count)) == ([(2,)], [(1,)])


def test_an_error_level_rule_publishes_nothing_for_the_table_and_what_depends_on_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(lake)
    lake.run()
    before = contents(lake)
    query = "SELECT person, count(*) AS n FROM {rows} GROUP BY person"
    never = Rule("never_true", "error", "a promise that no row keeps", violations=query, by=("person",))
    monkeypatch.setattr(Table, "checks", property(lambda table: (never,) if table.name == "accelerometer_trusted" else ()))
    lake.land("customer/2.json", [customer("b@x", 20)])
    lake.land("accelerometer/2.json", [reading("a@x", 999)])
    report = lake.run()
    assert [r.rule for r in report.failed] == ["never_true"]
    assert report.tables["accelerometer_trusted"].status == "failed"
    assert report.tables["machine_learning_curated"].status == "skipped"
    after = contents(lake)
    assert after["accelerometer_trusted"] == before["accelerometer_trusted"]
    assert after["customer_trusted"] != before["customer_trusted"]


def test_a_dry_run_writes_nothing(lake: Lake) -> None:
    small(lake)
    plan = lake.run(dry_run=True)
    assert {t.status for t in plan.tables.values()} == {"would refresh"}
    assert not lake.warehouse.exists()
    lake.run()
    assert {t.status for t in lake.run(dry_run=True).tables.values()} == {"up to date"}


def test_selecting_a_table_runs_what_it_is_built_from(lake: Lake) -> None:
    small(lake)
    assert set(lake.run(select=["consent_history"]).tables) == {"customer_landing", "consent_history"}


def test_a_second_run_at_the_same_time_leaves_with_a_message(lake: Lake) -> None:
    small(lake)
    with lake.open_warehouse().write_lock(), pytest.raises(WarehouseBusyError, match="another run is working"):
        lake.run()


def test_a_missing_landing_folder_is_said(lake: Lake) -> None:
    missing = lake.settings.model_copy(update={"landing": "/no/such/folder"})
    with pytest.raises(LandingError, match="/no/such/folder does not exist"):
        run(missing)
    assert not lake.warehouse.exists()


def test_a_warehouse_of_a_newer_version_is_refused(small_lake: Lake) -> None:
    database = small_lake.warehouse / "catalog.db"
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{database}")
    catalog.update_namespace_properties("stedi", updates={"layout_version": "99"})
    with pytest.raises(WarehouseError, match="newer than this program"):
        small_lake.run()


def test_a_warehouse_of_an_earlier_version_is_refused_with_what_to_do_and_left_alone(small_lake: Lake) -> None:
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{small_lake.warehouse / 'catalog.db'}")
    catalog.update_namespace_properties("stedi", updates={"layout_version": str(LAYOUT_VERSION - 1)})
    before = tree(small_lake.warehouse)
    for work in (small_lake.run, lambda: small_lake.rows("SELECT 1")):
        with pytest.raises(
            WarehouseError,
            match=f"older than this program's {LAYOUT_VERSION}; build another from the landing files with --w",
        ):
            work()
    assert tree(small_lake.warehouse) == before


def test_tables_of_an_earlier_version_are_refused_where_a_deployment_marked_them_as_new(small_lake: Lake) -> None:
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{small_lake.warehouse / 'catalog.db'}")
    with catalog.load_table("stedi.customer_landing").update_schema() as update:
        update.delete_column("person")
    before = tree(small_lake.warehouse)
    for work in (small_lake.run, lambda: verify(small_lake.settings), lambda: small_lake.rows("FROM customer_landing")):
        with pytest.raises(WarehouseError, match=r"table customer_landing of .* has no column person: an earlier version"):
            work()
    assert tree(small_lake.warehouse) == before


def test_other_readers_open_the_tables_without_this_package(small_lake: Lake) -> None:
    catalog = SqlCatalog("stedi", uri=f"sqlite:///{small_lake.warehouse / 'catalog.db'}")
    table = catalog.load_table("stedi.accelerometer_trusted")
    assert table.format_version == 2
    assert table.schema().find_field("timeStamp").doc
    scanned = table.scan().to_arrow()
    assert scanned.num_rows == 20
    frame: pandas.DataFrame = table.scan().to_pandas()
    assert sorted(frame["timeStamp"].unique()) == [T0 + at for at in range(100, 110)]
    lazy = polars.scan_iceberg(table.metadata_location)
    assert lazy.select(polars.len()).collect().item() == 20
    one_day = table.scan(row_filter=f"timeStamp >= {T0 + 86_400_000}").plan_files()
    assert list(one_day) == []


def test_a_replay_reads_files_with_quarantined_records_again_after_a_repaired_rule(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 500), reading("a@x", 10**15)])
    assert lake.run().quarantined["accelerometer"] == 1
    monkeypatch.setattr("stedi.ingest.records.last_time_ms", lambda arrived_ns: 10**16)
    assert lake.run().quarantined["accelerometer"] == 1
    report = lake.run(replay=["accelerometer"])
    assert report.quarantined["accelerometer"] == 0
    assert report.files["accelerometer"] == {"new": 0, "changed": 1}
    assert lake.rows("SELECT max(timeStamp) FROM accelerometer_landing") == [(T0 + 10**15,)]


def test_a_new_file_costs_what_it_changes(lake: Lake) -> None:
    small(lake)
    lake.land("accelerometer/2.json", [reading("a@x", 5), reading("a@x", 3_600_000)])
    lake.land("step_trainer/2.json", [distance("s1", 3_600_000)])
    lake.run()
    lake.land("accelerometer/3.json", [reading("a@x", 104, x=9.0), reading("a@x", 7)])
    with narrowed() as computed:
        report = lake.run()
    # The moment 104 has two readings now, and 7 one; no other moment is looked at. Pairs are looked for in the hour.
    assert computed["accelerometer_trusted"] == 3
    assert computed["machine_learning_curated"] == report.tables["machine_learning_curated"].rows - 1 == 11
    assert report.tables["accelerometer_trusted"].added == 2
    assert report.tables["accelerometer_trusted"].removed == 0
    counted = {r.rule: (r.checked, r.failed) for r in report.rules if r.table == "accelerometer_trusted"}
    # 5 and 7 lie before consent, which began at 10.
    assert counted["taken_after_consent"] == (24, 2)
    assert counted["one_reading_a_moment"] == (24, 2)


def test_a_run_of_some_tables_says_which_others_it_leaves_behind(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("ann@x", 10, shares=10)])
    lake.land("accelerometer/1.json", [reading("ann@x", 20)])
    assert lake.run(select=["customer_trusted"]).left_behind == []
    assert lake.run().left_behind == []
    lake.land("customer/2.json", [customer("ann@x", 30)])
    behind = ["consent_history", "device_owner", "accelerometer_trusted", "customers_curated", "step_trainer_trusted"]
    for dry_run in (True, False):
        report = lake.run(select=["customer_trusted"], dry_run=dry_run)
        assert report.left_behind == [*behind, "machine_learning_curated"]
        assert any(section.title.startswith("stale tables") for section in run_sections(report))
    assert lake.rows("SELECT count(*) FROM accelerometer_trusted") == [(1,)]
    assert lake.run().left_behind == []
    assert lake.rows("SELECT count(*) FROM accelerometer_trusted") == [(0,)]
