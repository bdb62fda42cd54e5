"""Detect steps: files of any phone's readings in, times of steps by user out, stretch by stretch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stedi.config import Settings, load_settings
from stedi.engines.embedded.readings import ReadingFiles
from stedi.engines.embedded.session import Session
from stedi.errors import UsageError
from stedi.ml.detector import Detector
from stedi.ml.models import usable_model
from stedi.ml.step_times import UserSteps
from stedi.ml.windows import Detects, Window, windows

# Beyond it readings are sorted on disk.
_MEMORY = "2GB"


@dataclass(frozen=True)
class Detection:
    """What is found in some files.

    Attributes:
        rows: how many rows or records the files hold.
        left_out: how many of them are no readings, by the reason's name.
        found: the steps, user by user and in order; every user comes at least once. To be read once.
    """

    rows: int
    left_out: Mapping[str, int]
    found: Iterator[UserSteps]


def detect(
    files: Path | str | Sequence[Path | str], model: str | None = None, *, settings: Settings | None = None
) -> dict[str, list[int]]:
    """Times of steps (whole ms since the epoch, UTC) by user, in order.

    Args:
        files: of accelerometer readings with user, timeStamp (ms), x, y and z, at 15 to 400 Hz; JSON
            in any layout of landing files, CSV with a header, or Parquet.
        model: name of a model, or a folder that holds one; the newest that may be used, when absent.
        settings: as `stedi.toml` and the environment have them, when absent.

    Raises:
        LandingError: a file can't be read.
        UsageError: there is no such model, or no file is given.
        WarehouseError: there is no model that may be used, or memory or disk ran out.
    """
    settings = settings or load_settings(None, {})
    given = [files] if isinstance(files, Path | str) else files
    detector = Detector.load(usable_model(settings, model))
    steps: dict[str, list[int]] = {}
    with detection([Path(file) for file in given], detector, settings) as done:
        for part in done.found:
            steps.setdefault(part.user, []).extend(part.steps_ms.tolist())
    return steps


@contextmanager
def detection(files: Sequence[Path], detector: Detects, settings: Settings) -> Iterator[Detection]:
    """Read files and detect their steps as they are asked for, in constant memory, while the context lasts.

    Raises:
        LandingError: a file can't be read.
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
        for file in files:
            readings.add(file)
        readings.number_people()
        yield Detection(readings.rows, readings.left_out, _found(readings.users(), windows(readings.samples()), detector))


def _found(users: Iterator[str], cut: Iterator[Window], detector: Detects) -> Iterator[UserSteps]:
    """Steps by user; those who have too few readings for a window have no steps."""
    window = next(cut, None)
    for number, user in enumerate(users):
        yield UserSteps(user, np.empty(0, np.int64))
        while window is not None and window.person == number:
            yield UserSteps(user, window.steps_ms(detector))
            window = next(cut, None)
