"""Output of detected steps as JSON or Parquet. Steps are written as they are detected."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import groupby
from os.path import realpath
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stedi.errors import UsageError, WarehouseError
from stedi.storage.disk import atomic_write

_SCHEMA = pa.schema(
    [pa.field("user", pa.string(), nullable=False), pa.field("timeStamp", pa.int64(), nullable=False)],
)
# A few megabytes. Readers can skip row groups.
_ROW_GROUP_ROWS = 200_000


@dataclass(frozen=True)
class UserSteps:
    """Steps of one user, possibly none: whole ms since the epoch (UTC), sorted."""

    user: str
    steps_ms: NDArray[np.int64]


def write_json(steps: Iterable[UserSteps], file: IO[str]) -> None:
    """Write one object with an array of step times for each user. All steps of a user must come together."""
    file.write("{")
    for number, (user, parts) in enumerate(groupby(steps, key=lambda part: part.user)):
        file.write((",\n" if number else "") + json.dumps(user, ensure_ascii=False) + ": [")
        separator = ""
        for part in parts:
            if len(part.steps_ms):
                file.write(separator + ", ".join(map(str, part.steps_ms.tolist())))
                separator = ", "
        file.write("]")
    file.write("}\n")


def write_parquet(steps: Iterable[UserSteps], file: IO[bytes]) -> None:
    """Write a Parquet file with the columns user and timeStamp, one row per step."""
    with pq.ParquetWriter(file, _SCHEMA) as writer:
        for table in _row_groups(steps):
            writer.write_table(table)


def _row_groups(steps: Iterable[UserSteps]) -> Iterator[pa.Table]:
    parts: list[UserSteps] = []
    rows = 0
    for part in steps:
        if len(part.steps_ms):
            parts.append(part)
            rows += len(part.steps_ms)
        if rows >= _ROW_GROUP_ROWS:
            yield _table(parts)
            parts, rows = [], 0
    if parts:
        yield _table(parts)


def _table(parts: Sequence[UserSteps]) -> pa.Table:
    users = pa.array([part.user for part in parts])
    times_ms = [part.steps_ms for part in parts]
    user_of_row = users.take(np.repeat(np.arange(len(parts)), list(map(len, times_ms))))
    return pa.table([user_of_row, np.concatenate(times_ms)], _SCHEMA)


def check_suffix(path: Path) -> None:
    """Check that the suffix of a file name selects an output format.

    Raises:
        UsageError: the suffix is neither .json nor .parquet.
    """
    if path.suffix.lower() not in (".json", ".parquet"):
        raise UsageError(f"file {path} has no known format; end its name in .json or .parquet")


def write_file(steps: Iterable[UserSteps], path: Path) -> None:
    """Write a JSON or Parquet file, by its suffix, atomically. A symbolic link stays one.

    Raises:
        UsageError: the suffix is neither .json nor .parquet.
        WarehouseError: the file can't be written.
    """
    check_suffix(path)
    try:
        with atomic_write(Path(realpath(path))) as file:
            if path.suffix.lower() == ".json":
                text = TextIOWrapper(file, encoding="utf-8")
                write_json(steps, text)
                # Flushes without closing the file.
                text.detach()
            else:
                write_parquet(steps, file)
    except OSError as error:
        raise WarehouseError(
            f"file {path} can't be written: {error.strerror or error}; name another file with --out"
        ) from error
