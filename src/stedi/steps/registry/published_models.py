"""The models folder: published models, and which of them are stale.

A model is published atomically: its files are written to a draft folder, which is then renamed. `people.json` lists the
pseudonyms of the people in its training data. Only the file's owner can read it. A model is stale if one of these people
is no longer in customers_curated, or if the consent policy changed. Stale models are refused, because a model must not
outlast the consent of the people it was trained on.
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
from stedi.storage.disk import atomic_write, exclusive_lock, fsync, private_files

MODEL_FILES = ("detector.onnx", "model.skops", "card.md", "card.json")
_CARD, _PEOPLE = "card.json", "people.json"
_DRAFT = ".draft"
_TRAIN = "train one with `stedi train`"


@dataclass(frozen=True)
class PublishedModel:
    """A published model.

    Attributes:
        name: sorts by the time of publishing.
        folder: folder with its files.
        card: content of card.json: trained_at, run_id, policy, people (their number), scores, …
        people: pseudonyms of the people in its training data.
    """

    name: str
    folder: Path
    card: Mapping[str, Any]
    people: pa.Array

    @property
    def policy(self) -> str:
        """Consent policy of its training data."""
        return str(self.card["policy"])


@dataclass(frozen=True)
class CurrentConsent:
    """Consent policy of the newest finished run, and the pseudonyms of the people in its customers_curated."""

    policy: str
    people: pa.Array

    def staleness_reason(self, model: PublishedModel) -> str | None:
        """Why the model is stale, without names; None if it is not."""
        if model.policy != self.policy:
            return f"consent policy was {model.policy} and is {self.policy}"
        missing = len(model.people) - pc.sum(pc.is_in(model.people, self.people), min_count=0).as_py()
        return f"{missing:,} of {len(model.people):,} people are no longer in customers_curated" if missing else None


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


def _read_model(folder: Path) -> PublishedModel:
    try:
        card = json.loads((folder / _CARD).read_bytes())
        people = pa.array(json.loads((folder / _PEOPLE).read_bytes())["people"], pa.string())
        if not isinstance(card["policy"], str):
            raise TypeError("no policy")
    except OSError as error:
        # Without the list of its people, a model can't be checked for consent.
        raise WarehouseError(f"{error.filename} can't be read ({error.strerror}); restore it or remove the model") from error
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise WarehouseError(
            f"model {folder} has an invalid {_CARD} or {_PEOPLE} ({type(error).__name__}); restore it or remove it"
        ) from None
    return PublishedModel(folder.name, folder, card, people)


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
    which = f"model {models[0].name} is" if len(models) == 1 else f"all {len(models)} models are"
    raise WarehouseError(f"{which} stale ({reason}); {_TRAIN}")


def _check_folder(settings: Settings, folder: Path) -> None:
    """Check a model's folder for consent, if it lists its people and there is a finished run."""
    consent = read_current_consent(settings)
    if consent is not None and (folder / _PEOPLE).exists() and (reason := consent.staleness_reason(_read_model(folder))):
        raise WarehouseError(f"model {folder} is stale ({reason}); {_TRAIN}")


@contextmanager
def draft_folder(settings: Settings) -> Iterator[Path]:
    """Create an empty folder for a new model, and remove it afterwards unless it was published.

    Raises:
        WarehouseBusyError: another training writes to the models folder.
        WarehouseError: the folder can't be written.
    """
    models = models_folder(settings)
    folder = models / _DRAFT
    with ExitStack() as resources:
        try:
            resources.enter_context(private_files(models))
            models.mkdir(parents=True, exist_ok=True)
            resources.enter_context(exclusive_lock(models / ".lock"))
            # Left from a killed training.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        except BlockingIOError:
            raise WarehouseBusyError(f"another training writes to {models}; wait for it to end, then train again") from None
        except OSError as error:
            raise WarehouseError(
                f"models folder {models} can't be written: {error.strerror}; check its permissions and free space"
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


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
    pseudonyms = sorted(set(people))
    try:
        with atomic_write(draft / _PEOPLE, mode=0o600) as file:
            file.write(json.dumps({"people": pseudonyms}).encode())
        if reason := _require_current_consent(settings).staleness_reason(_read_model(draft)):
            raise WarehouseError(f"the model is not published: {reason}; train again with `stedi train`")
        for path in (*draft.iterdir(), draft):
            fsync(path)
        folder = draft.with_name(new_run_id())
        draft.rename(folder)
        fsync(folder.parent)
    except OSError as error:
        raise WarehouseError(
            f"models folder {draft.parent} can't be written: {error.strerror}; check its permissions and free space"
        ) from error
    return folder


def describe_models(settings: Settings) -> list[dict[str, Any]]:
    """Describe each published model for people and programs, newest first.

    Returns:
        model, trained_at, run_id, policy, people (their number), f1_100, count_mape, stale, and why it is stale. `stale`
        is None if no run has finished to check against.

    Raises:
        WarehouseError: a model or the warehouse can't be read.
    """
    models = read_models(models_folder(settings))
    consent = read_current_consent(settings) if models else None
    return [_describe(model, consent) for model in reversed(models)]


def _describe(model: PublishedModel, consent: CurrentConsent | None) -> dict[str, Any]:
    reason = consent.staleness_reason(model) if consent else "no run has finished to check it against"
    scores = model.card.get("scores") or {}
    return {
        "model": model.name,
        "trained_at": model.card.get("trained_at"),
        "run_id": model.card.get("run_id"),
        "policy": model.policy,
        "people": len(model.people),
        "f1_100": scores.get("f1_100"),
        "count_mape": scores.get("count_mape"),
        "stale": reason is not None if consent else None,
        "why": reason,
    }
