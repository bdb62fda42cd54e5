"""Train a detector on what the lakehouse holds, prove it on people set aside, and publish it with its card."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import skops.io

from stedi.catalog.run_log import latest_run
from stedi.config import Settings
from stedi.errors import TrainingError
from stedi.pipeline import run
from stedi.steps.data.positions import Positions
from stedi.steps.data.stretches import read_stretches
from stedi.steps.data.true_steps import Truth
from stedi.steps.evaluation.assessment import Assessment, assess, refuse_what_is_elsewhere
from stedi.steps.evaluation.card import Origin, card_json, card_text
from stedi.steps.evaluation.chance import coincidence_skill
from stedi.steps.evaluation.plots import draw
from stedi.steps.model.detector import FILE_NAME
from stedi.steps.model.export import detector_file
from stedi.steps.model.training import FEWEST_PEOPLE, Example, Unseen, examples, fit, on_unseen_people
from stedi.steps.registry.models import draft, models_folder, publish
from stedi.steps.registry.tracking import track
from stedi.storage import open_warehouse
from stedi.tables.registry import BY_NAME, REFRESHED

Progress = Callable[[str], None]

TRAINING_SET = "step_training_set"
# Random feeds are never quite so: the public landing set, all of it made by chance, has 0.508 (0.503 to 0.512).
_TELLS_NOTHING = 0.52
_LIBRARIES = ("stedi", "lightgbm", "scikit-learn", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Trained:
    """A published model: its folder, and how good it is on people set aside."""

    folder: Path
    assessment: Assessment


def prepared(settings: Settings, seed: int, progress: Progress) -> list[Example]:
    """The examples to learn from, after a run that brings the training set, and consent, up to date.

    Raises:
        TrainingError: there are no steps, or of too few people.
        StediError: the run fails.
    """
    report = run(settings, select=[table.name for table in REFRESHED], progress=progress)
    if report.failed:
        first = report.failed[0]
        raise TrainingError(f"the training set is not up to date: {first.table} breaks {first.rule}; see `stedi quality`")
    progress("reading the training set")
    stretches = list(read_stretches(settings, seed))
    walkers = {stretch.person for stretch in stretches if len(stretch.steps_ms)}
    if len(walkers) < FEWEST_PEOPLE:
        raise TrainingError(_nothing_to_learn(settings, len(walkers), seed))
    progress("looking at the motion")
    return examples(stretches, seed)


def _nothing_to_learn(settings: Settings, walkers: int, seed: int) -> str:
    found = f"nothing to learn: steps show in the distance of {walkers} people, and at least {FEWEST_PEOPLE} are needed"
    skill = coincidence_skill(settings, seed)
    if skill is None:
        return f"{found}; land readings of more people whose phone and step trainer record together"
    area, low, high, people = skill
    if low < _TELLS_NOTHING:
        return (
            f"{found}; of the coinciding readings of {people:,} people a phone's tell no better than chance, which is 0.5, "
            f"what is near the sensor (area under the ROC curve {area:.3f}, 95% interval {low:.3f} to {high:.3f})"
        )
    return (
        f"{found}; coinciding readings tell something (area under the ROC curve {area:.3f}, 95% interval {low:.3f} to "
        f"{high:.3f}), but they are too far apart to see steps in: record at least 15 readings a second"
    )


def train(
    settings: Settings, *, seed: int = 1, positions: Positions | None = None, progress: Progress = lambda _: None
) -> Trained:
    """Train, prove and publish a detector.

    The same training set and seed give the same model, bit for bit, on one machine.

    Args:
        settings: where the tables are, and where models go.
        seed: random seed.
        positions: where phones were, for the card alone; nothing is learnt from it.
        progress: told of what is being done.

    Raises:
        TrainingError: there is nothing to learn, or nothing better than chance.
        UsageError: positions are told, and none of what was recorded.
        WarehouseError: somebody withdrew meanwhile, or the models folder can't be written.
        StediError: the run before fails.
    """
    learnt = prepared(settings, seed, progress)
    refuse_what_is_elsewhere([each.stretch for each in learnt], None, positions)
    with draft(settings) as folder:
        unseen = on_unseen_people(learnt, seed, progress)
        done = assess(unseen, seed, positions=positions)
        low, high = done.above_chance
        if not low > 0:
            raise TrainingError(
                "nothing to learn: on people set aside the detector is no better than its own steps at wrong times "
                f"(F1 at ±0.1 s differs by {low:.3f} to {high:.3f}, 95% interval over {done.people} people)"
            )
        people = {each.stretch.person for each in learnt}
        model = fit(learnt, seed, progress)
        progress("publishing")
        origin = _origin(settings, len(people), seed)
        (folder / FILE_NAME).write_bytes(detector_file(model))
        skops.io.dump(model.trees, folder / "model.skops")
        (folder / "card.json").write_text(json.dumps(card_json(origin, done), indent=1), "utf-8")
        (folder / "card.md").write_text(card_text(origin, done), "utf-8")
        draw(unseen, done, folder)
        published = publish(settings, folder, people)
    track(models_folder(settings), published.name, origin, done)
    return Trained(published, done)


def evaluated(
    settings: Settings,
    *,
    seed: int = 1,
    truth: Truth | None = None,
    positions: Positions | None = None,
    progress: Progress = lambda _: None,
) -> list[Unseen]:
    """What detectors say of each person that learnt from the others; see `stedi.steps.evaluation.assessment.assess`.

    Raises:
        TrainingError: there is nothing to learn.
        UsageError: truth or positions are told, and none of what was recorded.
        StediError: the run before fails.
    """
    learnt = prepared(settings, seed, progress)
    refuse_what_is_elsewhere([each.stretch for each in learnt], truth, positions)
    return on_unseen_people(learnt, seed, progress)


def _origin(settings: Settings, people: int, seed: int) -> Origin:
    last = latest_run(open_warehouse(settings.warehouse, settings.database))
    assert last is not None
    seen = (TRAINING_SET, *BY_NAME[TRAINING_SET].inputs)
    return Origin(
        datetime.now(UTC).isoformat(timespec="seconds"),
        last.run_id,
        last.settings.policy,
        {name: last.snapshots[name] for name in seen if name in last.snapshots},
        people,
        seed,
        {library: version(library) for library in _LIBRARIES},
    )
