"""Detection of steps in files of readings from any phone, in constant memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stedi.compute.duckdb.reading_files import ReadingFiles
from stedi.compute.duckdb.session import Session
from stedi.config import Settings, load_settings
from stedi.errors import UsageError
from stedi.model.progress import Progress, Report
from stedi.model.resampling import RATE_HZ
from stedi.steps.detect.step_file import UserSteps
from stedi.steps.detect.windows import StepDetector, Window, cut_windows
from stedi.steps.model.onnx_detector import OnnxDetector
from stedi.steps.registry.published_models import find_usable_model

# Readings beyond it are sorted on disk, so a week takes the memory of a day. A day at 100 Hz takes 27 s of CPU time with
# 2 GB and 35 s with 150 MB.
_MEMORY = "500MB"
# Readings contain gravity if the mean vector over 5 s is on average at least a third as long as the vectors themselves. In
# 51 real recordings it is at least 0.84 times as long, and 0.55 times for a phone that turns every 10 s. Without gravity
# (a high-pass filter of 0.2 to 2 Hz, as in phones) it is at most 0.12 times, or 0.19 with a sensor bias of 0.2 m/s².
_GRAVITY_SAMPLES = 5 * RATE_HZ
_MIN_GRAVITY_SHARE = 1 / 3


@dataclass
class Detection:
    """Steps in files. The numbers of users are complete once `steps` has been read to its end.

    Attributes:
        rows: number of rows or records in the files.
        left_out: number of rows that are not valid readings, by reason.
        steps: the steps, user by user in order; each user at least once, even without steps. Can be read only once.
        users: number of users read so far.
        users_without_second: users without one uninterrupted second of readings, in which no step can be detected.
        users_without_gravity: users whose readings lack gravity, in which hardly any step is detected.
    """

    rows: int
    left_out: Mapping[str, int]
    steps: Iterator[UserSteps] = field(init=False)
    users: int = 0
    users_without_second: int = 0
    users_without_gravity: int = 0


def detect(
    files: Path | str | Sequence[Path | str], model: str | None = None, *, settings: Settings | None = None
) -> dict[str, list[int]]:
    """Detect the steps in files of accelerometer readings.

    Args:
        files: readings with gravity at 15 to 400 Hz: user, timeStamp (ms), x, y and z, as JSON in any layout of landing
            files, CSV with a header, or Parquet.
        model: name of a published model, or folder of a model; by default the newest that is not stale.
        settings: by default those of `stedi.toml` and the environment.

    Returns:
        Step times by user, in whole ms since the epoch (UTC), sorted.

    Raises:
        LandingError: a file can't be read.
        UsageError: there is no such model, or no file is given.
        WarehouseError: there is no usable model, or memory or disk ran out.
    """
    settings = settings or load_settings(None, {})
    paths = [files] if isinstance(files, Path | str) else files
    detector = OnnxDetector.load(find_usable_model(settings, model))
    steps: dict[str, list[int]] = {}
    with open_detection([Path(path) for path in paths], detector, settings) as result:
        for part in result.steps:
            steps.setdefault(part.user, []).extend(part.steps_ms.tolist())
    return steps


@contextmanager
def open_detection(
    files: Sequence[Path], detector: StepDetector, settings: Settings, progress: Report = lambda _: None
) -> Iterator[Detection]:
    """Read files, and detect their steps while `Detection.steps` is read within the context.

    Args:
        files: readings, as for `detect`.
        detector: detector to run.
        settings: memory limit and threads.
        progress: receives the number of files read, then of windows searched (of 20 minutes each).

    Raises:
        LandingError: a file can't be read, or its times are not in milliseconds.
        UsageError: no file is given.
        WarehouseError: memory or disk ran out.
    """
    if not files:
        raise UsageError("no file is given; name at least one file of readings")
    with (
        TemporaryDirectory(prefix="stedi-detect-") as folder,
        Session(scratch=Path(folder), memory_limit=settings.memory_limit or _MEMORY, threads=settings.threads) as session,
    ):
        readings = ReadingFiles(session)
        for number, file in enumerate(files):
            progress(Progress("reading files", number, len(files), "files"))
            readings.add(file)
        progress(Progress("sorting readings"))
        readings.number_people()
        result = Detection(readings.rows, readings.left_out)
        result.steps = _detect_users(result, readings.users(), cut_windows(readings.samples()), detector, progress)
        yield result


def _detect_users(
    result: Detection, users: Iterator[str], windows: Iterator[Window], detector: StepDetector, progress: Report
) -> Iterator[UserSteps]:
    """Detect the steps of each user, and count the users with unsuitable readings."""
    window = next(windows, None)
    searched = 0
    for number, user in enumerate(users):
        # For users without a window.
        yield UserSteps(user, np.empty(0, np.int64))
        longest_samples = 0
        gravity = total = 0.0
        while window is not None and window.person == number:
            progress(Progress("detecting steps", searched, None, "windows"))
            yield UserSteps(user, window.detect(detector))
            searched += 1
            longest_samples = max(longest_samples, len(window.acceleration))
            gravity += _gravity(window.acceleration)
            total += float(np.linalg.norm(window.acceleration, axis=1).sum())
            window = next(windows, None)
        result.users += 1
        result.users_without_second += longest_samples < RATE_HZ
        result.users_without_gravity += gravity < _MIN_GRAVITY_SHARE * total


def _gravity(acceleration: NDArray[np.float32]) -> float:
    """Sum over blocks of 5 s of the length of the summed acceleration.

    Motion averages out within a block, gravity does not. Without gravity, a phone at rest measures only the sensor's bias,
    which is small compared with motion.
    """
    blocks = np.add.reduceat(acceleration, np.arange(0, len(acceleration), _GRAVITY_SAMPLES), axis=0)
    return float(np.linalg.norm(blocks, axis=1).sum())
