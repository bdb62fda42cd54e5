"""The models folder: published models, and which of them are stale.

A model is published atomically: its files are written to a draft folder, which is then renamed. `people.json` lists the
pseudonyms of the people in its training data, and the erasures of some of them. Only the owner can read the folder. A model
is stale if one of these people is no longer in customers_curated, if one was erased, or if the consent policy changed. Stale
models are refused, because a model must not outlast the consent of the people it was trained on.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from stedi.catalog.run_log import latest_run, new_run_id
from stedi.config import Settings
from stedi.errors import UsageError, WarehouseBusyError, WarehouseError, unknown_name
from stedi.query.sandbox import query
from stedi.storage import WarehouseFolder, open_warehouse
from stedi.storage.disk import atomic_write, exclusive_lock, fsync, private_files

MODEL_FILES = ("detector.onnx", "model.skops", "card.md", "card.json")
CARD, PEOPLE = "card.json", "people.json"
_WEIGHTS = "detector.onnx"
# A new model, and a replaced one that is being deleted. A killed training leaves them, and the next writer deletes them.
_DRAFT, _REPLACED = ".draft", ".replaced"
LEFTOVERS = (_DRAFT, _REPLACED)
# Keys of an erasure in people.json.
_ERASURE = {"id", "sha256", "people", "changed", "removed", "mlflow_runs", "stale"}
_TRAIN = "train one with `stedi train`"


@dataclass(frozen=True)
class ModelPeople:
    """Content of people.json.

    Attributes:
        pseudonyms: the people in the training data, without erased ones.
        erasures: the erasures of people of this model, oldest first: `id`, and the attributes of `ModelChange`.
    """

    pseudonyms: tuple[str, ...]
    erasures: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the list in a model's folder.

        Raises:
            WarehouseError: the file is missing or damaged.
        """
        try:
            content = json.loads((folder / PEOPLE).read_bytes())
            erasures = content.get("erasures", [])
            if not all(isinstance(pseudonym, str) for pseudonym in content["people"]):
                raise TypeError("a pseudonym is no text")
            if not all(erasure.keys() >= _ERASURE and isinstance(erasure["people"], int) for erasure in erasures):
                raise TypeError("incomplete erasure")
            return cls(tuple(content["people"]), tuple(erasures))
        except OSError as error:
            # Without the list of its people, a model can't be checked for consent.
            raise WarehouseError(
                f"{error.filename} can't be read ({error.strerror}); restore it or remove the model"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(folder, error) from None

    def write(self, folder: Path) -> None:
        """Write the list to a model's folder, atomically, for its owner only.

        Raises:
            OSError: the file can't be written.
        """
        content: dict[str, Any] = {"people": sorted(self.pseudonyms)}
        if self.erasures:
            content["erasures"] = [dict(erasure) for erasure in self.erasures]
        with atomic_write(folder / PEOPLE, mode=0o600) as file:
            file.write(json.dumps(content).encode())

    @property
    def erased(self) -> int:
        """Number of people whom the model learned from and who were erased since."""
        return sum(erasure["people"] for erasure in self.erasures)

    def isdisjoint(self, pseudonyms: Collection[str]) -> bool:
        """Whether none of these pseudonyms is in the list."""
        return set(self.pseudonyms).isdisjoint(pseudonyms)

    def without(self, pseudonyms: Collection[str], erasure: Mapping[str, Any]) -> Self:
        """Return the list without people, with the erasure that removes them."""
        kept = tuple(pseudonym for pseudonym in self.pseudonyms if pseudonym not in pseudonyms)
        return replace(self, pseudonyms=kept, erasures=(*self.erasures, erasure))


@dataclass(frozen=True)
class PublishedModel:
    """A published model.

    Attributes:
        name: sorts by the time of publishing.
        folder: folder with its files.
        card: content of card.json: trained_at, run_id, policy, people (their number), scores, …
        people: pseudonyms of the people in its training data, without erased ones.
        erasures: the erasures of people in its training data.
    """

    name: str
    folder: Path
    card: Mapping[str, Any]
    people: pa.Array
    erasures: Sequence[Mapping[str, Any]] = ()

    @property
    def policy(self) -> str:
        """Consent policy of its training data."""
        return str(self.card["policy"])

    @property
    def erased(self) -> int:
        """Number of people whom it learned from and who were erased since."""
        return ModelPeople((), tuple(self.erasures)).erased

    @property
    def sha256(self) -> str:
        """SHA-256 of its weights, detector.onnx. If an erasure removed them: as it was before.

        Raises:
            WarehouseError: the file can't be read.
        """
        return model_sha256(self.folder, self.erasures)


@dataclass(frozen=True)
class CurrentConsent:
    """Consent policy of the newest finished run, and the pseudonyms of the people in its customers_curated."""

    policy: str
    people: pa.Array

    def staleness_reason(self, model: PublishedModel) -> str | None:
        """Why the model is stale, without names; None if it is not."""
        if model.erased:
            return erasure_reason(model.erased)
        if model.policy != self.policy:
            return f"consent policy was {model.policy} and is {self.policy}"
        missing = len(model.people) - pc.sum(pc.is_in(model.people, self.people), min_count=0).as_py()
        return f"{missing:,} of {len(model.people):,} people are no longer in customers_curated" if missing else None


def erasure_reason(people: int) -> str:
    """Why a model is stale that learned from this number of people who were erased. It stays so, whoever consents again."""
    return f"learned from {'1 person who was' if people == 1 else f'{people:,} people who were'} erased"


def model_sha256(folder: Path, erasures: Sequence[Mapping[str, Any]] = ()) -> str:
    """SHA-256 of the weights in a model's folder. If one of its erasures removed them: as it was before.

    Raises:
        WarehouseError: the file can't be read.
    """
    weights = folder / _WEIGHTS
    if erasures and not weights.exists():
        return str(erasures[-1]["sha256"])
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise WarehouseError(f"{weights} can't be read ({error.strerror}); restore it or remove the model") from error


def models_folder(settings: Settings) -> Path:
    """The models folder: the setting `models`, by default `models` in a local warehouse, else in the current folder."""
    if settings.models is not None:
        return settings.models
    warehouse = open_warehouse(settings.warehouse, settings.database)
    return warehouse.given / "models" if isinstance(warehouse, WarehouseFolder) else Path("models")


def read_current_consent(settings: Settings) -> CurrentConsent | None:
    """Read the consent as of the newest finished run; None if no run has finished.

    A withdrawal takes effect with the run that ingests it, as in every table.

    Raises:
        WarehouseError: the warehouse can't be read.
    """
    run = latest_run(open_warehouse(settings.warehouse, settings.database))
    if run is None:
        return None
    pseudonyms = query(settings, "SELECT customer_pseudonym FROM customers_curated", as_of=run.run_id)
    people = pa.chunked_array([batch.column(0) for batch in pseudonyms.batches()], pa.string())
    return CurrentConsent(run.settings.policy, people.combine_chunks())


def _require_current_consent(settings: Settings) -> CurrentConsent:
    consent = read_current_consent(settings)
    if consent is None:
        raise WarehouseError(
            f"no run has finished in {settings.warehouse} to check models for consent; start one with `stedi run`"
        )
    return consent


def read_models(folder: Path) -> list[PublishedModel]:
    """Read all published models, oldest first; none if the folder does not exist.

    Raises:
        WarehouseError: a model can't be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WarehouseError(f"models folder {folder} can't be read: {error.strerror}; check its permissions") from error
    return [_read_model(folder / name) for name in names]


def _damaged(folder: Path, error: Exception) -> WarehouseError:
    return WarehouseError(
        f"model {folder} has an invalid {CARD} or {PEOPLE} ({type(error).__name__}); restore it or remove it"
    )


def read_card(folder: Path) -> Mapping[str, Any]:
    """Read card.json of a model.

    Raises:
        WarehouseError: the file is missing or damaged.
    """
    try:
        card = json.loads((folder / CARD).read_bytes())
        if not isinstance(card["policy"], str):
            raise TypeError("no policy")
    except OSError as error:
        raise WarehouseError(f"{error.filename} can't be read ({error.strerror}); restore it or remove the model") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None
    return dict(card)


def _read_model(folder: Path) -> PublishedModel:
    card, people = read_card(folder), ModelPeople.read(folder)
    return PublishedModel(folder.name, folder, card, pa.array(people.pseudonyms, pa.string()), people.erasures)


def find_model(settings: Settings, name: str) -> PublishedModel:
    """Return a published model by its name.

    Raises:
        UsageError: there is none of this name, or it is a folder outside of the models folder.
        WarehouseError: a model can't be read.
    """
    folder = models_folder(settings)
    models = {model.name: model for model in read_models(folder)}
    if name in models:
        return models[name]
    if Path(name).is_dir():
        raise UsageError(f"model {name} is a folder; give the name of a model in {folder}, as `stedi models` shows it")
    if not models:
        raise UsageError(f"unknown model {name!r}; {folder} contains no model; {_TRAIN}")
    raise unknown_name("model", name, models)


def find_usable_model(settings: Settings, model: str | None = None) -> Path:
    """Return the folder of a model that is not stale.

    Args:
        settings: where the models and the warehouse are.
        model: name of a published model, or path of a model's folder; by default the newest that is not stale. A folder
            outside the models folder is checked for consent only if there is a finished run; a phone maker, for example,
            has a model and no warehouse.

    Raises:
        UsageError: there is no such model, or it is a file.
        WarehouseError: the model is stale, or all are; there is none; or no run has finished.
    """
    models = read_models(models_folder(settings))
    named = [published for published in models if published.name == model]
    if model is None or named:
        return _newest_usable(settings, named or models)
    folder = Path(model)
    if folder.is_file():
        raise UsageError(f"model {model} is a file; name its folder: {folder.parent}")
    if not folder.is_dir():
        if not models:
            raise UsageError(f"unknown model {model!r}; {models_folder(settings)} contains no model; {_TRAIN}")
        raise unknown_name("model", model, [published.name for published in models])
    _check_folder(settings, folder)
    return folder


def _newest_usable(settings: Settings, models: list[PublishedModel]) -> Path:
    if not models:
        raise WarehouseError(f"there is no model in {models_folder(settings)}; {_TRAIN}")
    consent = _require_current_consent(settings)
    reason = None
    for model in reversed(models):
        reason = consent.staleness_reason(model)
        if reason is None:
            return model.folder
    if len(models) == 1:
        name = models[0].name
        raise WarehouseError(f"model {name} is stale ({reason}); replace it with `stedi train --replace {name}`")
    raise WarehouseError(f"all {len(models)} models are stale ({reason}); {_TRAIN}")


def _check_folder(settings: Settings, folder: Path) -> None:
    """Check a model's folder for erased people, and for consent if there is a finished run; if it lists its people."""
    if not (folder / PEOPLE).exists():
        return
    model, consent = _read_model(folder), read_current_consent(settings)
    if reason := _staleness_reason(model, consent):
        raise WarehouseError(f"model {folder} is stale ({reason}); {_TRAIN}")


def _staleness_reason(model: PublishedModel, consent: CurrentConsent | None) -> str | None:
    """Why a model is stale; None if it is not, as far as is known without a finished run."""
    if consent is not None:
        return consent.staleness_reason(model)
    return erasure_reason(model.erased) if model.erased else None


@contextmanager
def lock_models(settings: Settings) -> Iterator[Path]:
    """Lock the models folder against other writers, and delete what killed ones left in it. Yields the folder.

    A new folder can be accessed by its owner only. Files in it are private until the context ends (see `private_files`).

    Raises:
        WarehouseBusyError: a training writes to the folder.
        WarehouseError: the folder can't be written.
    """
    models = models_folder(settings)
    with ExitStack() as resources:
        try:
            models.parent.mkdir(parents=True, exist_ok=True)
            models.mkdir(mode=0o700, exist_ok=True)
            resources.enter_context(private_files(models))
            resources.enter_context(exclusive_lock(models / ".lock"))
            for leftover in LEFTOVERS:
                shutil.rmtree(models / leftover, ignore_errors=True)
        except BlockingIOError:
            raise WarehouseBusyError(f"another training writes to {models}; wait for it to end, then try again") from None
        except OSError as error:
            raise unwritable(models, error) from error
        yield models


def unwritable(models: Path, error: OSError) -> WarehouseError:
    """Return the error for a models folder that can't be written."""
    return WarehouseError(f"models folder {models} can't be written: {error.strerror}; check its permissions and free space")


@contextmanager
def draft_folder(settings: Settings) -> Iterator[Path]:
    """Create an empty folder for a new model, and remove it afterwards unless it was published.

    Raises:
        WarehouseBusyError: another training writes to the models folder.
        WarehouseError: the folder can't be written.
    """
    with lock_models(settings) as models:
        folder = models / _DRAFT
        try:
            folder.mkdir()
        except OSError as error:
            raise unwritable(models, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def delete_replaced(model: PublishedModel) -> None:
    """Delete a replaced model: all of it for readers at once. Call it under the lock of the models folder.

    Raises:
        WarehouseError: the folder can't be written.
    """
    models = model.folder.parent
    try:
        model.folder.rename(models / _REPLACED)
        fsync(models)
        shutil.rmtree(models / _REPLACED)
    except OSError as error:
        raise unwritable(models, error) from error


def publish(settings: Settings, draft: Path, people: Iterable[str]) -> Path:
    """Publish a draft atomically; return the model's folder.

    The model is checked against the newest finished run, as people may have withdrawn during the training.

    Args:
        settings: where the models and the warehouse are.
        draft: folder with all `MODEL_FILES`.
        people: pseudonyms of all people in the training data.

    Raises:
        WarehouseError: somebody withdrew or the policy changed during the training, a file is missing, or the folder
            can't be written.
    """
    if missing := [name for name in MODEL_FILES if not (draft / name).is_file()]:
        raise WarehouseError(f"model {draft} has no {missing[0]} and is not published; {_TRAIN}")
    try:
        ModelPeople(tuple(set(people))).write(draft)
        if reason := _require_current_consent(settings).staleness_reason(_read_model(draft)):
            raise WarehouseError(f"the model is not published: {reason}; train again with `stedi train`")
        for path in draft.iterdir():
            fsync(path)
        fsync(draft)
        folder = draft.with_name(new_run_id())
        draft.rename(folder)
        fsync(folder.parent)
    except OSError as error:
        raise unwritable(draft.parent, error) from error
    return folder


def describe_models(settings: Settings) -> list[dict[str, Any]]:
    """Describe each published model for people and programs, newest first.

    Returns:
        model, trained_at, run_id, policy, people (their number, with erased ones), f1_100, count_mape, replaces (name and
        hash of the model in whose place it came, or None), stale, and why it is stale. `stale` is None if no run has
        finished to check against.

    Raises:
        WarehouseError: a model or the warehouse can't be read.
    """
    models = read_models(models_folder(settings))
    consent = read_current_consent(settings) if models else None
    return [_describe(model, consent) for model in reversed(models)]


def _describe(model: PublishedModel, consent: CurrentConsent | None) -> dict[str, Any]:
    reason = _staleness_reason(model, consent)
    scores = model.card.get("scores") or {}
    return {
        "model": model.name,
        "trained_at": model.card.get("trained_at"),
        "run_id": model.card.get("run_id"),
        "policy": model.policy,
        "people": len(model.people) + model.erased,
        "f1_100": scores.get("f1_100"),
        "count_mape": scores.get("count_mape"),
        "replaces": model.card.get("replaces"),
        "stale": None if reason is None and consent is None else reason is not None,
        "why": "no run has finished to check it against" if reason is None and consent is None else reason,
    }
