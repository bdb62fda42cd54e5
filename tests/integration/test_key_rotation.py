"""The pseudonym key is rotated: everybody has new pseudonyms everywhere, nothing else changes, and the old key is gone."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stedi.catalog import Catalog
from stedi.catalog.history_rewrite import rewrite_history
from stedi.catalog.run_log import read_runs
from stedi.errors import RuleError, UsageError, WarehouseBusyError, WarehouseError
from stedi.model.table import Table
from stedi.pipeline import pseudonym_key
from stedi.pipeline.checks import RuleResult, check
from stedi.privacy.erasure.erase import plan as plan_erasure
from stedi.privacy.privacy_log import log_question, read_log
from stedi.privacy.rotation.pseudonyms import pseudonymous_tables
from stedi.privacy.rotation.rotate import plan, rotate
from stedi.steps.registry.published_models import ModelPeople, describe_models
from stedi.storage import WarehouseFolder
from stedi.storage.disk import overwrite_and_delete
from stedi.tables.registry import ALL
from tests.support.byte_search import files_containing
from tests.support.compare import Died, contents, found_wrong, opened
from tests.support.killing import ChosenSteps
from tests.support.lake import KEY, Lake, customer
from tests.support.program import stedi
from tests.support.training_set import SET, land_two_walks

NEW_SECRET = "another secret for tests, long enough"
_PSEUDONYMS = """SELECT customer_pseudonym FROM customers_curated
    UNION SELECT device_pseudonym FROM machine_learning_curated"""
# All rows, with the person in place of the pseudonym. Devices are counted: nobody can name them without the key.
_JOINED = """SELECT person, m.* EXCLUDE (customer_pseudonym, device_pseudonym), count(DISTINCT device_pseudonym) OVER ()
    FROM machine_learning_curated AS m JOIN customers_curated USING (customer_pseudonym) ORDER BY ALL"""
_TRAINING = f"""SELECT person, t.* EXCLUDE (customer_pseudonym)
    FROM {SET} AS t JOIN customers_curated USING (customer_pseudonym) ORDER BY ALL"""


def storing_its_key(lake: Lake) -> Lake:
    """Let a warehouse store its key, as it does unless one is configured."""
    lake.warehouse.mkdir(exist_ok=True)
    path = lake.warehouse / "pseudonym.key"
    path.write_text(KEY)
    path.chmod(0o600)
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    return lake


def pseudonyms(lake: Lake) -> set[str]:
    """Pseudonyms of all customers and devices."""
    return {str(row[0]) for row in lake.rows(_PSEUDONYMS)}


def write_model(folder: Path, people: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    (folder / "detector.onnx").write_bytes(b"weights")
    (folder / "card.json").write_text(json.dumps({"policy": "customer", "trained_at": "2026-01-01T00:00:00+00:00"}))
    ModelPeople(people).write(folder)


def test_everybody_has_a_new_pseudonym_and_nothing_else_changes(lake: Lake) -> None:
    storing_its_key(lake)
    land_two_walks(lake)
    # An unusable record: the example of a violation names the person.
    lake.land("customer/2.json", [customer("bad@x", 10, shares=10) | {"lastUpdateDate": "no time"}])
    lake.run()
    lake.run(select=[SET])
    known, unknown = lake.rows("SELECT customer_pseudonym FROM customers_curated ORDER BY ALL"), "f" * 64
    people = tuple(row[0] for row in known)
    models = lake.warehouse / "models"
    write_model(models / "one", people)
    write_model(models / "two", (*people, unknown))
    for asked in (people[0], unknown, unknown):
        log_question(lake.open_warehouse(), "person", asked)
    lake.land("customer/3.json", [customer("cid@x", 20, serial="s3")])
    lake.run()
    old, joined, trained = pseudonyms(lake), lake.rows(_JOINED), lake.rows(_TRAINING)
    others = contents(lake, ("customer_landing", "accelerometer_trusted", "device_owner", "consent_hold"))
    examples = lake.rows("SELECT string_agg(examples) FROM rule_result")[0][0]
    assert len(joined) > 0
    assert len(trained) > 0
    assert len(old) > len(people)

    planned = plan(lake.settings)
    done = rotate(lake.settings)

    assert (planned.tables, planned.runs, planned.models) == (done.tables, done.runs, done.models)
    assert [(model.name, model.unknown) for model in done.models] == [("one", 0), ("two", 1)]
    assert done.found == ()
    assert done.doubts == ()
    assert pseudonyms(lake).isdisjoint(old)
    assert (lake.rows(_JOINED), lake.rows(_TRAINING)) == (joined, trained)
    assert contents(lake, list(others)) == others
    shortened = {pseudonym[:12] for pseudonym in (*old, unknown, *re.findall("[0-9a-f]{12}", examples))}
    assert len(shortened) > len(old) + 1
    assert files_containing(shortened, lake.landing.parent) == []
    # Nobody can derive the key from a file's digest in the certificate.
    assert files_containing([KEY, pseudonym_key(lake.settings).hex()], lake.landing.parent) == []
    assert [(model["model"], model["stale"]) for model in describe_models(lake.settings)] == [("two", True), ("one", False)]
    first, second, third = (entry.pseudonym for entry in read_log(lake.open_warehouse()).values())
    assert first in pseudonyms(lake)
    assert second == third
    assert len(read_runs(lake.open_warehouse())) == 1
    assert (lake.warehouse / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert not any((lake.warehouse / name).exists() for name in ("key_rotation.json", "pseudonym.key.rotation"))
    assert found_wrong(lake) == []
    assert not any(table.added or table.removed for table in lake.run().tables.values())

    folder = lake.landing.parent
    certificate = json.loads(next(Path(lake.settings.privacy_folder, "certificates").glob("*.json")).read_bytes())
    assert certificate["certificate"]["keys"]["destroyed"] == [done.old_key_id]
    assert certificate["certificate"]["scan"]["identifiers"]["pseudonym"] >= len(old)
    arguments = ("--warehouse", str(lake.warehouse), "--landing", str(lake.landing))
    for command in (("person", "ann@x"), ("privacy",), ("keys", "show"), ("keys", "rotate", "--plan")):
        result = stedi(folder, *command, *arguments)
        assert (result.returncode, result.stderr) == (0, ""), command
        assert (lake.warehouse / "pseudonym.key").read_text() not in result.stdout
    erasure = plan_erasure(lake.settings, ["ann@x"])
    assert [model.name for model in erasure.models] == ["one", "two"]
    assert {table.name for table in pseudonymous_tables()} < {table.table for table in erasure.tables}
    assert erasure.log_entries == 2


@contextmanager
def dying(at: int) -> Iterator[list[str]]:
    """Count the writes of a rotation, and raise `Died` before write number `at` (from 1)."""
    steps: list[str] = []

    def before(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            steps.append(name)
            if len(steps) == at:
                raise Died
            return function(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "commit", before("commit", Catalog.commit))
        for name in ("_write", "delete"):
            patch.setattr(WarehouseFolder, name, before(name, getattr(WarehouseFolder, name)))
        patch.setattr(ModelPeople, "write", before("people", ModelPeople.write))
        patch.setattr("stedi.privacy.rotation.history.rewrite_history", before("manifests", rewrite_history))
        patch.setattr("stedi.privacy.rotation.journal.overwrite_and_delete", before("destroy", overwrite_and_delete))
        yield steps


def test_a_killed_rotation_is_completed_by_the_next(small_lake: Lake, steps: ChosenSteps) -> None:
    lake = storing_its_key(small_lake)
    people = lake.rows("SELECT customer_pseudonym FROM customers_curated")
    write_model(lake.warehouse / "models" / "one", tuple(row[0] for row in people))
    rotate(lake.settings)
    # The first one has more steps: it removes the runs and snapshots before it.
    with dying(at=0) as all_steps:
        rotate(lake.settings)
    joined = lake.rows(_JOINED)
    for number in steps.among(range(1, len(all_steps) + 1), 3):
        old, key = pseudonyms(lake), pseudonym_key(lake.settings)
        with dying(at=number), pytest.raises(Died):
            rotate(lake.settings)
        seen = pseudonyms(lake)
        assert seen == old or seen.isdisjoint(old), number
        assert lake.rows(_JOINED) == joined, number
        state = json.loads((lake.warehouse / "pseudonym_key.json").read_text())
        if state["rotation_id"] is not None:
            assert plan(lake.settings).is_unfinished
            with pytest.raises(WarehouseError, match="complete it with `stedi keys rotate`"):
                lake.run()
        assert rotate(lake.settings).found == ()
        assert pseudonym_key(lake.settings) != key
        assert pseudonyms(lake).isdisjoint(old)
        assert files_containing([pseudonym[:12] for pseudonym in old], lake.landing.parent) == []
        assert files_containing([key.hex()], lake.landing.parent) == []
        assert lake.rows(_JOINED) == joined
        assert [model["stale"] for model in describe_models(lake.settings)] == [False]
    assert found_wrong(lake) == []


def test_a_configured_key_is_replaced_by_the_given_one(small_lake: Lake) -> None:
    lake, old = small_lake, pseudonyms(small_lake)
    # From before the key was configured.
    (lake.warehouse / "pseudonym.key").write_text(KEY)
    for secret, message in ((None, "--new-key-file"), ("short", "32 characters"), (KEY + " " * 32, "32 characters")):
        with pytest.raises(UsageError, match=message):
            rotate(lake.settings, secret and secret.strip())
    with dying(at=8), pytest.raises(Died):
        rotate(lake.settings, NEW_SECRET)
    with pytest.raises(WarehouseError, match="not the keys of the unfinished rotation"):
        rotate(lake.settings, NEW_SECRET[::-1])
    done = rotate(lake.settings, NEW_SECRET)
    assert pseudonyms(lake).isdisjoint(old)
    assert files_containing([KEY, NEW_SECRET], lake.landing.parent) == []
    with pytest.raises(WarehouseError, match="set STEDI_PSEUDONYM_KEY to the new secret"):
        lake.run()
    lake.settings = lake.settings.model_validate({**lake.settings.model_dump(), "pseudonym_key": NEW_SECRET})
    lake.run()
    assert found_wrong(lake) == []
    [page] = Path(lake.settings.privacy_folder, "certificates").glob("*.html")
    assert f"the old secret of key {done.old_key_id} where it is configured" in page.read_text()


def test_a_table_that_breaks_a_rule_stops_the_rotation(small_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = storing_its_key(small_lake)
    old, key = pseudonyms(lake), pseudonym_key(lake.settings)

    def failing(backend: Any, table: Table, *more: Any) -> tuple[RuleResult, ...]:
        results = check(backend, table, *more)
        if table.name != "machine_learning_curated":
            return results
        return (*results, replace(results[0], level="error", failed=1))

    with monkeypatch.context() as patch:
        patch.setattr("stedi.pipeline.refresh.check", failing)
        with pytest.raises(RuleError):
            rotate(lake.settings)
    assert pseudonyms(lake) == old
    lake.run()
    assert (pseudonyms(lake), pseudonym_key(lake.settings)) == (old, key)
    assert found_wrong(lake) == []


def test_what_stands_in_the_way_is_said_before_anything_changes(small_lake: Lake) -> None:
    lake = storing_its_key(small_lake)
    with lake.open_warehouse().write_lock(), pytest.raises(WarehouseBusyError):
        rotate(lake.settings)
    with pytest.raises(UsageError, match="leave out --new-key-file"):
        rotate(lake.settings, NEW_SECRET)
    with opened(lake, "customers_curated") as table:
        current = table.current_snapshot()
        assert current
        table.manage_snapshots().create_tag(current.snapshot_id, "audit").commit()
    with pytest.raises(WarehouseError, match="customers_curated has 1 branches or tags"):
        rotate(lake.settings)
    assert not (lake.warehouse / "key_rotation.json").exists()
    lake.run()


def test_tables_with_a_pseudonym_are_found_from_their_declarations() -> None:
    with_column = {table.name for table in ALL if any(name.endswith("_pseudonym") for name in table.column_names)}
    assert {table.name for table in pseudonymous_tables()} == with_column


def test_an_overwritten_file_has_no_content_in_its_other_links(tmp_path: Path) -> None:
    key, link = tmp_path / "key", tmp_path / "link"
    key.write_text("secret")
    os.link(key, link)
    overwrite_and_delete(key)
    overwrite_and_delete(key)
    assert not key.exists()
    assert link.read_bytes() == bytes(6)
