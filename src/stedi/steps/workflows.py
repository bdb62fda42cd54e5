"""Training and evaluation from the tables: refresh the training set, cross-validate, fit, publish."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from stedi.catalog.run_log import latest_run
from stedi.config import Settings
from stedi.errors import TrainingError
from stedi.model.progress import Progress, Report
from stedi.pipeline import run
from stedi.steps.data.ground_truth import TrueSteps
from stedi.steps.data.phone_positions import Positions
from stedi.steps.data.stretches import Stretch, read_stretches
from stedi.steps.evaluation.assessment import Assessment, assess, check_overlap
from stedi.steps.evaluation.coincidence import coincidence_auc
from stedi.steps.evaluation.cross_validation import MIN_PEOPLE, HeldOut, cross_validate
from stedi.steps.evaluation.model_card import Provenance, card_json, card_markdown
from stedi.steps.evaluation.plots import draw
from stedi.steps.model.examples import Example, make_examples
from stedi.steps.model.fit import FittedDetector, TreeCounter, fit
from stedi.steps.model.onnx_detector import FILE_NAME
from stedi.steps.model.onnx_export import export_onnx
from stedi.steps.model.skops_export import export_skops
from stedi.steps.registry.mlflow_tracking import log_training
from stedi.steps.registry.published_models import (
    PublishedModel,
    delete_replaced,
    draft_folder,
    model_sha256,
    models_folder,
    publish,
)
from stedi.steps.registry.replacement import Replacement, model_to_replace, replaces
from stedi.storage import open_warehouse
from stedi.storage.disk import private_files
from stedi.tables.registry import BY_NAME, REFRESHED

TRAINING_SET = "step_training_set"
# Below this area under the ROC curve, phone readings do not predict distances. The threshold is above 0.5 because random
# feeds are not quite at chance: the public landing set, all of it random, has 0.508 (0.503 to 0.512).
_MIN_AUC = 0.52
_LIBRARIES = ("stedi", "lightgbm", "scikit-learn", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        folder: folder of the published model.
        assessment: its assessment on held-out people.
        replacement: the model in whose place it came, if there is one.
    """

    folder: Path
    assessment: Assessment
    replacement: Replacement | None = None


@dataclass(frozen=True)
class Evaluation:
    """Detections on held-out people, and their assessment."""

    held_out: list[HeldOut]
    assessment: Assessment


def load_examples(settings: Settings, seed: int, progress: Report) -> list[Example]:
    """Run the pipeline, so that training set and consent are current, then compute the features of the training set.

    Raises:
        TrainingError: an error-level rule is violated, or fewer than three people have steps.
        StediError: the run fails.
    """
    report = run(settings, select=[table.name for table in REFRESHED], progress=progress)
    if report.failed:
        rule = report.failed[0]
        raise TrainingError(f"the training set is not current: {rule.table} violates {rule.rule}; see `stedi quality`")
    stretches: list[Stretch] = []
    for stretch in read_stretches(settings, seed):
        stretches.append(stretch)
        progress(Progress("reading the training set", len(stretches), None, "stretches"))
    people = {stretch.person for stretch in stretches if len(stretch.steps_ms)}
    if len(people) < MIN_PEOPLE:
        raise TrainingError(_too_few_steps(settings, len(people), seed))
    return make_examples(stretches, seed, progress)


def _too_few_steps(settings: Settings, people: int, seed: int) -> str:
    """Message for a training set without enough steps, with the likely reason."""
    problem = f"nothing to train on: the distances of {people} people show steps, and at least {MIN_PEOPLE} are needed"
    result = coincidence_auc(settings, seed)
    if result is None:
        return f"{problem}; ingest readings of more people whose phone and step trainer record at the same time"
    interval = f"area under the ROC curve {result.auc:.3f}, 95% interval {result.low:.3f} to {result.high:.3f}"
    if result.low < _MIN_AUC:
        return (
            f"{problem}; phone readings of {result.people:,} people predict the coinciding distances no better than "
            f"chance, which is 0.5 ({interval})"
        )
    return (
        f"{problem}; phone readings predict the coinciding distances ({interval}), but are too far apart to show steps: "
        "record at least 15 readings a second"
    )


def replace(
    settings: Settings, name: str, *, positions: Positions | None = None, progress: Report = lambda _: None
) -> TrainingResult:
    """Train a detector with the seed and policy of a model's card, on the people who consent today, and put it in its place.

    The files of the new detector are those of a model that never had the people who are missing now, byte for byte. The old
    model is deleted once the new one is published. A kill leaves the old one or both: see `complete_replacement`.

    Args:
        settings: where the tables and the models are.
        name: name of the model to replace. It need not be stale.
        positions: phone positions, only for the metrics on the model card.
        progress: receives progress reports.

    Raises:
        UsageError: there is no such model, it has another policy, or no position is within the training set.
        StediError: the training fails. The old model stays.
    """
    model = model_to_replace(settings, name)
    return train(settings, seed=model.card["seed"], positions=positions, replaced=model, progress=progress)


def train(
    settings: Settings,
    *,
    seed: int = 1,
    positions: Positions | None = None,
    replaced: PublishedModel | None = None,
    progress: Report = lambda _: None,
) -> TrainingResult:
    """Train a detector, assess it on held-out people, and publish it.

    On one machine the same training set and seed give the same detector, bit for bit.

    Args:
        settings: where the tables and the models are.
        seed: random seed.
        positions: phone positions, only for the metrics on the model card.
        replaced: model to delete once the new one is published.
        progress: receives progress reports.

    Raises:
        TrainingError: there are too few steps, or the detector is no better than chance.
        UsageError: no position is at a time and of a person in the training set.
        WarehouseError: somebody withdrew during the training, or the models folder can't be written.
        StediError: the pipeline run fails.
    """
    examples = load_examples(settings, seed, progress)
    check_overlap([example.stretch for example in examples], None, positions)
    with draft_folder(settings) as folder:
        held_out = cross_validate(examples, seed, progress)
        assessment = assess(held_out, seed, positions=positions, progress=progress)
        low, high = assessment.above_chance
        if not low > 0:
            raise TrainingError(
                "nothing to train on: on held-out people the detector is no better than its own steps at shifted times "
                f"(F1 at ±0.1 s differs by {low:.3f} to {high:.3f}, 95% interval over {assessment.people} people)"
            )
        people = {example.stretch.person for example in examples}
        detector = fit(examples, seed, TreeCounter(progress, "fitting the detector", [len(people)]).add)
        progress(Progress("publishing"))
        provenance = _provenance(settings, len(people), seed, replaced)
        _write_model(folder, detector, provenance, assessment)
        draw(held_out, assessment, folder)
        published = publish(settings, folder, people)
        if replaced is not None:
            delete_replaced(replaced)
    with private_files(models_folder(settings)):
        log_training(models_folder(settings), published.name, provenance, assessment)
    return TrainingResult(published, assessment, _replacement(provenance, published))


def _replacement(provenance: Provenance, published: Path) -> Replacement | None:
    old = provenance.replaces
    return Replacement(old["model"], old["sha256"], published.name, model_sha256(published)) if old else None


def _write_model(folder: Path, detector: FittedDetector, provenance: Provenance, assessment: Assessment) -> None:
    (folder / FILE_NAME).write_bytes(export_onnx(detector))
    (folder / "model.skops").write_bytes(export_skops(detector.trees))
    (folder / "card.json").write_text(json.dumps(card_json(provenance, assessment), indent=1), "utf-8")
    (folder / "card.md").write_text(card_markdown(provenance, assessment), "utf-8")


def evaluate(
    settings: Settings,
    *,
    seed: int = 1,
    true_steps: TrueSteps | None = None,
    positions: Positions | None = None,
    progress: Report = lambda _: None,
) -> Evaluation:
    """Cross-validate a detector by person. Publishes nothing.

    Args:
        settings: where the tables are.
        seed: random seed.
        true_steps: step times to compare with instead of those of the training set.
        positions: phone positions, for metrics by position.
        progress: receives progress reports.

    Raises:
        TrainingError: there are too few steps.
        UsageError: no true step, or no position, is at a time and of a person in the training set.
        StediError: the pipeline run fails.
    """
    examples = load_examples(settings, seed, progress)
    check_overlap([example.stretch for example in examples], true_steps, positions)
    held_out = cross_validate(examples, seed, progress)
    return Evaluation(held_out, assess(held_out, seed, true_steps, positions, progress))


def _provenance(settings: Settings, people: int, seed: int, replaced: PublishedModel | None) -> Provenance:
    last_run = latest_run(open_warehouse(settings.warehouse, settings.database))
    assert last_run is not None
    tables = (TRAINING_SET, *BY_NAME[TRAINING_SET].inputs)
    return Provenance(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=last_run.run_id,
        policy=last_run.settings.policy,
        snapshots={name: last_run.snapshots[name] for name in tables if name in last_run.snapshots},
        people=people,
        seed=seed,
        versions={library: version(library) for library in _LIBRARIES},
        replaces=replaces(replaced) if replaced else None,
    )
