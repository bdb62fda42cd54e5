"""Log training runs to MLflow: in the models folder, or where MLFLOW_TRACKING_URI points."""

import os
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from urllib.parse import quote

from stedi.steps.evaluation.assessment import Assessment
from stedi.steps.evaluation.model_card import Provenance

# Must be set before MLflow is imported: no telemetry, and no log line for each table of its database.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow

_EXPERIMENT = "stedi-step-detector"


def log_training(models: Path, name: str, provenance: Provenance, assessment: Assessment) -> None:
    """Log the parameters and metrics of a published model, but neither its people nor its files.

    The files are in the models folder only, so deleting a model there deletes all of it.

    Args:
        models: the models folder.
        name: the model's name.
        provenance: what it was trained on.
        assessment: its metrics on held-out people.
    """
    client = mlflow.MlflowClient(
        os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{quote(str(models.resolve()))}/mlflow.db"
    )
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
