"""The models folder: published models, whose people each has learnt from, and which may be used no more.

A model is published like a run: all of it is written to a draft, which gets the model's name in
one step. With it goes whose readings it has learnt from, by their keyed pseudonyms, which name
nobody without the key. A model is stale once one of them is no longer in the tables: nothing that
follows from a person's readings outlasts the person's consent, so a stale model is refused.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stedi.catalog.run_log import latest_run, new_run_id
from stedi.config import Settings
from stedi.errors import UsageError, WarehouseBusyError, WarehouseError, unknown_name
from stedi.query.sandbox import query
from stedi.storage import WarehouseFolder, open_warehouse
from stedi.storage.disk import sole_holder, sync, whole_file

FILES = ("detector.onnx", "model.skops", "card.md", "card.json")
_CARD, _PEOPLE = "card.json", "people.json"
_DRAFT = ".draft"
_TRAIN = "train one with `stedi train`"


@dataclass(frozen=True)
class PublishedModel:
    """A model that was published.

    Attributes:
        name: sorts by the time of publishing.
        folder: where its files lie.
        card: what there is to know of it: trained_at, run_id, policy, people (how many), scores, …
        people: pseudonyms of those whose readings it has learnt from.
    """

    name: str
    folder: Path
    card: Mapping[str, Any]
    people: pa.Array

    @property
    def policy(self) -> str:
        """How far consent reached when it was trained."""
        return str(self.card["policy"])


@dataclass(frozen=True)
class Allowed:
    """What the newest finished run allows to learn from: its policy, and the pseudonyms of its people."""

    policy: str
    people: pa.Array

    def objection(self, policy: str, people: pa.Array) -> str | None:
        """Why a model with these people may not be used, naming nobody; None where it may."""
        if policy != self.policy:
            return f"consent policy was {policy} and is {self.policy}"
        gone = len(people) - pc.sum(pc.is_in(people, self.people), min_count=0).as_py()
        return f"{gone:,} of {len(people):,} people are no longer in customers_curated" if gone else None


def models_folder(settings: Settings) -> Path:
    """Where models are published: as set, else inside a local warehouse, else the folder models."""
    if settings.models is not None:
        return settings.models
    warehouse = open_warehouse(settings.warehouse, settings.database)
    return warehouse.given / "models" if isinstance(warehouse, WarehouseFolder) else Path("models")


def allowed(settings: Settings) -> Allowed | None:
    """What the newest finished run allows; None where no run has finished.

    Consent that was withdrawn in files which no run has read yet counts from the next run on, for
    models as for every table.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    run = latest_run(open_warehouse(settings.warehouse, settings.database))
    if run is None:
        return None
    found = query(settings, "SELECT customer_pseudonym FROM customers_curated", as_of=run.run_id)
    people = pa.chunked_array([batch.column(0) for batch in found.batches()], pa.string())
    return Allowed(run.settings.policy, people.combine_chunks())


def _surely_allowed(settings: Settings) -> Allowed:
    now = allowed(settings)
    if now is None:
        raise WarehouseError(
            f"no run has finished in {settings.warehouse} that models could be held against; start one with `stedi run`"
        )
    return now


def read_models(folder: Path) -> list[PublishedModel]:
    """All published models, oldest first; none where the folder is not there.

    Raises:
        WarehouseError: a model can't be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WarehouseError(f"models folder {folder} can't be read: {error.strerror}") from error
    return [_read(folder / name) for name in names]


def _read(folder: Path) -> PublishedModel:
    try:
        card = json.loads((folder / _CARD).read_bytes())
        people = pa.array(json.loads((folder / _PEOPLE).read_bytes())["people"], pa.string())
        if not isinstance(card["policy"], str):
            raise TypeError("no policy")
    except OSError as error:
        # Without the list of its people a model can't be held against consent.
        raise WarehouseError(f"{error.filename} can't be read ({error.strerror}); restore it or remove the model") from error
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise WarehouseError(
            f"model {folder} can't be understood ({type(error).__name__}); restore it or remove it"
        ) from None
    return PublishedModel(folder.name, folder, card, people)


def usable_model(settings: Settings, wanted: str | None = None) -> Path:
    """The folder of the model of that name, or of the newest that is not stale.

    `wanted` may also be a folder. One outside, of a machine without the warehouse, can't be held
    against consent and is taken as it is; where there is a warehouse, it is held against that.

    Raises:
        UsageError: there is no such model, or a file is given.
        WarehouseError: it is stale, or all are; or there is none, or nothing to hold them against.
    """
    models = read_models(models_folder(settings))
    named = [model for model in models if model.name == wanted]
    if wanted is None or named:
        return _newest_usable(settings, named or models)
    folder = Path(wanted)
    if folder.is_file():
        raise UsageError(f"model {wanted} is a file; give the folder that it lies in: {folder.parent}")
    if not folder.is_dir():
        if not models:
            raise UsageError(f"no model is called {wanted!r}, and none is in {models_folder(settings)}; {_TRAIN}")
        raise unknown_name("model", wanted, [model.name for model in models])
    return _usable_outside(settings, folder)


def _newest_usable(settings: Settings, models: list[PublishedModel]) -> Path:
    if not models:
        raise WarehouseError(f"there is no model in {models_folder(settings)}; {_TRAIN}")
    now = _surely_allowed(settings)
    why = None
    for model in reversed(models):
        why = now.objection(model.policy, model.people)
        if why is None:
            return model.folder
    which = f"model {models[0].name} is" if len(models) == 1 else f"all {len(models)} models are"
    raise WarehouseError(f"{which} stale ({why}); {_TRAIN}")


def _usable_outside(settings: Settings, folder: Path) -> Path:
    now = allowed(settings)
    if now is not None and (folder / _PEOPLE).exists():
        model = _read(folder)
        if why := now.objection(model.policy, model.people):
            raise WarehouseError(f"model {folder} is stale ({why}); {_TRAIN}")
    return folder


@contextmanager
def draft(settings: Settings) -> Iterator[Path]:
    """An empty folder for a model that is being made; it is gone after the context, published or not.

    Raises:
        WarehouseBusyError: another training is at work on the models folder.
        WarehouseError: the folder can't be written.
    """
    models = models_folder(settings)
    folder = models / _DRAFT
    with ExitStack() as held:
        try:
            models.mkdir(parents=True, exist_ok=True)
            held.enter_context(sole_holder(models / ".lock"))
            # What lies there is a dead process's.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        except BlockingIOError:
            raise WarehouseBusyError(f"another training is at work on {models}; wait for it to end") from None
        except OSError as error:
            raise WarehouseError(f"models folder {models} can't be written: {error.strerror}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(settings: Settings, made: Path, people: Iterable[str]) -> Path:
    """Publish a model out of a finished draft, whole or not at all; returns its folder.

    It is held against the newest finished run as it is now: people may have withdrawn while it
    was trained.

    Args:
        made: the draft, with all files of a model: detector.onnx, model.skops, card.md and card.json.
        people: pseudonyms of all whose readings it has learnt from.

    Raises:
        WarehouseError: somebody has withdrawn meanwhile, the policy is another now, a file is
            missing, or the folder can't be written.
    """
    if missing := [name for name in FILES if not (made / name).is_file()]:
        raise WarehouseError(f"model {made} has no {missing[0]} and is not published; {_TRAIN}")
    names = sorted(set(people))
    try:
        with whole_file(made / _PEOPLE, mode=0o600) as file:
            file.write(json.dumps({"people": names}).encode())
        model = _read(made)
        if why := _surely_allowed(settings).objection(model.policy, model.people):
            raise WarehouseError(f"the model is not published: {why}; train again with `stedi train`")
        for path in (*made.iterdir(), made):
            sync(path)
        folder = made.with_name(new_run_id())
        made.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise WarehouseError(f"models folder {made.parent} can't be written: {error.strerror}") from error
    return folder


def descriptions(settings: Settings) -> list[dict[str, Any]]:
    """What there is to say of each model, newest first: stale is None where there is no run to hold it against.

    Raises:
        WarehouseError: a model or the warehouse can't be read.
    """
    models = read_models(models_folder(settings))
    now = allowed(settings) if models else None
    return [_description(model, now) for model in reversed(models)]


def _description(model: PublishedModel, now: Allowed | None) -> dict[str, Any]:
    why = now.objection(model.policy, model.people) if now else "no run to hold it against"
    scores = model.card.get("scores") or {}
    return {
        "model": model.name,
        "trained_at": model.card.get("trained_at"),
        "run_id": model.card.get("run_id"),
        "policy": model.policy,
        "people": len(model.people),
        "f1_100": scores.get("f1_100"),
        "count_mape": scores.get("count_mape"),
        "stale": why is not None if now else None,
        "why": why,
    }
