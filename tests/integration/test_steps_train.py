"""Training on simulated feeds publishes an assessed detector; training without steps publishes nothing."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import skops.io

from stedi.config import Settings
from stedi.errors import TrainingError, UsageError
from stedi.model.progress import Progress
from stedi.query.sandbox import query
from stedi.simulate import IDEAL
from stedi.simulate.gait import POSITIONS
from stedi.simulate.landing_files import simulate
from stedi.steps.data.ground_truth import read_positions, read_true_steps
from stedi.steps.data.phone_positions import PositionSpan
from stedi.steps.data.stretches import read_stretches
from stedi.steps.evaluation.model_card import Provenance, card_json, card_markdown
from stedi.steps.features.graph import compute_features
from stedi.steps.model.examples import make_examples
from stedi.steps.model.fit import fit
from stedi.steps.model.onnx_detector import OnnxDetector
from stedi.steps.model.onnx_export import export_onnx
from stedi.steps.registry.erased_people import erase_people, plan_erasure
from stedi.steps.registry.published_models import describe_models
from stedi.steps.workflows import TrainingResult, evaluate, train
from tests.support.lake import KEY, Lake, customer, reading
from tests.support.mlflow_server import mlflow_server
from tests.support.modes import accessible, modes, open_umask


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("walkers")
    simulate(folder / "landing", replace(IDEAL, customers=24, days=1, seed=3, readings=50_000))
    return Settings.model_validate(
        {"landing": str(folder / "landing"), "warehouse": str(folder / "lakehouse"), "pseudonym_key": KEY}
    )


@pytest.fixture(scope="module")
def reports() -> list[Progress]:
    """Progress reports of the training, filled by `trained`."""
    return []


@pytest.fixture(scope="module")
def trained(settings: Settings, reports: list[Progress]) -> TrainingResult:
    positions = read_positions(settings, Path(settings.landing) / "ground_truth" / "activities.parquet")
    with open_umask():
        return train(settings, seed=7, positions=positions, progress=reports.append)


def test_progress_counts_up_to_the_total(trained: TrainingResult, reports: list[Progress]) -> None:
    assert {report.unit for report in reports} == {"", "tables", "stretches", "trees", "candidates", "methods"}
    for step in ("5-fold cross-validation", "fitting the detector"):
        trees = [report for report in reports if report.step == step]
        assert [report.done for report in trees] == list(range(1, len(trees) + 1))
        assert {report.total for report in trees} == {len(trees)}


def test_a_model_is_published_with_its_card(settings: Settings, trained: TrainingResult) -> None:
    card = json.loads((trained.folder / "card.json").read_text("utf-8"))
    people = {stretch.person for stretch in read_stretches(settings, seed=1)}
    assert card["people"] == len(people) == len(card["by_person"])
    assert set(card["snapshots"]) >= {"step_training_set", "accelerometer_trusted", "step_trainer_trusted"}
    assert card["scores"]["f1_250"] > card["above_chance"][0] > 0
    assert {"tuned peak counter", "fixed peak counter"} == set(card["baselines"])
    assert set(card["by_position"]) <= set(POSITIONS)
    assert sum(at["steps"] for at in card["by_position"].values()) == card["steps"] > 0
    assert all(0 < at["people"] <= card["people"] and at["scores"]["f1_250"] > 0.5 for at in card["by_position"].values())
    text = (trained.folder / "card.md").read_text("utf-8")
    assert all(f"| {position} | {at['people']} | " in text for position, at in card["by_position"].items())
    assert "positions are not known" not in text + json.dumps(card)
    assert not [person for person in people if person in text]
    assert [model["stale"] for model in describe_models(settings)] == [False]
    pictures = [(trained.folder / f"{name}.png").read_bytes()[:4] for name in ("stretch", "people", "calibration")]
    assert pictures == [b"\x89PNG"] * 3


def test_models_and_their_metrics_are_private(settings: Settings, trained: TrainingResult) -> None:
    warehouse = Path(settings.warehouse)
    assert {"models/mlflow.db", "models/.lock", f"models/{trained.folder.name}/detector.onnx"} <= modes(warehouse).keys()
    assert not accessible(warehouse)


def test_a_card_without_phone_positions_says_so(trained: TrainingResult) -> None:
    unknown = replace(trained.assessment, by_position={})
    origin = Provenance("today", "run", "customer", {}, 1, 1, {})
    card = card_json(origin, unknown)
    assert card["by_position"] == {}
    assert "positions are not known" in card["limits"][-1]
    assert card["limits"][-1] in card_markdown(origin, unknown)
    named = {"left | right\n": next(iter(trained.assessment.by_position.values()))}
    assert "| left \\| right | " in card_markdown(origin, replace(unknown, by_position=named))


def test_true_steps_and_positions_of_other_people_or_times_are_refused(settings: Settings, trained: TrainingResult) -> None:
    person = next(read_stretches(settings, seed=1)).person
    for given in (
        {"positions": {person: [PositionSpan(0, 1_000, "hand")]}},
        {"positions": {"nobody": [PositionSpan(0, 1e15, "hand")]}},
        {"true_steps": {person: np.array([1_000.0])}},
    ):
        with pytest.raises(UsageError, match="is within recorded motion"):
            evaluate(settings, **given)


def test_mlflow_has_the_metrics(trained: TrainingResult) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{trained.folder.parent}/mlflow.db")
    [experiment] = [known for known in client.search_experiments() if known.name == "stedi-step-detector"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == trained.folder.name
    assert run.data.metrics["detector.f1_100"] == pytest.approx(trained.assessment.metrics["detector"].f1_100)


def test_an_erasure_deletes_the_mlflow_run_for_good(
    settings: Settings, trained: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained.folder.parent, models)
    database, name = models / "mlflow.db", trained.folder.name
    people = json.loads((trained.folder / "people.json").read_text())["people"]
    copied = settings.model_copy(update={"models": models})
    assert not [person for person in people if person.encode() in database.read_bytes()]
    [planned] = plan_erasure(copied, people[:1])
    assert (planned.name, planned.mlflow_runs, planned.not_reached) == (name, 1, ())
    assert name.encode() in database.read_bytes()
    # A run that somebody deleted in MLflow is still in its database.
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    [experiment] = [known for known in client.search_experiments() if known.name == "stedi-step-detector"]
    [run] = client.search_runs([experiment.experiment_id])
    client.delete_run(run.info.run_id)
    # A row that was deleted before is still in a free page. Some builds of SQLite overwrite these with zeros, others do not.
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE notes AS SELECT ? AS note", people[:1])
        connection.execute("DROP TABLE notes")
        connection.commit()
    assert people[0].encode() in database.read_bytes()
    # A store that can't be reached is said, without its password.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    [change] = erase_people(copied, people[:1], "erasure-1")
    assert change.mlflow_runs == 1
    assert change.not_reached == ("the MLflow store http://127.0.0.1 can't be reached or written (MlflowException)",)
    content = database.read_bytes()
    assert name.encode() not in content
    assert run.info.run_id.encode() not in content
    assert not [file.name for file in models.iterdir() if file.name.startswith("mlflow.db-")]
    assert people[0].encode() not in content
    assert client.search_runs([experiment.experiment_id]) == []


def test_a_run_on_an_mlflow_server_is_deleted_as_far_as_it_can_be(
    settings: Settings, trained: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "one"
    shutil.copytree(trained.folder, folder)
    people = json.loads((folder / "people.json").read_text())["people"]
    copied = settings.model_copy(update={"models": folder.parent})
    with mlflow_server("one") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{server.server_port}")
        planned = plan_erasure(copied, people[:1])
        assert not server.is_deleted
        assert [erase_people(copied, people[:1], "erasure-1") for _ in range(2)] == [planned, planned]
        assert server.is_deleted
    assert [(change.mlflow_runs, change.not_reached) for change in planned] == [
        (1, ("the MLflow server http://127.0.0.1 keeps deleted runs until its owner calls `mlflow gc`",))
    ]


def test_the_onnx_file_gives_the_probabilities_of_the_trees(settings: Settings, trained: TrainingResult) -> None:
    path = trained.folder / "model.skops"
    trees = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    detector = OnnxDetector.load(trained.folder)
    for stretch in list(read_stretches(settings, seed=1))[:3]:
        score = trees.booster_.predict(compute_features(stretch.acceleration), raw_score=True)
        probability = detector.probability(stretch.acceleration)
        slope, offset = np.polyfit(score, np.log(probability / (1 - probability)), 1)
        assert np.abs(1 / (1 + np.exp(-(slope * score + offset))) - probability).max() < 1e-5


def test_the_file_needs_the_onnx_runtime_alone(settings: Settings, trained: TrainingResult) -> None:
    stretch = next(read_stretches(settings, seed=1))
    np.save(trained.folder.parent / "motion.npy", stretch.acceleration)
    program = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession(sys.argv[1] + '/detector.onnx')\n"
        "motion = np.load(sys.argv[1] + '/../motion.npy')\n"
        "[probability] = session.run(None, {session.get_inputs()[0].name: motion})\n"
        "assert not [name for name in sys.modules if name.startswith(('stedi', 'lightgbm', 'sklearn', 'scipy'))]\n"
        "np.save(sys.argv[1] + '/../probability.npy', probability)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(trained.folder)], check=True)
    probability = np.load(trained.folder.parent / "probability.npy")
    assert np.abs(probability - OnnxDetector.load(trained.folder).probability(stretch.acceleration)).max() < 1e-5


def test_the_same_seed_gives_the_same_file(settings: Settings) -> None:
    examples = make_examples(list(read_stretches(settings, seed=1))[:6], seed=1)
    one, other, another = (export_onnx(fit(examples, seed)) for seed in (1, 1, 2))
    assert one == other
    assert one != another


def test_true_steps_are_read_by_pseudonym(settings: Settings, trained: TrainingResult, tmp_path: Path) -> None:
    [(email,), *_] = query(settings, "SELECT email FROM customers_curated ORDER BY ALL").rows()
    path = tmp_path / "truth.csv"
    path.write_text(f"user,timeStamp\n {email.upper()},30\n{email},10\nnobody@x,5\n", "utf-8")
    truth = read_true_steps(settings, path)
    [(person,)] = query(settings, f"SELECT customer_pseudonym FROM customers_curated WHERE email = '{email}'").rows()
    assert truth[person].tolist() == [10, 30]
    for wrong in ("missing.csv", "truth.txt"):
        with pytest.raises(UsageError):
            read_true_steps(settings, tmp_path / wrong)
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(UsageError, match="user, timeStamp"):
        read_true_steps(settings, path)


def test_without_steps_nothing_is_published(lake: Lake) -> None:
    lake.land("customer/1.json", [customer("a@x", 10, shares=10)])
    lake.land("accelerometer/1.json", [reading("a@x", 20 * t) for t in range(500)])
    with pytest.raises(TrainingError, match="of 0 people show steps, and at least 3 are needed"):
        train(lake.settings)
    assert describe_models(lake.settings) == []


def test_random_feeds_give_no_model(public_landing_set: Path, lake: Lake) -> None:
    settings = lake.settings.model_copy(update={"landing": str(public_landing_set)})
    with pytest.raises(TrainingError, match=r"no better than chance.*95% interval 0\.\d+ to 0\.\d+"):
        train(settings)
