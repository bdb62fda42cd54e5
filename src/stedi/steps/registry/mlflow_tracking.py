"""Training runs in MLflow, in the models folder or where MLFLOW_TRACKING_URI points: log them, and delete them for good."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from urllib.parse import quote, urlsplit

from stedi.errors import WarehouseError
from stedi.steps.evaluation.assessment import Assessment
from stedi.steps.evaluation.model_card import Provenance

# Must be set before MLflow is imported: no telemetry, and no log line for each table of its database.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.file_store import FileStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

_EXPERIMENT = "stedi-step-detector"
_SQLITE = "sqlite"


def log_training(models: Path, name: str, provenance: Provenance, assessment: Assessment) -> None:
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
    if (database := local_database(models)).exists():
        database.chmod(0o600)


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


def _runs(uri: str, models: Sequence[str]) -> Iterator[Run]:
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


def count_runs(models: Path, names: Sequence[str]) -> dict[str, int]:
    """Count the MLflow runs of each model, in all stores that can be reached.

    Args:
        models: the models folder.
        names: names of models.
    """
    counts = dict.fromkeys(names, 0)
    for uri in _stores(models):
        try:
            for run in _runs(uri, names):
                counts[run.info.run_name] += 1
        except (MlflowException, SQLAlchemyError):
            # `delete_runs` reports the store.
            continue
    return counts


def delete_runs(models: Path, names: Sequence[str]) -> list[str]:
    """Delete the MLflow runs of models for good: parameters, metrics, tags and artifacts, and the freed pages of SQLite.

    Args:
        models: the models folder.
        names: names of models.

    Returns:
        What can't be deleted from here, one sentence for each store.

    Raises:
        WarehouseError: the database in the models folder can't be written, for example because it is in use.
    """
    not_reached = []
    for uri in _stores(models):
        try:
            not_reached += _delete_from(uri, names)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if uri == _local_store(models):
                raise WarehouseError(
                    f"MLflow's database {local_database(models)} can't be written ({type(error).__name__}); stop programs "
                    "that use it, such as `mlflow ui`, and try again"
                ) from None
            not_reached.append(f"the MLflow store {_place(uri)} can't be reached or written ({type(error).__name__})")
    return not_reached


def _delete_from(uri: str, names: Sequence[str]) -> list[str]:
    runs = list(_runs(uri, names))
    for run in runs:
        if mlflow.MlflowClient(uri).list_artifacts(run.info.run_id):
            get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]
    store = _get_store(uri)  # type: ignore[no-untyped-call]
    if not isinstance(store, SqlAlchemyStore | FileStore):
        for run in runs:
            if run.info.lifecycle_stage == "active":
                store.delete_run(run.info.run_id)
        return [f"the MLflow server {_place(uri)} keeps deleted runs until its owner calls `mlflow gc`"] if runs else []
    for run in runs:
        # What `mlflow gc` calls. `delete_run` only marks a run as deleted.
        store._hard_delete_run(run.info.run_id)  # type: ignore[no-untyped-call]
    if isinstance(store, FileStore):
        return []
    if store.db_type != _SQLITE:
        return [f"the database of MLflow at {_place(uri)} keeps deleted rows until its next VACUUM"] if runs else []
    # Also if a killed erasure deleted the runs: deleted rows stay in free pages.
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        # Another program may have turned on the write-ahead log, which has copies of pages.
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return []
