"""Training runs in MLflow, in the models folder or where MLFLOW_TRACKING_URI points: log them, and delete them for good."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from stedi.errors import WarehouseError

if TYPE_CHECKING:
    from stedi.steps.evaluation.assessment import Assessment
    from stedi.steps.evaluation.model_card import Provenance

# Must be set before MLflow is imported: no telemetry, and no log line for each table of its database. With seven retries,
# MLflow's default, it takes four minutes to notice that a server does not answer.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.file_store import FileStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

_EXPERIMENT = "stedi-step-detector"
_SQLITE = "sqlite"


def log_training(models: Path, name: str, provenance: "Provenance", assessment: "Assessment") -> None:
    """Log the parameters and metrics of a published model, but neither its people nor its files.

    The files are in the models folder only, so deleting a model there deletes all of it.

    Args:
        models: the models folder.
        name: the model's name.
        provenance: what it was trained on.
        assessment: its metrics on held-out people.
    """
    client = mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or _local_store(models))
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT)
    run_id = client.create_run(experiment_id, run_name=name).info.run_id
    parameters = {
        "seed": provenance.seed,
        "policy": provenance.policy,
        "people": provenance.people,
        "run": provenance.run_id,
        **{f"snapshot.{table}": snapshot for table, snapshot in provenance.snapshots.items()},
    }
    for key, parameter in parameters.items():
        client.log_param(run_id, key, parameter)
    for method, metrics in assessment.metrics.items():
        for key, value in asdict(metrics).items():
            if isfinite(value):
                client.log_metric(run_id, f"{method.replace(' ', '_')}.{key}", value)
    client.set_terminated(run_id)


def local_database(models: Path) -> Path:
    """MLflow's database in the models folder. It does not exist if all trainings were logged elsewhere."""
    return models.resolve() / "mlflow.db"


def _local_store(models: Path) -> str:
    return f"sqlite:///{quote(str(local_database(models)))}"


def _stores(models: Path) -> list[str]:
    """URIs of the stores that may have runs of the models: today's, and the database in the models folder."""
    local = [_local_store(models)] if local_database(models).exists() else []
    return list(dict.fromkeys([*local, *filter(None, [os.environ.get("MLFLOW_TRACKING_URI")])]))


def _place(uri: str) -> str:
    """A store's URI for people, without user and password."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else parts.path or uri


def _runs(uri: str, models: Collection[str]) -> Iterator[Run]:
    """All runs of the models in a store, deleted ones too."""
    client = mlflow.MlflowClient(uri)
    experiments = client.search_experiments(view_type=ViewType.ALL, filter_string=f"name = '{_EXPERIMENT}'")
    for experiment in experiments:
        token: str | None = None
        while True:
            page = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, page_token=token)
            yield from (run for run in page if run.info.run_name in models)
            token = page.token
            if not token:
                break


@dataclass(frozen=True)
class TrackedRuns:
    """MLflow runs of models, in all stores that can be reached.

    Attributes:
        counts: number of runs of each model, by its name.
        not_reached: what can't be deleted from here, one sentence for each store.
    """

    counts: Mapping[str, int]
    not_reached: tuple[str, ...]


def find_runs(models: Path, names: Collection[str]) -> TrackedRuns:
    """Find the MLflow runs of models, in today's store and in the models folder. Changes nothing.

    Args:
        models: the models folder.
        names: names of models.

    Raises:
        WarehouseError: the database in the models folder can't be read.
    """
    counts: Counter[str] = Counter()

    def count(uri: str, runs: list[Run]) -> None:
        counts.update(run.info.run_name for run in runs)

    return TrackedRuns(counts, _visit_stores(models, names, count))


def delete_runs(models: Path, names: Collection[str]) -> tuple[str, ...]:
    """Delete the MLflow runs of models for good: parameters, metrics, tags and artifacts, and the free pages of SQLite.

    Args:
        models: the models folder.
        names: names of models.

    Returns:
        What can't be deleted from here, one sentence for each store.

    Raises:
        WarehouseError: the database in the models folder can't be written, for example because it is in use.
    """
    return _visit_stores(models, names, _delete)


def _visit_stores(models: Path, names: Collection[str], visit: Callable[[str, list[Run]], None]) -> tuple[str, ...]:
    """Call a function with each store and its runs of the models. Returns what can't be deleted from here."""
    not_reached = []
    for uri in _stores(models):
        try:
            runs = list(_runs(uri, names))
            visit(uri, runs)
            not_reached += _remains(uri) if runs else []
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if uri == _local_store(models):
                raise WarehouseError(
                    f"MLflow's database {local_database(models)} can't be read or written ({type(error).__name__}); stop "
                    "programs that use it, such as `mlflow ui`, and try again"
                ) from None
            not_reached.append(f"the MLflow store {_place(uri)} can't be reached or written ({type(error).__name__})")
    return tuple(not_reached)


def _remains(uri: str) -> list[str]:
    """What a store keeps of deleted runs."""
    store = _get_store(uri)  # type: ignore[no-untyped-call]
    if isinstance(store, FileStore) or (isinstance(store, SqlAlchemyStore) and store.db_type == _SQLITE):
        return []
    if isinstance(store, SqlAlchemyStore):
        return [f"the database of MLflow at {_place(uri)} keeps deleted rows until its next VACUUM"]
    return [f"the MLflow server {_place(uri)} keeps deleted runs until its owner calls `mlflow gc`"]


def _delete(uri: str, runs: list[Run]) -> None:
    store = _get_store(uri)  # type: ignore[no-untyped-call]
    for run in runs:
        if mlflow.MlflowClient(uri).list_artifacts(run.info.run_id):
            get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]
        if isinstance(store, SqlAlchemyStore | FileStore):
            # What `mlflow gc` calls. `delete_run` only marks a run as deleted.
            store._hard_delete_run(run.info.run_id)  # type: ignore[no-untyped-call]
        elif run.info.lifecycle_stage == LifecycleStage.ACTIVE:
            store.delete_run(run.info.run_id)
    if isinstance(store, SqlAlchemyStore) and store.db_type == _SQLITE:
        # Even if there are no runs: a killed erasure may have deleted them.
        _vacuum(store)


def _vacuum(store: SqlAlchemyStore) -> None:
    """Overwrite the database with a copy that has no free pages: SQLite keeps deleted rows in them."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        # Another program may have turned on the write-ahead log, which has copies of pages.
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
