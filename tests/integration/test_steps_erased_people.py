"""Erasure from the models folder: nothing about an erased person stays but the weights, and the model is out of use."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stedi.config import Settings
from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.steps.registry.erased_people import ModelChange, erase_people, plan_erasure
from stedi.steps.registry.published_models import (
    MODEL_FILES,
    describe_models,
    draft_folder,
    find_usable_model,
    publish,
    read_models,
)
from stedi.steps.registry.replacement import model_to_replace, replaces
from tests.support.lake import Lake
from tests.support.program import stedi

ANN, BOB, CID, DEE = (name * 16 for name in ("aaa1", "bbb2", "ccc3", "ddd4"))
PICTURES = ("stretch.png", "people.png", "calibration.png")
CARD = {
    "trained_at": "2026-01-01T00:00:00+00:00",
    "policy": "customer",
    "people": 3,
    "seed": 5,
    "scores": {"f1_100": 0.9, "count_mape": 1.0},
    "by_person": [{"f1_100": 0.91}, {"f1_100": 0.92}, {"f1_100": 0.93}],
    "by_position": {"hand": {"people": 1}},
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"warehouse": str(tmp_path / "none"), "models": tmp_path / "models"})


@pytest.fixture
def models(settings: Settings) -> Path:
    """A models folder with a model of Ann, Bob and Cid, and one of Cid and Dee."""
    assert settings.models is not None
    for name, people in (("one", (ANN, BOB, CID)), ("two", (CID, DEE))):
        write_model(settings.models / name, people)
    return settings.models


def write_model(folder: Path, people: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    for name in (*MODEL_FILES, *PICTURES):
        (folder / name).write_text(f"{name} of {len(people)} people")
    (folder / "card.json").write_text(json.dumps(CARD))
    (folder / "people.json").write_text(json.dumps({"people": people}))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pseudonyms_in(folder: Path) -> set[str]:
    content = b"".join(files(folder).values())
    return {person for person in (ANN, BOB, CID, DEE) if person.encode() in content}


def test_nothing_about_an_erased_person_stays_but_the_weights(settings: Settings, models: Path) -> None:
    untouched = files(models / "two")
    weights = (models / "one" / "detector.onnx").read_bytes()
    [change] = erase_people(settings, {ANN, BOB}, "erasure-1")
    assert change == ModelChange(
        name="one",
        sha256=hashlib.sha256(weights).hexdigest(),
        people=2,
        changed=("people.json", "card.json", "card.md"),
        removed=PICTURES,
        mlflow_runs=0,
        stale="learned from 2 people who were erased",
    )
    assert pseudonyms_in(models) == {CID, DEE}
    assert files(models / "two") == untouched
    assert sorted(files(models / "one")) == ["card.json", "card.md", "detector.onnx", "model.skops", "people.json"]
    assert (models / "one" / "detector.onnx").read_bytes() == weights
    card = json.loads((models / "one" / "card.json").read_text())
    assert card == {key: value for key, value in CARD.items() if not key.startswith("by_")} | {"stale": change.stale}
    assert f"{change.stale}; replace it with `stedi train --replace one`" in (models / "one" / "card.md").read_text()
    assert (models / "one" / "people.json").stat().st_mode & 0o777 == 0o600


def test_a_plan_changes_nothing_and_says_what_the_erasure_does(settings: Settings, models: Path) -> None:
    before = files(models)
    for remove_weights in (False, True):
        planned = plan_erasure(settings, {ANN, CID}, remove_weights=remove_weights)
        assert files(models) == before
    assert [(change.name, change.people) for change in planned] == [("one", 2), ("two", 1)]
    assert erase_people(settings, {ANN, CID}, "erasure-1", remove_weights=True) == planned
    assert plan_erasure(settings, {ANN, CID}) == []
    assert plan_erasure(settings, ["e" * 64]) == []


def test_an_erasure_that_was_completed_changes_nothing_and_returns_the_same(settings: Settings, models: Path) -> None:
    first = erase_people(settings, {CID}, "erasure-1")
    after = files(models)
    assert erase_people(settings, {CID}, "erasure-1") == first
    assert erase_people(settings, {CID}, "erasure-2") == []
    assert files(models) == after


def test_a_second_erasure_adds_to_the_first(settings: Settings, models: Path) -> None:
    [one] = erase_people(settings, {ANN}, "erasure-1", remove_weights=True)
    assert not (models / "one" / "detector.onnx").exists()
    [again, two] = erase_people(settings, {BOB, DEE}, "erasure-2")
    assert (again.people, again.stale) == (1, "learned from 2 people who were erased")
    # The weights are gone, and people.json still has their hash.
    assert again.sha256 == one.sha256 != two.sha256
    assert pseudonyms_in(models) == {CID}


def test_a_model_whose_weights_were_deleted_can_be_replaced(settings: Settings, models: Path) -> None:
    [change] = erase_people(settings, {ANN}, "erasure-1", remove_weights=True)
    assert set(change.removed) == {"detector.onnx", "model.skops", *PICTURES}
    model = model_to_replace(settings, "one")
    assert (model.card["seed"], replaces(model)) == (5, {"model": "one", "sha256": change.sha256})


def test_a_list_of_people_that_names_other_files_deletes_none(settings: Settings, models: Path) -> None:
    erase_people(settings, {ANN}, "erasure-1")
    content = json.loads((models / "one" / "people.json").read_text())
    content["erasures"][0]["removed"] += ["../two/card.md", "card.json", str(models / "two" / "detector.onnx")]
    (models / "one" / "people.json").write_text(json.dumps(content))
    before = files(models)
    erase_people(settings, {BOB}, "erasure-2")
    assert files(models).keys() == before.keys()
    content["erasures"] = [{"people": 1}]
    (models / "one" / "people.json").write_text(json.dumps(content))
    with pytest.raises(WarehouseError, match=r"invalid card\.json or people\.json"):
        erase_people(settings, {BOB}, "erasure-3")


def test_copies_and_drafts_in_the_models_folder_are_reached(settings: Settings, models: Path) -> None:
    for copy in (".backup", "exports/of 2026/one", "one/copy"):
        write_model(models / copy, (ANN, BOB))
    write_model(models / ".draft", (ANN, BOB, CID, DEE))
    # Killed before its people were known.
    (models / ".draft" / "people.json").unlink()
    write_model(models / ".replaced", (ANN,))
    (models / "one" / ".people.json").write_text(json.dumps({"people": [ANN]}))
    planned = plan_erasure(settings, {ANN})
    changes = erase_people(settings, {ANN}, "erasure-1")
    assert changes == planned
    assert [change.name for change in changes] == [".backup", "exports/of 2026/one", "one", "one/copy"]
    assert ANN not in pseudonyms_in(models)
    assert not (models / ".draft").exists()
    assert "delete this copy" in (models / "one" / "copy" / "card.md").read_text()


def test_a_model_without_its_people_stops_the_erasure_before_it_begins(settings: Settings, models: Path) -> None:
    (models / "two" / "people.json").unlink()
    before = files(models)
    unreadable = r"people.json can't be read .* restore it or remove the model"
    with pytest.raises(WarehouseError, match=unreadable):
        plan_erasure(settings, {ANN})
    with pytest.raises(WarehouseError, match=unreadable):
        erase_people(settings, {ANN}, "erasure-1")
    assert {name: content for name, content in files(models).items() if name != ".lock"} == before


def test_without_models_there_is_nothing_to_erase(settings: Settings) -> None:
    assert plan_erasure(settings, {ANN}) == []
    assert erase_people(settings, {ANN}, "erasure-1") == []
    assert settings.models is not None
    assert not settings.models.exists()


def test_an_erasure_waits_for_no_training(settings: Settings, models: Path) -> None:
    with draft_folder(settings), pytest.raises(WarehouseBusyError, match="another training"):
        erase_people(settings, {ANN}, "erasure-1")
    assert ANN in pseudonyms_in(models)


class _KilledError(BaseException):
    """Stands for a kill. After it, no operation takes place any more, so that no cleanup helps."""


def _kill_at(patch: pytest.MonkeyPatch, step: int) -> Callable[[], bool]:
    """Kill before one of the operations that change files. Returns whether the work got so far."""
    done = 0

    def killing(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise _KilledError
            return operation(*arguments, **options)

        return call

    for name in ("rename", "unlink", "fsync", "rmdir"):
        patch.setattr(os, name, killing(getattr(os, name)))
    return lambda: done > step


def test_an_erasure_that_is_killed_anywhere_goes_on(settings: Settings, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "kept")
    expected = erase_people(settings, {ANN, CID}, "erasure-1", remove_weights=True)
    after = files(models)
    step, was_killed = 0, True
    while was_killed:
        shutil.rmtree(models)
        shutil.copytree(tmp_path / "kept", models)
        with pytest.MonkeyPatch.context() as patch:
            killed = _kill_at(patch, step)
            with suppress(_KilledError):
                erase_people(settings, {ANN, CID}, "erasure-1", remove_weights=True)
            was_killed = killed()
        # A model that still has its files has its people, or is stale.
        for model in read_models(models):
            assert model.erased or (model.folder / "stretch.png").exists()
        assert erase_people(settings, {ANN, CID}, "erasure-1", remove_weights=True) == expected
        assert files(models) == after, step
        step += 1
    assert step > 20


def test_a_model_of_an_erased_person_is_stale_for_good(small_lake: Lake) -> None:
    lake = small_lake
    people = dict(lake.rows("SELECT email, customer_pseudonym FROM customers_curated"))
    with draft_folder(lake.settings) as draft:
        for name in MODEL_FILES:
            (draft / name).write_text(json.dumps(CARD))
        folder = publish(lake.settings, draft, people.values())
    assert (folder.parent.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o700, 0o700)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert find_usable_model(lake.settings) == folder
    erase_people(lake.settings, [people["a@x"]], "erasure-1")
    # The person still consents, or consents again, under the same pseudonym.
    reason = "learned from 1 person who was erased"
    for model in (None, folder.name, str(folder)):
        with pytest.raises(WarehouseError, match=rf"stale \({reason}\)"):
            find_usable_model(lake.settings, model)
    # Also without a run to check consent against.
    nowhere = lake.settings.model_copy(update={"warehouse": str(lake.warehouse / "none"), "models": folder.parent})
    with pytest.raises(WarehouseError, match=rf"stale \({reason}\)"):
        find_usable_model(nowhere, str(folder))
    for described in (describe_models(lake.settings), describe_models(nowhere)):
        assert [(model["stale"], model["why"], model["people"]) for model in described] == [(True, reason, 2)]
    shown = stedi(lake.warehouse.parent, "models", "--json")
    assert reason in shown.stdout
    assert people["a@x"] not in shown.stdout + shown.stderr
