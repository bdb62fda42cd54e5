"""Write simulated people and motion as landing files, with the defects of the real feeds, and the ground truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stedi.compute.duckdb.json_lines import JsonLinesWriter
from stedi.errors import LandingError, UsageError
from stedi.model.progress import Progress, Report
from stedi.simulate.clocks import Clocks, device_periods, make_clocks
from stedi.simulate.defects import write_defects
from stedi.simulate.draws import Flags, Integers
from stedi.simulate.gait import POSITIONS, make_habits
from stedi.simulate.motion import ACTIVITIES, EVERY_NTH_SAMPLE, SESSION_SAMPLES, Motion, make_motion
from stedi.simulate.options import DAY_MS, SimulationOptions
from stedi.simulate.people import People, make_people
from stedi.simulate.sessions import Sessions, assign_to_files, plan_sessions
from stedi.tables.landing import accelerometer, customer, step_trainer

# 2026-01-05, a Monday, 00:00 UTC.
FIRST_DAY_MS = 1_767_571_200_000
# 2026-04-05, 00:00 UTC. Times must be before the files are written, so more than 90 days begin before FIRST_DAY_MS.
_END_MS = FIRST_DAY_MS + 90 * DAY_MS
# The feeds that can be simulated.
FEEDS = tuple(feed.name for feed in (customer.FEED, accelerometer.FEED, step_trainer.FEED))
TRUTH = "ground_truth"
_READINGS_PER_CUSTOMER_AND_DAY = 30
# Enough walking to train a model, even for few customers and days.
_MIN_READINGS = 100_000
# A large feed has hundreds of customer files, a small one a dozen. Each file repeats the last fifth of the previous one.
_RECORDS_PER_CUSTOMER_FILE, _MIN_CUSTOMER_FILES = 10_000, 12
_REPEATED = 5
# Share of rows that are delivered twice, as by retries.
_SENT_TWICE = 0.002


@dataclass(frozen=True)
class Simulated:
    """Number of records in intact files by feed, with duplicates."""

    customers: int
    accelerometer: int
    step_trainer: int


def simulate(out: Path, options: SimulationOptions, *, progress: Report = lambda _: None) -> Simulated:
    """Write landing folders and `ground_truth/` below a folder. The same options write the same bytes.

    Args:
        out: a folder that is empty or does not exist.
        options: what to simulate.
        progress: receives the number of simulated readings.

    Raises:
        UsageError: the folder is not empty or not writable, or the days are too short for so many readings.
        LandingError: writing failed, and the folder is incomplete.
    """
    days, readings = options.days, options.readings
    if readings is None:
        readings = max(_READINGS_PER_CUSTOMER_AND_DAY * options.customers * days, _MIN_READINGS)
    rng = np.random.default_rng(options.seed)
    # Separate streams, so that errors of clocks, losses and hand-overs leave the other draws unchanged.
    clock_rng, jitter_rng, loss_rng, record_rng = rng.spawn(4)
    start_ms = min(FIRST_DAY_MS, _END_MS - days * DAY_MS)
    progress(Progress("simulating customers"))
    people = make_people(rng, options.customers, start_ms, days)
    sessions = plan_sessions(rng, people, -(-readings // SESSION_SAMPLES), start_ms, options)
    hand_overs = sessions.hand_overs
    people = people.hand_over(record_rng, hand_overs.device, hand_overs.new_owner, hand_overs.at_ms)
    clocks = make_clocks(clock_rng, sessions, options)
    _make_folders(out)
    with _translate_errors(out), JsonLinesWriter() as writer:
        customers = _write_customers(writer, rng, people, out)
        _write_device_truth(people, sessions, clocks, out / TRUTH)
        counts = {"accelerometer": 0, "step_trainer": 0}
        habits = make_habits(rng, sessions.walkers)
        simulated = 0
        with _MotionTruth(out / TRUTH) as truth:
            for label, chosen in assign_to_files(rng, sessions, start_ms + days * DAY_MS):
                progress(Progress("simulating readings", simulated, readings, "readings"))
                motion = make_motion(rng, habits.of(sessions.walker[chosen]), sessions.start_ms[chosen])
                customer_numbers, device = sessions.customer[chosen], sessions.device[chosen]
                users = people.users.take(pa.array(customer_numbers))
                truth.write(users, motion)
                times = clocks.stamp(jitter_rng, device, motion.times_ms[:, ::EVERY_NTH_SAMPLE])
                serials = people.serials.take(pa.array(device))
                for feed, rows, reports in (
                    ("accelerometer", _accelerometer_rows(users, motion), sessions.reports[customer_numbers]),
                    ("step_trainer", _step_trainer_rows(serials, times, motion), np.ones(len(chosen), dtype=np.bool_)),
                ):
                    arrives = np.repeat(reports, rows.num_rows // len(chosen))
                    arrives &= loss_rng.random(rows.num_rows) >= options.lost
                    delivered = _deliver(rng, rows, arrives)
                    writer.write(delivered, out / feed / f"{feed}-{label}.json")
                    counts[feed] += delivered.num_rows
                simulated += motion.times_ms.size
        if not options.clean:
            progress(Progress("writing defects"))
            for feed in FEEDS:
                write_defects(out / feed, feed)
    return Simulated(customers, **counts)


def _make_folders(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a new or empty folder")
    try:
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"folder {out} is not empty; name a new one, or delete it if it is from an earlier simulation")
        for name in (*FEEDS, TRUTH):
            (out / name).mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"folder {out} can't be written ({error.strerror}); name another one") from error


@contextmanager
def _translate_errors(out: Path) -> Iterator[None]:
    try:
        yield
    # The writer uses DuckDB, which reports a full disk as duckdb.Error.
    except (OSError, duckdb.Error, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else "out of memory"
        raise LandingError(f"the simulation failed ({reason}); delete folder {out}, which is incomplete") from error


def _write_customers(writer: JsonLinesWriter, rng: np.random.Generator, people: People, out: Path) -> int:
    """Write overlapping customer files, and the ground truth about consent; returns the number of records."""
    pq.write_table(people.consent, out / TRUTH / "consent.parquet")
    count = 0
    size = min(_RECORDS_PER_CUSTOMER_FILE, -(-people.records.num_rows // _MIN_CUSTOMER_FILES))
    for number, start in enumerate(range(0, people.records.num_rows, size)):
        first = max(0, start - -(-size // _REPEATED))
        rows = people.records.slice(first, start + size - first)
        rows = _deliver(rng, rows, np.ones(rows.num_rows, dtype=np.bool_))
        writer.write(rows, out / "customer" / f"customer-{number:05d}.json")
        count += rows.num_rows
    return count


def _write_device_truth(people: People, sessions: Sessions, clocks: Clocks, folder: Path) -> None:
    """Write the first owner of each device, and the periods of those that record."""
    # New owners own no device before they take one over.
    device = pa.array(np.flatnonzero(~np.isin(people.owners, sessions.hand_overs.new_owner)))
    owners = people.users.take(pa.array(people.owners)).take(device)
    pq.write_table(pa.table({"serialNumber": people.serials.take(device), "user": owners}), folder / "device_owner.parquet")
    pq.write_table(device_periods(people, sessions, clocks), folder / "device_periods.parquet")


def _accelerometer_rows(users: pa.Array, motion: Motion) -> pa.Table:
    return pa.table(
        {
            "user": users.take(pa.array(np.repeat(np.arange(len(users)), SESSION_SAMPLES))),
            "timeStamp": motion.times_ms.ravel(),
            **{axis: motion.acceleration[i].ravel() for i, axis in enumerate("xyz")},
        }
    )


def _step_trainer_rows(serials: pa.Array, times: Integers, motion: Motion) -> pa.Table:
    return pa.table(
        {
            "sensorReadingTime": times.ravel(),
            "serialNumber": serials.take(pa.array(np.repeat(np.arange(len(serials)), times.shape[1]))),
            "distanceFromObject": motion.distance.ravel(),
        }
    )


def _deliver(rng: np.random.Generator, rows: pa.Table, arrives: Flags) -> pa.Table:
    """Drop the rows that do not arrive, and append the rows that arrive twice."""
    repeated = np.flatnonzero((rng.random(rows.num_rows) < _SENT_TWICE) & arrives)
    arrived = rows if arrives.all() else rows.filter(pa.array(arrives))
    return pa.concat_tables([arrived, rows.take(pa.array(repeated))])


class _MotionTruth:
    """Writes the ground truth of motion: `steps.parquet`, and `activities.parquet` with the positions of phones.

    Times are ms since the epoch, UTC, on the phone clock; `from_ms` is included, `to_ms` is not.
    """

    _STEPS = pa.schema([("user", pa.string()), ("step_ms", pa.int64())])
    _ACTIVITIES = pa.schema(
        [
            ("user", pa.string()),
            ("from_ms", pa.int64()),
            ("to_ms", pa.int64()),
            ("activity", pa.string()),
            ("position", pa.string()),
        ]
    )

    def __init__(self, folder: Path) -> None:
        self._steps = pq.ParquetWriter(folder / "steps.parquet", self._STEPS)
        self._activities = pq.ParquetWriter(folder / "activities.parquet", self._ACTIVITIES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.close()
        self._activities.close()

    def write(self, users: pa.Array, motion: Motion) -> None:
        """Append the steps and activities of some sessions, whose users are given."""
        steps = [users.take(pa.array(motion.step_session)), pa.array(motion.step_ms)]
        self._steps.write_table(pa.table(steps, schema=self._STEPS))
        parts = motion.activity.shape[1]
        activities = [
            users.take(pa.array(np.repeat(np.arange(len(users)), parts))),
            pa.array(motion.bounds_ms[:, :-1].ravel()),
            pa.array(motion.bounds_ms[:, 1:].ravel()),
            pa.array(ACTIVITIES).take(pa.array(motion.activity.ravel())),
            pa.array(POSITIONS).take(pa.array(np.repeat(motion.position, parts))),
        ]
        self._activities.write_table(pa.table(activities, schema=self._ACTIVITIES))
