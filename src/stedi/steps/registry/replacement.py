"""Replacement of a model by one that was trained on the people who consent today."""

from dataclasses import dataclass
from typing import Any

from stedi.config import Settings
from stedi.errors import UsageError, WarehouseError
from stedi.steps.registry.published_models import (
    PublishedModel,
    delete_replaced,
    find_model,
    lock_models,
    models_folder,
    read_current_consent,
    read_models,
)


@dataclass(frozen=True)
class Replacement:
    """A model and the one in its place, by name and by the SHA-256 of their weights (detector.onnx)."""

    old_name: str
    old_sha256: str
    new_name: str
    new_sha256: str


def model_to_replace(settings: Settings, name: str) -> PublishedModel:
    """Return the model to replace. Its card decides the seed and the policy of the training.

    Raises:
        UsageError: there is no such model, or its policy is not that of the settings.
        WarehouseError: a model can't be read, or its card has no seed.
    """
    model = find_model(settings, name)
    if model.policy != settings.consent.policy:
        raise UsageError(
            f"model {name} was trained with consent policy {model.policy}, and the policy is {settings.consent.policy}; "
            f"set consent.policy, or train one for this policy without --replace"
        )
    if not isinstance(model.card.get("seed"), int):
        raise WarehouseError(f"the card of model {name} has no seed; train a model without --replace, and delete this one")
    return model


def replaces(model: PublishedModel) -> dict[str, str]:
    """What the card of a new model records of the model in whose place it comes: name and hash."""
    return {"model": model.name, "sha256": model.sha256}


def complete_replacement(settings: Settings, name: str) -> Replacement | None:
    """Complete the replacement of a model if a training was killed after it had published the new one.

    Args:
        settings: where the models are.
        name: name of the old model. It may be deleted already.

    Returns:
        The replacement; None if there is no new model, or if it is stale itself.

    Raises:
        WarehouseBusyError: a training writes to the models folder.
        WarehouseError: a model can't be read, or the models folder can't be written.
    """
    models = {model.name: model for model in read_models(models_folder(settings))}
    old = models.get(name)
    for new in reversed(models.values()):
        recorded: dict[str, Any] = new.card.get("replaces") or {}
        if recorded.get("model") != name:
            continue
        if old is not None:
            consent = read_current_consent(settings)
            if replaces(old) != recorded or consent is None or consent.staleness_reason(new):
                continue
            with lock_models(settings):
                delete_replaced(old)
        return Replacement(name, str(recorded["sha256"]), new.name, new.sha256)
    return None
