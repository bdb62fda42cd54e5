"""`stedi verify` finds nothing wrong with sound tables, and every fault that is planted, by the question it belongs to."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stedi.compute.duckdb.sql import bind_parameters
from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.ingest import ledger
from stedi.ingest.ledger import LedgerEntry
from stedi.simulate import IDEAL
from stedi.simulate.landing_files import simulate
from stedi.tables.registry import BY_NAME, REFRESHED
from stedi.verify.verify import verify
from tests.support.compare import (
    DERIVED,
    REBUILT,
    Died,
    Kept,
    as_another,
    commit_metadata,
    commits,
    contents,
    found_wrong,
    opened,
    tree,
)
from tests.support.lake import KEY, T0, Lake, customer, distance, reading
from tests.support.program import stedi

NO_CONSENT = "rows of people who do not consent"
PAIRS = "pairs that are not two readings of one person"
RECORDED = "files whose row counts differ from the ledger"
OF_PEOPLE = tuple(table.name for table in REFRESHED if table.requires_consent and not table.on_demand)
# A value that the first row of each table does not have.
ALTERED: Mapping[str, tuple[str, object]] = {
    "quarantine": ("reason", "another"),
    "consent_hold": ("records", 7),
    "consent_history": ("consented_from_ms", 7),
    "customer_trusted": ("phone", "7"),
    "accelerometer_trusted": ("x", 9.5),
    "device_evidence": ("coincidences", 1),
    "device_owner": ("status", "unknown"),
    "customers_curated": ("device_count", 7),
    "step_trainer_trusted": ("distanceFromObject", 9.5),
    "machine_learning_curated": ("distanceFromObject", 9.5),
}


def furnish(lake: Lake) -> None:
    """Two customers who walk at overlapping times, one whose newest records disagree, broken records, a lost file."""
    lake.land(
        "customer/1.json",
        [
            customer("ann@x", 10, shares=10, serial="serial-a"),
            customer("bob@x", 10, shares=10, serial="serial-b"),
            customer("cat@x", 10, shares=10, serial="serial-c"),
            customer("cat@x", 10, serial="serial-c"),
        ],
    )
    for x, (name, times) in enumerate({"a": range(100, 110), "b": range(104, 114), "c": range(200, 206)}.items(), start=1):
        user = {"a": "ann@x", "b": "bob@x", "c": "cat@x"}[name]
        lake.land(f"accelerometer/{name}.json", [reading(user, t, x=x) for t in times])
        lake.land(f"step_trainer/{name}.json", [distance(f"serial-{name}", t, value=x) for t in times])
    lake.land("accelerometer/broken.json", b'{"user": "ann@x"}\n')
    lake.land("customer/zoe.json", b'{"email": "zoe@x"}\n')
    lost = lake.land("accelerometer/lost.json", [reading("ann@x", 300)])
    lake.run()
    lost.unlink()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("furnished")
    lake = Lake(folder)
    furnish(lake)
    return Kept(lake)


@pytest.fixture
def furnished(kept: Kept) -> Iterator[Lake]:
    yield kept.lake
    kept.put_back()


def wrong(lake: Lake) -> dict[tuple[str, str], int]:
    """How many rows are found wrong, by table and question."""
    return {(finding.table, finding.question): finding.wrong for finding in found_wrong(lake)}


def read_again(files: int) -> str:
    return f"records that differ between the tables and the {files} landing files that still exist"


def append(lake: Lake, name: str, rows: pa.Table) -> None:
    as_another(lake, name, lambda before: pa.concat_tables([before, rows.cast(before.schema)]))


def first_row_with(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        values = rows[column].to_pylist()
        assert values[0] != value
        return rows.set_column(rows.column_names.index(column), column, pa.array([value, *values[1:]], rows[column].type))

    return change


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_simulated_feeds_are_found_sound(tmp_path: Path, new_lake: Callable[..., Lake], policy: str) -> None:
    lake = new_lake("simulated", policy=policy)
    simulate(lake.landing, replace(IDEAL, customers=40, days=2, seed=5, readings=30_000))
    lake.land("customer/broken.json", b'{"email": "ann@x"}\n')
    lake.run()
    findings = verify(lake.settings)
    assert {finding.question: finding.wrong for finding in findings if finding.wrong} == {}
    asked = {(finding.table, finding.question) for finding in findings}
    assert {(name, REBUILT) for name in DERIVED} <= asked
    assert {(name, NO_CONSENT) for name in OF_PEOPLE} | {("machine_learning_curated", PAIRS)} <= asked
    assert min(finding.rows for finding in findings) > 0


def test_verify_changes_nothing_in_the_warehouse(furnished: Lake) -> None:
    before = tree(furnished.warehouse)
    assert wrong(furnished) == {}
    assert tree(furnished.warehouse) == before


def test_a_row_removed_from_each_table_is_found(furnished: Lake) -> None:
    for name in DERIVED:
        as_another(furnished, name, lambda rows: rows.slice(1))
    found = wrong(furnished)
    assert {name: found.pop((name, REBUILT)) for name in DERIVED} == dict.fromkeys(DERIVED, 1)
    # A quarantined record that is gone is missed in its file as well; a device without its owner has no pairs.
    quarantined = {("customer_landing", RECORDED): 1, ("customer_landing", read_again(2)): 1}
    assert found == quarantined | {("machine_learning_curated", PAIRS): 9}


def test_rows_added_to_each_table_are_found_and_counted(furnished: Lake) -> None:
    added = {name: 1 + number % 2 for number, name in enumerate(DERIVED)}
    for name, number in added.items():
        with opened(furnished, name) as table:
            row = table.scan().to_arrow().slice(0, 1)
        # Equal rows count as often as they stand.
        append(furnished, name, pa.concat_tables([row] * number))
    found = wrong(furnished)
    assert {name: found[name, REBUILT] for name in DERIVED} == added


def test_an_altered_row_in_each_table_is_found(furnished: Lake) -> None:
    for name, (column, value) in ALTERED.items():
        as_another(furnished, name, first_row_with(column, value))
    found = wrong(furnished)
    assert {name: found[name, REBUILT] for name in DERIVED} == dict.fromkeys(DERIVED, 2)


@pytest.mark.parametrize("name", DERIVED)
def test_a_commit_that_passes_for_ours_is_found_even_after_a_run_that_believes_it(furnished: Lake, name: str) -> None:
    as_another(furnished, name, first_row_with(*ALTERED[name]), keeps_mark=True)
    with pytest.raises(WarehouseError, match=f"did not finish \\({name} is newer\\)"):
        verify(furnished.settings)
    furnished.run()
    assert wrong(furnished)[name, REBUILT] == 2
    furnished.run(full_refresh=True)
    assert wrong(furnished) == {}


def test_a_run_repairs_what_another_writer_did_to_derived_tables(furnished: Lake) -> None:
    before = contents(furnished)
    for name, (column, value) in ALTERED.items():
        as_another(furnished, name, first_row_with(column, value))
    furnished.run()
    assert wrong(furnished) == {}
    assert contents(furnished) == before


def test_rows_of_a_person_who_withdrew_are_found_in_each_table(furnished: Lake) -> None:
    kept = {}
    for name in OF_PEOPLE:
        with opened(furnished, name) as table:
            kept[name] = table.scan().to_arrow()
    furnished.land("customer/2.json", [customer("bob@x", 20, serial="serial-b")])
    furnished.run()
    [(pseudonym,)] = furnished.rows("SELECT customer_pseudonym FROM customers_curated")
    for name, rows in kept.items():
        column, who = ("customer_pseudonym", pseudonym) if "customer_pseudonym" in rows.column_names else ("person", "ann@x")
        append(furnished, name, rows.filter(pc.not_equal(rows[column], who)))
    found = wrong(furnished)
    counts = {name: found[name, NO_CONSENT] for name in OF_PEOPLE}
    assert counts == dict(zip(OF_PEOPLE, (1, 10, 1, 10, 10), strict=True))
    assert {name: found[name, REBUILT] for name in OF_PEOPLE} == counts


def test_a_pair_of_two_people_is_found(furnished: Lake) -> None:
    with opened(furnished, "machine_learning_curated") as table:
        rows = table.scan().to_arrow().sort_by("timeStamp")
    # Bob's phone (x is 2) beside Ann's device, at a time of both.
    pair = next(row for row in rows.to_pylist() if row["timeStamp"] == T0 + 105 and row["x"] == 1) | {"x": 2.0}
    append(furnished, "machine_learning_curated", pa.Table.from_pylist([pair], rows.schema))
    assert wrong(furnished) == {("machine_learning_curated", REBUILT): 1, ("machine_learning_curated", PAIRS): 1}


@pytest.mark.parametrize(
    ("name", "rightly", "wrongly", "question", "count"),
    [
        (
            "machine_learning_curated",
            "a.customer_number = s.customer_number AND ",
            "",
            PAIRS,
            # Six times of both, each with two pairs that are none.
            12,
        ),
        ("customer_trusted", "c.age = 1 AND c.consents", "c.age = 1", NO_CONSENT, 1),
    ],
)
def test_a_query_that_breaks_a_promise_is_found_though_a_rebuild_repeats_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, name: str, rightly: str, wrongly: str, question: str, count: int
) -> None:
    query = BY_NAME[name].query
    assert rightly in query

    def bind_wrong_query(sql: str) -> str:
        return bind_parameters(sql.replace(query, query.replace(rightly, wrongly)))

    monkeypatch.setattr("stedi.compute.duckdb.backend.bind_parameters", bind_wrong_query)
    furnish(lake)
    found = wrong(lake)
    assert found[name, question] == count
    assert (name, REBUILT) not in found


def test_a_missing_landing_row_is_found_by_its_file_and_by_the_count_recorded(furnished: Lake) -> None:
    with opened(furnished, "accelerometer_landing") as table:
        table.delete("source_file = 'accelerometer/c.json' AND source_position = 2")
    assert wrong(furnished) == {
        ("accelerometer_landing", RECORDED): 1,
        ("accelerometer_landing", read_again(4)): 1,
        # The evidence for the third device is a reading less.
        ("device_evidence", REBUILT): 2,
        ("device_owner", REBUILT): 2,
    }


def test_a_missing_row_of_a_file_that_is_gone_is_found_by_the_count_recorded(furnished: Lake) -> None:
    with opened(furnished, "accelerometer_landing") as table:
        table.delete("source_file = 'accelerometer/lost.json'")
    found = wrong(furnished)
    assert found.pop(("accelerometer_landing", RECORDED)) == 1
    # A rebuild from what is left has the reading no more, so that phone records less often: two devices' evidence.
    assert found == {("accelerometer_trusted", REBUILT): 1, ("device_evidence", REBUILT): 4}


def test_an_altered_landing_row_is_found_by_its_file(furnished: Lake) -> None:
    as_another(furnished, "step_trainer_landing", first_row_with("distanceFromObject", 9.5))
    found = wrong(furnished)
    assert found["step_trainer_landing", read_again(3)] == 2
    assert ("step_trainer_landing", RECORDED) not in found


def test_a_missing_quarantined_row_is_found(furnished: Lake) -> None:
    with opened(furnished, "quarantine") as table:
        table.delete("source_file = 'accelerometer/broken.json'")
    assert wrong(furnished) == {
        ("accelerometer_landing", RECORDED): 1,
        ("accelerometer_landing", read_again(4)): 1,
        ("quarantine", REBUILT): 1,
    }


def change_ledger(lake: Lake, change: Callable[[dict[str, LedgerEntry]], None]) -> None:
    path = lake.warehouse / str(commit_metadata(lake)["accelerometer_landing"].ledger)
    entries = ledger.decode(path.read_bytes())
    change(entries)
    path.write_bytes(ledger.encode(entries.values()))


@pytest.mark.parametrize("field", ["landed", "quarantined"])
def test_a_record_of_a_file_that_says_another_number_is_found(furnished: Lake, field: str) -> None:
    def change(entries: dict[str, LedgerEntry]) -> None:
        entry = asdict(entries["accelerometer/a.json"])
        entries["accelerometer/a.json"] = LedgerEntry(**entry | {field: entry[field] + 1})

    change_ledger(furnished, change)
    assert wrong(furnished) == {("accelerometer_landing", RECORDED): 1}


@pytest.mark.parametrize("name", ["accelerometer/a.json", "accelerometer/broken.json", "accelerometer/lost.json"])
def test_rows_of_a_file_of_which_there_is_no_record_are_found(furnished: Lake, name: str) -> None:
    change_ledger(furnished, lambda entries: (entries.pop(name), None)[1])
    assert wrong(furnished) == {("accelerometer_landing", RECORDED): 1}


def test_a_file_that_changed_since_the_run_is_no_fault(lake: Lake) -> None:
    furnish(lake)
    lake.land("accelerometer/a.json", [reading("ann@x", 1)])
    lake.land("accelerometer/new.json", [reading("ann@x", 2)])
    findings = verify(lake.settings)
    assert [finding for finding in findings if finding.wrong] == []
    assert ("accelerometer_landing", read_again(3)) in {(finding.table, finding.question) for finding in findings}


def test_a_run_that_died_between_tables_is_said_and_another_run_makes_it_good(furnished: Lake) -> None:
    furnished.land("customer/2.json", [customer("bob@x", 20, serial="serial-b")])
    with commits(die_at=3, after=True), pytest.raises(Died):
        furnished.run()
    with pytest.raises(WarehouseError, match=r"a run did not finish .*; start `stedi run` again, then verify"):
        verify(furnished.settings)
    furnished.run()
    assert wrong(furnished) == {}


def test_a_run_that_died_before_its_first_commit_left_nothing_to_find(furnished: Lake) -> None:
    furnished.land("customer/2.json", [customer("bob@x", 20, serial="serial-b")])
    with commits(die_at=1), pytest.raises(Died):
        furnished.run()
    assert wrong(furnished) == {}


def test_what_cannot_be_verified_is_said(lake: Lake) -> None:
    with pytest.raises(WarehouseError, match=r"no warehouse at .*; create one with `stedi run`"):
        verify(lake.settings)
    assert not lake.warehouse.exists()
    with commits(die_at=1), pytest.raises(Died):
        lake.run()
    with pytest.raises(WarehouseError, match=r"no run has finished in .*; start one with `stedi run`"):
        verify(lake.settings)
    with lake.open_warehouse().write_lock(), pytest.raises(WarehouseBusyError, match="another run is working"):
        verify(lake.settings)


def test_the_command_prints_the_figures_exits_1_on_a_difference_and_names_nobody(
    furnished: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    folder = furnished.landing.parent
    sound = stedi(folder, "--json", "verify")
    assert sound.returncode == 0
    assert {finding["wrong"] for finding in json.loads(sound.stdout)["findings"]} == {0}
    as_another(furnished, "accelerometer_trusted", lambda rows: rows.slice(1))
    done = [stedi(folder, "verify"), stedi(folder, "--json", "verify")]
    for each in done:
        assert each.returncode == 1
        assert "1 of 25 checks failed, first accelerometer_trusted with 1 differences" in each.stderr
        assert not [name for name in ("ann", "bob", "cat@", "serial-") if name in each.stdout + each.stderr]
    [broken] = [finding for finding in json.loads(done[1].stdout)["findings"] if not finding["holds"]]
    assert broken == {"table": "accelerometer_trusted", "question": REBUILT, "rows": 20, "wrong": 1, "holds": False}


def test_tables_that_no_run_was_asked_for_are_not_missed_and_a_lost_one_is(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("ann@x", 10, shares=10)])
    lake.run(select=["consent_history"])
    found = verify(lake.settings)
    assert all(finding.holds for finding in found)
    not_made = {finding.table for finding in found if finding.question.startswith("not created")}
    assert {"customer_trusted", "machine_learning_curated", "accelerometer_landing"} <= not_made
    assert not not_made & {"customer_landing", "consent_history"}
    lake.run()
    with opened(lake, "consent_history") as table:
        table.catalog.drop_table(table.name())
    assert "consent_history" in {finding.table for finding in found_wrong(lake)}
