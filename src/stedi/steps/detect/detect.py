"""Detect steps: files of any phone's readings in, times of steps by user out, stretch by stretch."""

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
from stedi.model.resampling import RATE_HZ
from stedi.steps.data.step_times import UserSteps
from stedi.steps.detect.windows import Detects, Window, windows
from stedi.steps.model.detector import Detector
from stedi.steps.registry.models import usable_model

# Beyond it readings are sorted on disk, so a week takes the memory of a day. A day of 100 readings a
# second takes 27 s of CPU time with 2 GB and 35 s with 150 MB.
_MEMORY = "500MB"
# How long the mean acceleration of 5 s is beside the mean of its lengths: of 51 real recordings at least 0.84, or
# 0.55 for a phone that turns about once every 10 s; with gravity taken out as phones do (a high-pass filter
# of 0.2 to 2 Hz) at most 0.12, or 0.19 with a sensor that is off by 0.2 m/s².
_GRAVITY_SAMPLES = 5 * RATE_HZ
_LEAST_GRAVITY = 1 / 3


@dataclass
class Detection:
    """What is found in some files.

    Attributes:
        rows: how many rows or records the files hold.
        left_out: how many of them are no readings, by the reason's name.
        found: the steps, user by user and in order; every user comes at least once. To be read once.
        users: of how many people `found` has told so far.
        broken: how many of them have no unbroken second of readings, in which no step can be found.
        weightless: how many of them have readings without gravity, in which hardly any step is found.
    """

    rows: int
    left_out: Mapping[str, int]
    found: Iterator[UserSteps] = field(init=False)
    users: int = 0
    broken: int = 0
    weightless: int = 0


def detect(
    files: Path | str | Sequence[Path | str], model: str | None = None, *, settings: Settings | None = None
) -> dict[str, list[int]]:
    """Times of steps (whole ms since the epoch, UTC) by user, in order.

    Args:
        files: of accelerometer readings, gravity included, with user, timeStamp (ms), x, y and z, at 15 to 400 Hz;
            JSON in any layout of landing files, CSV with a header, or Parquet.
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
        LandingError: a file can't be read, or times are no milliseconds.
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
        done = Detection(readings.rows, readings.left_out)
        done.found = _found(done, readings.users(), windows(readings.samples()), detector)
        yield done


def _found(done: Detection, users: Iterator[str], cut: Iterator[Window], detector: Detects) -> Iterator[UserSteps]:
    """Steps by user; those who have too few readings for a window have no steps."""
    window = next(cut, None)
    for number, user in enumerate(users):
        yield UserSteps(user, np.empty(0, np.int64))
        longest = 0
        lasting = total = 0.0
        while window is not None and window.person == number:
            yield UserSteps(user, window.steps_ms(detector))
            longest = max(longest, len(window.acceleration))
            lasting += _lasting(window.acceleration)
            total += float(np.linalg.norm(window.acceleration, axis=1).sum())
            window = next(cut, None)
        done.users += 1
        done.broken += longest < RATE_HZ
        done.weightless += lasting < _LEAST_GRAVITY * total


def _lasting(acceleration: NDArray[np.float32]) -> float:
    """What of the acceleration's length (summed over samples, in its unit) is left where 5 s are averaged: gravity's.

    Rest, which without gravity may show nothing but how far the sensor is off, weighs little then beside motion.
    """
    blocks = np.add.reduceat(acceleration, np.arange(0, len(acceleration), _GRAVITY_SAMPLES), axis=0)
    return float(np.linalg.norm(blocks, axis=1).sum())
