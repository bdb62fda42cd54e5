"""`stedi train --replace` gives the model that would have come had the missing people never been there."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from stedi.config import Settings
from stedi.errors import TrainingError, UsageError, WarehouseError
from stedi.model.progress import Progress
from stedi.steps import metrics, workflows
from stedi.steps.evaluation.peak_counter import CANDIDATES
from stedi.steps.model.fit import TREES
from stedi.steps.registry.published_models import (
    MODEL_FILES,
    draft_folder,
    find_model,
    find_usable_model,
    publish,
    read_models,
)
from stedi.steps.registry.replacement import complete_replacement, replaces
from stedi.steps.workflows import replace, train
from tests.support.lake import KEY, T0, Lake, Record, customer, distance
from tests.support.program import stedi

# Time from step to step (ms).
WALKERS = {"ann": 560, "bob": 600, "cid": 640, "dee": 680, "eve": 620}
# They say when and from which snapshots a model was trained.
FIELDS_OF_THE_RUN = ("trained_at", "run_id", "snapshots", "replaces")


def walk(user: str, step_every: int, seconds: int = 24) -> dict[str, list[Record]]:
    """Landing files of a walk: the phone swings once a step, and a foot passes the sensor."""
    start = 100_000 + 10 * step_every
    times = range(0, 1_000 * seconds, 20)
    motion: list[Record] = [
        {
            "user": f"{user}@x",
            "timeStamp": T0 + start + t,
            "x": (t * 7 % 97) / 97,
            "y": (t * 11 % 89) / 89,
            "z": 9.81 + 3 * math.cos(2 * math.pi * t / step_every) + (t * 13 % 83) / 83,
        }
        for t in times
    ]
    feet: list[Record] = [distance(f"s-{user}", start + t, 60 if t % step_every < 20 else 250) for t in times[::2]]
    return {f"accelerometer/{user}.json": motion, f"step_trainer/{user}.json": feet}


def lake_of(folder: Path, names: Iterable[str]) -> Lake:
    folder.mkdir()
    lake = Lake(folder)
    for name in names:
        lake.land(f"customer/{name}.json", [customer(f"{name}@x", 10, shares=10, serial=f"s-{name}")])
        for file, records in walk(name, WALKERS[name]).items():
            lake.land(file, records)
    return lake


@pytest.fixture
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, resamples and peak counters, and no database of MLflow, which takes longer than the training."""
    monkeypatch.setitem(TREES, "n_estimators", 5)
    monkeypatch.setattr(metrics.bootstrap, "__defaults__", (20,))
    monkeypatch.setattr("stedi.steps.evaluation.assessment.CANDIDATES", CANDIDATES[:2])
    monkeypatch.setattr(workflows, "log_training", lambda *_: None)


def without_fields_of_the_run(folder: Path) -> tuple[dict[str, Any], str]:
    """Both cards of a model, without what differs between two trainings on equal data."""
    card = json.loads((folder / "card.json").read_text())
    text = (folder / "card.md").read_text()
    for value in (card["trained_at"], card["run_id"], *map(str, card["snapshots"].values())):
        text = text.replace(value, "…")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("Replaces the model"))
    return {key: value for key, value in card.items() if key not in FIELDS_OF_THE_RUN}, text


@pytest.mark.usefixtures("quick_training")
def test_a_replacement_is_the_model_that_never_had_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_of(tmp_path / "with", WALKERS)
    progress: list[Progress] = []
    train(lake.settings, seed=7, progress=progress.append)
    [old] = read_models(lake.warehouse / "models")
    old_sha256 = old.sha256
    lake.land("customer/cid-withdraws.json", [customer("cid@x", 20, serial="s-cid")])
    monkeypatch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    called = stedi(tmp_path / "with", "train", "--replace", old.name, "--json")
    assert called.returncode == 0, called.stderr
    [new] = read_models(old.folder.parent)

    never = lake_of(tmp_path / "without", [name for name in WALKERS if name != "cid"])
    without_cid = train(never.settings, seed=7).folder
    files = {path.name for path in new.folder.iterdir()}
    assert files == {path.name for path in without_cid.iterdir()}
    for name in files - {"card.json", "card.md"}:
        assert (new.folder / name).read_bytes() == (without_cid / name).read_bytes(), name
    assert without_fields_of_the_run(new.folder) == without_fields_of_the_run(without_cid)

    assert find_usable_model(lake.settings) == new.folder
    assert new.card["replaces"] == {"model": old.name, "sha256": old_sha256}
    assert old_sha256 in (new.folder / "card.md").read_text()
    assert json.loads(called.stdout)["replacement"] == {
        "old_name": old.name,
        "old_sha256": old_sha256,
        "new_name": new.name,
        "new_sha256": new.sha256,
    }
    assert new.sha256 != old_sha256
    # Nothing that the training prints or writes names somebody, but people.json.
    written = "".join(path.read_bytes().decode("latin-1") for path in new.folder.iterdir() if path.name != "people.json")
    outputs = f"{progress}{called.stdout}{called.stderr}{written}"
    assert (len(old.people), len(new.people)) == (5, 4)
    assert not [person for person in old.people.to_pylist() if person[:8] in outputs]


@pytest.fixture
def published(small_lake: Lake) -> tuple[Lake, Path]:
    """A lake with a model of two people, a@x and b@x."""
    return small_lake, publish_model(small_lake, seed=3)


def publish_model(lake: Lake, **card: Any) -> Path:
    people = [pseudonym for (pseudonym,) in lake.rows("SELECT customer_pseudonym FROM customers_curated")]
    with draft_folder(lake.settings) as folder:
        for name in MODEL_FILES:
            (folder / name).write_text(str(card))
        (folder / "card.json").write_text(json.dumps({"policy": "customer", **card}))
        return publish(lake.settings, folder, people)


def test_a_killed_replacement_is_completed(published: tuple[Lake, Path]) -> None:
    lake, old = published
    record = replaces(find_model(lake.settings, old.name))
    assert complete_replacement(lake.settings, old.name) is None
    # Killed after the new model was published, and before the old one was deleted.
    new = publish_model(lake, seed=3, replaces=record)
    answers = [json.loads(stedi(lake.warehouse.parent, "train", "--replace", old.name, "--json").stdout) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["replacement"] == {
        "old_name": old.name,
        "old_sha256": record["sha256"],
        "new_name": new.name,
        "new_sha256": find_model(lake.settings, new.name).sha256,
    }
    assert [path.name for path in new.parent.iterdir() if path.is_dir()] == [new.name]
    assert record["sha256"] in stedi(lake.warehouse.parent, "train", "--replace", old.name).stdout


def test_a_replacement_that_is_stale_itself_or_of_other_weights_is_not_completed(published: tuple[Lake, Path]) -> None:
    lake, old = published
    publish_model(lake, seed=3, replaces={"model": old.name, "sha256": "of other weights"})
    publish_model(lake, seed=3, replaces=replaces(find_model(lake.settings, old.name)))
    lake.land("customer/2.json", [customer("a@x", 20)])
    lake.run()
    assert complete_replacement(lake.settings, old.name) is None
    assert old.is_dir()


def test_the_next_writer_deletes_what_a_killed_deletion_left(published: tuple[Lake, Path]) -> None:
    lake, old = published
    left = old.rename(old.with_name(".replaced"))
    assert read_models(old.parent) == []
    publish_model(lake)
    assert not left.exists()


def test_a_model_that_cannot_be_replaced(published: tuple[Lake, Path]) -> None:
    lake, old = published
    for arguments, message in (
        (["--replace", old.name[:-1]], f"did you mean {old.name}"),
        (["--replace", str(old)], "give the name of a model in"),
        (["--replace", old.name, "--seed", "1"], "exclude each other"),
    ):
        refused = stedi(lake.warehouse.parent, "train", *arguments)
        assert refused.returncode == UsageError.exit_code
        assert message in refused.stderr
    other = Settings.model_validate(lake.settings.model_dump() | {"consent": {"policy": "reading"}})
    with pytest.raises(UsageError, match="was trained with consent policy customer, and the policy is reading"):
        replace(other, old.name)
    seedless = publish_model(lake)
    with pytest.raises(WarehouseError, match="has no seed"):
        replace(lake.settings, seedless.name)
    assert old.is_dir()


def test_a_failed_training_leaves_the_old_model(published: tuple[Lake, Path]) -> None:
    lake, old = published
    with pytest.raises(TrainingError, match="nothing to train on"):
        replace(lake.settings, old.name)
    assert [model.name for model in read_models(old.parent)] == [old.name]
