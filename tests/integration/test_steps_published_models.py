"""The models folder: models are published atomically, and checked for consent by every use."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from stedi.config import Settings
from stedi.errors import StediError, UsageError, WarehouseBusyError, WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.pipeline import run
from stedi.steps.registry.published_models import (
    MODEL_FILES,
    describe_models,
    draft_folder,
    find_usable_model,
    models_folder,
    publish,
    read_models,
)
from stedi.verify.verify import verify
from tests.support.lake import Lake, customer, reading
from tests.support.program import stedi

NAMES = ("ann", "bob", "cid")


def pseudonyms(lake: Lake) -> dict[str, str]:
    return dict(lake.rows("SELECT person, customer_pseudonym FROM customers_curated"))


def make(settings: Settings, people: Iterable[str], policy: str = "customer", **card: object) -> Path:
    with draft_folder(settings) as folder:
        for name in MODEL_FILES:
            (folder / name).write_text("made")
        (folder / "card.json").write_text(json.dumps({"policy": policy} | card))
        return publish(settings, folder, people)


def withdraw(lake: Lake, name: str, at: int = 200) -> None:
    lake.land(f"customer/{name}-{at}.json", [customer(f"{name}@x.y", at)])


@pytest.fixture
def three(lake: Lake) -> Lake:
    """A lake with three people who agree."""
    lake.land("customer/1.json", [customer(f"{name}@x.y", 100, shares=100) for name in NAMES])
    lake.land("accelerometer/1.json", [reading(f"{name}@x.y", 1_000 + n) for n, name in enumerate(NAMES)])
    (lake.landing / "step_trainer").mkdir()
    lake.run()
    return lake


def stale(lake: Lake) -> list[tuple[bool | None, str | None]]:
    return [(model["stale"], model["why"]) for model in describe_models(lake.settings)]


def test_a_model_is_in_the_warehouse_and_contains_no_names(three: Lake) -> None:
    people = pseudonyms(three)
    folder = make(three.settings, people.values())
    assert folder.parent == models_folder(three.settings) == three.warehouse / "models"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*MODEL_FILES, "people.json"])
    assert (folder / "people.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "people.json").read_text()) == {"people": sorted(people.values())}
    assert not [name for name in NAMES for path in folder.iterdir() if f"{name}@" in path.read_text()]
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]


def test_the_models_folder_can_be_set(tmp_path: Path) -> None:
    assert models_folder(Settings.model_validate({"models": tmp_path / "m"})) == tmp_path / "m"
    assert models_folder(Settings()) == Path("lakehouse/models")


def test_a_model_is_stale_after_the_run_that_reads_a_withdrawal(three: Lake) -> None:
    folder = make(three.settings, pseudonyms(three).values())
    assert find_usable_model(three.settings) == folder
    withdraw(three, "bob")
    assert stale(three) == [(False, None)]
    three.run()
    assert stale(three) == [(True, "1 of 3 people are no longer in customers_curated")]
    for wanted in (None, folder.name, str(folder)):
        with pytest.raises(WarehouseError, match=r"stale \(1 of 3 people .* `stedi train"):
            find_usable_model(three.settings, wanted)


def test_renewed_consent_makes_a_model_usable_again(three: Lake) -> None:
    folder = make(three.settings, pseudonyms(three).values())
    withdraw(three, "bob")
    three.run()
    three.land("customer/again.json", [customer("bob@x.y", 300, shares=300)])
    three.run()
    assert find_usable_model(three.settings) == folder


def test_the_newest_model_that_is_not_stale_is_used(three: Lake) -> None:
    people = pseudonyms(three)
    of_two = make(three.settings, [people["ann@x.y"], people["cid@x.y"]])
    of_all = make(three.settings, people.values())
    # Within one second the order of names is random.
    of_two, of_all = (
        folder.rename(folder.with_name(f"2026010{n}T000000Z-0")) for n, folder in enumerate((of_two, of_all), 1)
    )
    assert find_usable_model(three.settings) == of_all
    withdraw(three, "bob")
    three.run()
    assert find_usable_model(three.settings) == of_two
    assert [model["stale"] for model in describe_models(three.settings)] == [True, False]


def test_a_withdrawal_during_the_training_prevents_publishing(three: Lake) -> None:
    people = pseudonyms(three)
    withdraw(three, "cid")
    three.run()
    with pytest.raises(WarehouseError, match="not published: 1 of 3 people"):
        make(three.settings, people.values())
    assert read_models(models_folder(three.settings)) == []


def test_another_policy_makes_models_stale(three: Lake) -> None:
    make(three.settings, pseudonyms(three).values())
    run(Settings.model_validate(three.settings.model_dump() | {"consent": {"policy": "reading"}}))
    assert stale(three) == [(True, "consent policy was customer and is reading")]


def test_the_consent_check_needs_a_finished_run_and_the_people_of_the_model(three: Lake, tmp_path: Path) -> None:
    folder = make(three.settings, pseudonyms(three).values())
    nowhere = Settings.model_validate({"warehouse": str(tmp_path / "none"), "models": models_folder(three.settings)})
    with pytest.raises(WarehouseError, match="no run has finished"):
        find_usable_model(nowhere)
    assert [model["stale"] for model in describe_models(nowhere)] == [None]
    # For example at a phone's maker, who has the folder and no warehouse.
    assert find_usable_model(nowhere, str(folder)) == folder
    (folder / "people.json").unlink()
    with pytest.raises(WarehouseError, match=r"people.json can't be read .* restore it or remove the model"):
        find_usable_model(three.settings)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"policy": 1}'])
def test_the_error_on_a_damaged_card_is_one_line(three: Lake, card: str) -> None:
    folder = make(three.settings, pseudonyms(three).values())
    (folder / "card.json").write_text(card)
    with pytest.raises(WarehouseError, match=f"model .*{folder.name} has an invalid card.json") as refused:
        describe_models(three.settings)
    assert "\n" not in str(refused.value)


def test_unknown_model_names(three: Lake) -> None:
    with pytest.raises(WarehouseError, match="there is no model in"):
        find_usable_model(three.settings)
    with pytest.raises(UsageError, match=r"unknown model 'x'; .*/models contains no model"):
        find_usable_model(three.settings, "x")
    folder = make(three.settings, pseudonyms(three).values())
    with pytest.raises(UsageError, match=f"did you mean {folder.name}"):
        find_usable_model(three.settings, folder.name[:-1])


def test_an_incomplete_draft_is_not_published(three: Lake) -> None:
    with draft_folder(three.settings) as folder:
        (folder / "detector.onnx").touch()
        with pytest.raises(WarehouseError, match="has no model"):
            publish(three.settings, folder, [])
    assert read_models(models_folder(three.settings)) == []


_DIES = """
import os, signal, sys
from pathlib import Path
from stedi.config import Settings
from stedi.steps.registry import published_models
settings = Settings(warehouse=sys.argv[1])
with published_models.draft_folder(settings) as folder:
    for name in published_models.MODEL_FILES:
        (folder / name).write_text('{"policy": "customer"}')
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    published_models.publish(settings, folder, [])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "published"), [("before", 0), ("after", 1)])
def test_a_killed_training_leaves_a_whole_model_or_none(three: Lake, moment: str, published: int) -> None:
    died = subprocess.run([sys.executable, "-c", _DIES, three.warehouse, moment], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert len(read_models(models_folder(three.settings))) == published
    assert make(three.settings, pseudonyms(three).values()).is_dir()
    assert len(read_models(models_folder(three.settings))) == published + 1
    assert not (models_folder(three.settings) / ".draft").exists()


def test_one_training_at_a_time(three: Lake) -> None:
    with (
        draft_folder(three.settings),
        pytest.raises(WarehouseBusyError, match="another training"),
        draft_folder(three.settings),
    ):
        pass


def test_maintenance_and_verify_leave_models_alone(three: Lake) -> None:
    folder = make(three.settings, pseudonyms(three).values())
    maintain(three.settings)
    assert all(finding.holds for finding in verify(three.settings))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*MODEL_FILES, "people.json"])


def test_the_command_lists_models(three: Lake, tmp_path: Path) -> None:
    assert "train one with `stedi train`" in stedi(tmp_path, "models").stderr
    assert json.loads(stedi(tmp_path, "models", "--json").stdout) == {"models": []}
    card: dict[str, Any] = {
        "run_id": "20260101T000000Z-1",
        "trained_at": "2026-01-01T00:00:00+00:00",
        "scores": {"f1_100": 0.9312, "count_mape": None},
    }
    folder = make(three.settings, pseudonyms(three).values(), **card)
    shown = stedi(tmp_path, "models").stdout
    assert folder.name in shown
    assert "0.931" in shown
    withdraw(three, "ann")
    three.run()
    assert json.loads(stedi(tmp_path, "models", "--json").stdout)["models"] == [
        {
            "model": folder.name,
            "trained_at": card["trained_at"],
            "run_id": "20260101T000000Z-1",
            "policy": "customer",
            "people": 3,
            "f1_100": 0.9312,
            "count_mape": None,
            "replaces": None,
            "stale": True,
            "why": "1 of 3 people are no longer in customers_curated",
        }
    ]
    assert stedi(tmp_path, "detect", "none.csv").returncode == StediError.exit_code
