"""What was trained and how good it was, in MLflow: beside the models, or where MLFLOW_TRACKING_URI says."""

import os
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from urllib.parse import quote

from stedi.steps.evaluation.assessment import Assessment
from stedi.steps.evaluation.card import Origin

# Before it is imported: nothing is told to anybody, nor of every table that it makes for itself.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow

_EXPERIMENT = "stedi-step-detector"


def track(models: Path, name: str, origin: Origin, done: Assessment) -> None:
    """Record a published model: what it came from and its figures, none of which names anybody.

    Files stay in the models folder alone, where they go when a model has to go.
    """
    client = mlflow.MlflowClient(
        os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{quote(str(models.resolve()))}/mlflow.db"
    )
    known = client.get_experiment_by_name(_EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(_EXPERIMENT)
    run_id = client.create_run(experiment, run_name=name).info.run_id
    for key, value in {"seed": origin.seed, "policy": origin.policy, "people": origin.people, "run": origin.run_id}.items():
        client.log_param(run_id, key, value)
    for table, snapshot in origin.snapshots.items():
        client.log_param(run_id, f"snapshot.{table}", snapshot)
    for method, figures in done.scores.items():
        for key, value in asdict(figures).items():
            if isfinite(value):
                client.log_metric(run_id, f"{method.replace(' ', '_')}.{key}", value)
    client.set_terminated(run_id)
