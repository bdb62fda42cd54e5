"""Write simulated people and motion as landing files, with the defects of the real feeds."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stedi.engines.embedded import JsonWriter
from stedi.errors import UsageError
from stedi.simulate.motion import ACTIVITIES, EVERY_NTH_SAMPLE, SESSION_SAMPLES, make_motion
from stedi.simulate.people import DAY_MS, make_people

# 2026-01-05, a Monday, 00:00 UTC.
FIRST_DAY_MS = 1_767_571_200_000
READINGS_A_CUSTOMER_A_DAY = 30
# Small feeds still get enough walking for a model to learn from.
FEWEST_READINGS = 100_000
_SESSIONS_A_FILE = 200
_RECORDS_A_CUSTOMER_FILE = 300_000
_RECORDS_A_DIRTY_FILE = 400
# Retries deliver some rows twice.
_SENT_TWICE = 0.002


@dataclass(frozen=True)
class Simulated:
    """How many records were written, by feed, duplicates included."""

    customers: int
    accelerometer: int
    step_trainer: int


def simulate(
    out: Path,
    *,
    customers: int,
    days: int,
    seed: int,
    readings: int | None = None,
    clean: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Simulated:
    """Write landing folders and `ground_truth/` below a folder; the same seed writes the same bytes.

    Args:
        out: a folder that is empty or does not exist.
        customers: how many people, 1 or more.
        days: how many days are recorded, 1 or more.
        seed: what all chance follows from.
        readings: about how many accelerometer readings (30 a customer and day by default, at
            least 100,000); the step trainers write a third as many.
        clean: leave out what is wrong with the files' format.

    Raises:
        UsageError: the folder holds something, or a number is out of range.
    """
    if customers < 1 or days < 1 or (readings is not None and readings < 0):
        raise UsageError("customers and days are at least 1, readings at least 0")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"folder {out} is not empty; name a new one")
    if readings is None:
        readings = max(READINGS_A_CUSTOMER_A_DAY * customers * days, FEWEST_READINGS)
    rng = np.random.default_rng(seed)
    folders = {name: out / name for name in ("customer", "accelerometer", "step_trainer", "ground_truth")}
    for folder in folders.values():
        folder.mkdir(parents=True)

    with JsonWriter() as writer:
        progress("customers")
        people = make_people(rng, customers, FIRST_DAY_MS, days)
        customer_count = 0
        for number, start in enumerate(range(0, people.records.num_rows, _RECORDS_A_CUSTOMER_FILE)):
            records = _sent_twice(rng, people.records.slice(start, _RECORDS_A_CUSTOMER_FILE))
            writer.write(records, folders["customer"] / f"customer-{number:05d}.json")
            customer_count += records.num_rows
        pq.write_table(people.consent, folders["ground_truth"] / "consent.parquet")
        pq.write_table(
            pa.table({"serialNumber": people.serials, "user": people.emails}),
            folders["ground_truth"] / "device_owner.parquet",
        )

        sessions = -(-readings // SESSION_SAMPLES)
        counts = {"accelerometer": 0, "step_trainer": 0}
        # Most people record several sessions, so that a person can be told from a session.
        active = rng.permutation(customers)[: max(1, min(customers, sessions // 3))]
        who = active[rng.integers(0, len(active), sessions)]
        starts = np.sort(FIRST_DAY_MS + rng.integers(0, days * DAY_MS - 60_000, sessions))
        truth = _truth_writers(folders["ground_truth"])
        for number, first in enumerate(range(0, sessions, _SESSIONS_A_FILE)):
            progress(f"readings {first * SESSION_SAMPLES:,} of {sessions * SESSION_SAMPLES:,}")
            block = slice(first, first + _SESSIONS_A_FILE)
            motion = make_motion(rng, who[block], starts[block], seed)
            user = people.emails.take(pa.array(who[block]))
            per_sample = pa.array(np.repeat(np.arange(len(user)), SESSION_SAMPLES))
            accelerometer = pa.table(
                {
                    "user": user.take(per_sample),
                    "timeStamp": motion.times_ms.ravel(),
                    **{axis: motion.acceleration[:, :, i].ravel() for i, axis in enumerate("xyz")},
                }
            )
            thin = slice(None, None, EVERY_NTH_SAMPLE)
            times = motion.times_ms[:, thin]
            per_reading = pa.array(np.repeat(who[block], times.shape[1]))
            step_trainer = pa.table(
                {
                    "sensorReadingTime": times.ravel(),
                    "serialNumber": people.serials.take(per_reading),
                    "distanceFromObject": motion.distance[:, thin].ravel().astype(np.int64),
                }
            )
            for name, rows in (("accelerometer", accelerometer), ("step_trainer", step_trainer)):
                rows = _sent_twice(rng, rows)
                writer.write(rows, folders[name] / f"{name}-{number:05d}.json")
                counts[name] += rows.num_rows
            steps = pa.table({"user": user.take(pa.array(motion.step_session)), "step_ms": motion.step_ms})
            truth["steps"].write_table(steps)
            parts = motion.activity[:, :: SESSION_SAMPLES // 3]
            part_start = motion.times_ms[:, :: SESSION_SAMPLES // 3]
            truth["activities"].write_table(
                pa.table(
                    {
                        "user": user.take(pa.array(np.repeat(np.arange(len(user)), parts.shape[1]))),
                        "from_ms": part_start.ravel(),
                        "activity": pa.array(ACTIVITIES).take(pa.array(parts.ravel())),
                    }
                )
            )
        for file in truth.values():
            file.close()
    if not clean:
        progress("defects")
        for name in ("customer", "accelerometer", "step_trainer"):
            _spoil(folders[name], name)
    return Simulated(customer_count, counts["accelerometer"], counts["step_trainer"])


def _truth_writers(folder: Path) -> dict[str, pq.ParquetWriter]:
    return {
        "steps": pq.ParquetWriter(folder / "steps.parquet", pa.schema([("user", pa.string()), ("step_ms", pa.int64())])),
        "activities": pq.ParquetWriter(
            folder / "activities.parquet",
            pa.schema([("user", pa.string()), ("from_ms", pa.int64()), ("activity", pa.string())]),
        ),
    }


def _sent_twice(rng: np.random.Generator, rows: pa.Table) -> pa.Table:
    again = np.flatnonzero(rng.random(rows.num_rows) < _SENT_TWICE)
    return pa.concat_tables([rows, rows.take(pa.array(again))])


def _spoil(folder: Path, name: str) -> None:
    """Deliver the head of the first file once more in every layout that the real writers use."""
    source = sorted(folder.glob("*.json"))[0]
    with source.open("rb") as file:
        lines = [line.rstrip(b"\n") for _, line in zip(range(_RECORDS_A_DIRTY_FILE), file, strict=False)]
    for kind, content in _layouts(lines):
        (folder / "retries").mkdir(exist_ok=True)
        (folder / "retries" / f"{name}-{kind}").write_bytes(content)


def _layouts(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    plain = b"\n".join(lines) + b"\n"
    yield "again.json", plain
    yield "crlf.json", plain.replace(b"\n", b"\r\n")
    yield "byte-order-mark.jsonl", b"\xef\xbb\xbf" + plain
    yield "array.json", b"[" + b",\n".join(lines) + b"]"
    yield "back-to-back.ndjson", b"".join(lines)
    yield "trailing-commas.json", b",\n".join(lines) + b",\n"
    yield "zipped.json.gz", gzip.compress(plain, mtime=0)
    yield "unfinished.json", plain[: len(plain) - len(lines[-1]) // 2 - 1]
    yield "empty.json", b""
    yield "garbled.json", plain.replace(lines[len(lines) // 2], b'{"garbled": ' + b"\xff\xfe", 1)
    unknown = [json.dumps(json.loads(line) | {"appVersion": "2.1"}).encode() for line in lines]
    yield "unknown-key.json", b"\n".join(unknown) + b"\n"
