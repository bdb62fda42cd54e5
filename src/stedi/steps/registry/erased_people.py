"""Erasure of people from the models folder.

Nothing about an erased person stays in a model's files but what the weights learned. That can't be taken out of the weights,
so the model is out of use for good, and `stedi train --replace` trains one that never had the person.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.installation import not_installed
from stedi.steps.registry.published_models import (
    CARD,
    LEFTOVERS,
    PEOPLE,
    ModelPeople,
    erasure_reason,
    lock_models,
    model_sha256,
    models_folder,
    read_card,
    unwritable,
)
from stedi.storage.disk import atomic_write, fsync

_CARD_TEXT = "card.md"
_WEIGHTS = ("detector.onnx", "model.skops")
# The motion of one person, a point for each person, and the motion of all.
_PICTURES = ("stretch.png", "people.png", "calibration.png")
# A row for each person, and metrics by phone position, which may be of one person. The rows do not say whose they are.
_PERSONAL_KEYS = ("by_person", "by_position")


@dataclass(frozen=True)
class ModelChange:
    """What an erasure changes in one model. It holds no personal data.

    Attributes:
        name: name of the model. Of a copy deeper in the models folder: its path from there.
        sha256: SHA-256 of its weights (detector.onnx) before the erasure.
        people: number of erased people whom it learned from.
        changed: files that are rewritten without these people.
        removed: files that are deleted.
        mlflow_runs: number of its MLflow runs, which are deleted.
        stale: why it is out of use.
        not_reached: what can't be erased from here, one sentence each.
    """

    name: str
    sha256: str
    people: int
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    mlflow_runs: int
    stale: str
    not_reached: tuple[str, ...] = ()


def plan_erasure(settings: Settings, pseudonyms: Collection[str], *, remove_weights: bool = False) -> list[ModelChange]:
    """List what `erase_people` would change, model by model. Changes nothing.

    Args:
        settings: where the models are.
        pseudonyms: customer pseudonyms of the people to erase.
        remove_weights: also delete the weights.

    Raises:
        UsageError: there are runs in MLflow to delete, and MLflow is not installed.
        WarehouseError: a model can't be read.
    """
    models = models_folder(settings)
    concerned = [(folder, people) for folder, people in read_people(models) if not people.isdisjoint(pseudonyms)]
    return [change for _, _, change in _plan(models, concerned, set(pseudonyms), remove_weights)]


def erase_people(
    settings: Settings, pseudonyms: Collection[str], erasure_id: str, *, remove_weights: bool = False
) -> list[ModelChange]:
    """Remove people from all models in the models folder, and from MLflow. Models that learned from them are stale for good.

    The write of people.json without these people also makes the model stale. Then the rows and pictures of single people are
    deleted, and the model's MLflow runs. If the erasure is killed, the next call completes it. A call with the ID of a
    completed erasure changes nothing and returns the same. What a killed training left is deleted, too.

    Models elsewhere, which are given by path, are not reached.

    Args:
        settings: where the models are.
        pseudonyms: customer pseudonyms of the people to erase.
        erasure_id: ID of the erasure. people.json records it.
        remove_weights: also delete the weights. The card stays, so that `stedi train --replace` knows its seed and policy.

    Returns:
        One change for each model that learned from these people.

    Raises:
        UsageError: there are runs in MLflow to delete, and MLflow is not installed.
        WarehouseBusyError: a training writes to the models folder.
        WarehouseError: a model or MLflow's database can't be read or written.
    """
    if not models_folder(settings).is_dir():
        return []
    with lock_models(settings) as models:
        try:
            return _erase(models, set(pseudonyms), erasure_id, remove_weights)
        except OSError as error:
            raise unwritable(models, error) from error


def _erase(models: Path, pseudonyms: set[str], erasure_id: str, remove_weights: bool) -> list[ModelChange]:
    people_of = dict(read_people(models))
    concerned = [(folder, people) for folder, people in people_of.items() if not people.isdisjoint(pseudonyms)]
    for folder, people, change in _plan(models, concerned, pseudonyms, remove_weights):
        people_of[folder] = people.without(pseudonyms, _record(erasure_id, change))
        people_of[folder].write(folder)
    # Models of earlier erasures too, because these may have been killed.
    erased = {folder: people for folder, people in people_of.items() if people.erasures}
    for folder, people in erased.items():
        _strip(models, folder, people)
    tracking = _tracking(models) if erased else None
    not_reached = tracking.delete_runs(models, {folder.name for folder in erased}) if tracking else ()
    return [
        replace(_change(models, folder, erasure), not_reached=not_reached)
        for folder, people in erased.items()
        for erasure in people.erasures
        if erasure["id"] == erasure_id
    ]


def read_people(models: Path) -> Iterator[tuple[Path, ModelPeople]]:
    """Read the people of all models in the models folder, also of copies in hidden and deeper folders."""
    for top in sorted(models.iterdir()) if models.is_dir() else ():
        if top.name in LEFTOVERS or not top.is_dir():
            continue
        for folder, folders, files in os.walk(top, onerror=_raise):
            folders.sort()
            # A published model without the list of its people can't be checked, which is an error.
            if PEOPLE in files or (CARD in files and Path(folder) == top):
                yield Path(folder), ModelPeople.read(Path(folder))


def _raise(error: OSError) -> None:
    raise WarehouseError(f"folder {error.filename} can't be read: {error.strerror}; check its permissions") from error


def _plan(
    models: Path, concerned: Iterable[tuple[Path, ModelPeople]], pseudonyms: set[str], remove_weights: bool
) -> list[tuple[Path, ModelPeople, ModelChange]]:
    concerned = list(concerned)
    tracking = _tracking(models) if concerned else None
    runs = tracking.find_runs(models, {folder.name for folder, _ in concerned}) if tracking else None
    planned = []
    for folder, people in concerned:
        erased = len(pseudonyms.intersection(people.pseudonyms))
        removed = (*_PICTURES, *(_WEIGHTS if remove_weights else ()))
        change = ModelChange(
            name=str(folder.relative_to(models)),
            sha256=model_sha256(folder, people.erasures),
            people=erased,
            changed=tuple(name for name in (PEOPLE, CARD, _CARD_TEXT) if (folder / name).exists()),
            removed=tuple(name for name in removed if (folder / name).exists()),
            # A copy deeper in the folder was not trained, and has no run.
            mlflow_runs=runs.counts[folder.name] if runs and folder.parent == models else 0,
            stale=erasure_reason(people.erased + erased),
            not_reached=runs.not_reached if runs else (),
        )
        planned.append((folder, people, change))
    return planned


def _record(erasure_id: str, change: ModelChange) -> dict[str, Any]:
    """What people.json records of an erasure, so that a killed one returns the same when it is completed."""
    return {
        "id": erasure_id,
        "sha256": change.sha256,
        "people": change.people,
        "changed": list(change.changed),
        "removed": list(change.removed),
        "mlflow_runs": change.mlflow_runs,
        "stale": change.stale,
    }


def _change(models: Path, folder: Path, erasure: Mapping[str, Any]) -> ModelChange:
    return ModelChange(
        name=str(folder.relative_to(models)),
        sha256=erasure["sha256"],
        people=erasure["people"],
        changed=tuple(erasure["changed"]),
        removed=tuple(erasure["removed"]),
        mlflow_runs=erasure["mlflow_runs"],
        stale=erasure["stale"],
    )


def _strip(models: Path, folder: Path, people: ModelPeople) -> None:
    """Delete the rows and pictures of single people from a model with erased people. It may have been done before."""
    # Left from a killed write.
    leftovers = {f".{name}" for name in (PEOPLE, CARD, _CARD_TEXT)}
    # Whatever people.json lists, no other file is deleted.
    removed = {name for erasure in people.erasures for name in erasure["removed"]} & {*_PICTURES, *_WEIGHTS}
    for name in sorted(leftovers | removed):
        (folder / name).unlink(missing_ok=True)
    fsync(folder)
    if not (folder / CARD).exists():
        return
    card = read_card(folder)
    stripped = {key: value for key, value in card.items() if key not in _PERSONAL_KEYS}
    stripped["stale"] = erasure_reason(people.erased)
    _write(folder / _CARD_TEXT, _card_text(folder.name if folder.parent == models else None, stripped))
    # Last, because it says that the model was stripped.
    _write(folder / CARD, json.dumps(stripped, indent=1))


def _write(path: Path, text: str) -> None:
    content = text.encode()
    if path.exists() and path.read_bytes() == content:
        return
    with atomic_write(path) as file:
        file.write(content)


def _card_text(name: str | None, card: Mapping[str, Any]) -> str:
    """The card for people, of a model with erased people; `name` is None for a copy that is not published."""
    advice = f"replace it with `stedi train --replace {name}`" if name else "delete this copy"
    return f"""# A step detector, out of use

Stale: {card["stale"]}; {advice}.

Trained {card.get("trained_at")} (policy `{card["policy"]}`, seed {card.get("seed")}).
`{CARD}` has the metrics over all people. The erasure deleted the metrics of single people and the pictures.
"""


def _tracking(models: Path) -> ModuleType | None:
    """The module that accesses MLflow; None if no training was logged. Importing MLflow takes seconds."""
    if not (models / "mlflow.db").exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    try:
        from stedi.steps.registry import mlflow_tracking
    except (ImportError, OSError) as error:
        raise not_installed("MLflow", "ml", error) from None
    return mlflow_tracking
