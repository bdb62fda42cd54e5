"""Step times by user as JSON or Parquet, written as they are found."""

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
# Rows of a row group: enough for readers to skip by, a few megabytes to hold.
_GROUP_ROWS = 200_000


@dataclass(frozen=True)
class UserSteps:
    """Some steps of one user: whole ms since the epoch (UTC), in order; there may be none."""

    user: str
    steps_ms: NDArray[np.int64]


def write_json(found: Iterable[UserSteps], out: IO[str]) -> None:
    """One object with an array of times a user; steps of one user come together."""
    out.write("{")
    for number, (user, parts) in enumerate(groupby(found, key=lambda part: part.user)):
        out.write((",\n" if number else "") + json.dumps(user, ensure_ascii=False) + ": [")
        separator = ""
        for part in parts:
            if len(part.steps_ms):
                out.write(separator + ", ".join(map(str, part.steps_ms.tolist())))
                separator = ", "
        out.write("]")
    out.write("}\n")


def write_parquet(found: Iterable[UserSteps], out: IO[bytes]) -> None:
    """A Parquet file with the columns user and timeStamp, a row a step."""
    with pq.ParquetWriter(out, _SCHEMA) as writer:
        for table in _tables(found):
            writer.write_table(table)


def _tables(found: Iterable[UserSteps]) -> Iterator[pa.Table]:
    held: list[UserSteps] = []
    rows = 0
    for part in found:
        if len(part.steps_ms):
            held.append(part)
            rows += len(part.steps_ms)
        if rows >= _GROUP_ROWS:
            yield _table(held)
            held, rows = [], 0
    if held:
        yield _table(held)


def _table(parts: Sequence[UserSteps]) -> pa.Table:
    users = pa.array([part.user for part in parts])
    times = [part.steps_ms for part in parts]
    return pa.table([users.take(np.repeat(np.arange(len(parts)), list(map(len, times)))), np.concatenate(times)], _SCHEMA)


def refuse_other_endings(file: Path) -> None:
    """See to it that a file's name says how to write it.

    Raises:
        UsageError: it ends neither in .json nor in .parquet.
    """
    if file.suffix.lower() not in (".json", ".parquet"):
        raise UsageError(f"what to write to {file} is not clear: end its name in .json or .parquet")


def write_file(found: Iterable[UserSteps], file: Path) -> None:
    """Write a file as its ending says, whole or not at all.

    Raises:
        UsageError: the ending is another than .json and .parquet.
        WarehouseError: the file can't be written.
    """
    refuse_other_endings(file)
    try:
        # A link stays one.
        with atomic_write(Path(realpath(file))) as out:
            if file.suffix.lower() == ".json":
                text = TextIOWrapper(out, encoding="utf-8")
                write_json(found, text)
                # Its file is for others to close.
                text.detach()
            else:
                write_parquet(found, out)
    except OSError as error:
        raise WarehouseError(f"file {file} can't be written: {error.strerror or error}; nothing is left of it") from error
