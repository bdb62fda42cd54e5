"""Measure how often device_owner is right, by confidence and by defects of clocks, phones and devices.

Simulates people with a phone and a device each. Also uses the public landing set without its claims, if `../shared`
contains it. Prints the tables of docs/device-owners.md and writes its reliability diagram.

Usage: owners.py [--draws N] [--svg FILE]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi.compute.duckdb.sql import bind_parameters
from stedi.tables.reference import device_evidence, device_owner

PUBLIC = Path(__file__).parents[2] / "shared/data/landing"
START_MS, DAY_MS, HOUR_MS = 1_700_000_000_000, 86_400_000, 3_600_000
BINS = ((0.0, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 0.999), (0.999, 1.0))
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """One simulated data set.

    Shares are from 0 to 1: `resets`, `lost`, `in_pairs`, `without_phone`, `handed_over`, and `more_of_the_phone`, which
    is of the phone's readings. Offset, jitter and drift are upper limits. A sitting has 20 to 120 readings.
    """

    name: str
    people: int = 300
    sittings: int = 6
    days: int = 30
    hours_a_day: int = 24
    spacing_ms: int = 1_000
    is_even: bool = False
    offset_ms: int = 2_000
    jitter_ms: int = 5
    drift_ppm: float = 0
    whole_seconds: bool = False
    resets: float = 0
    lost: float = 0
    in_pairs: float = 0
    together_ms: int = 120_000
    without_phone: float = 0
    handed_over: float = 0
    more_of_the_phone: float = 0
    phone_every_ms: int = 0


WORLDS = (
    World("offsets of ±2 s, jitter of ±5 ms"),
    World("exact clocks", offset_ms=0, jitter_ms=0),
    World("exact clocks, 30% lost on both sides", offset_ms=0, jitter_ms=0, lost=0.3),
    World("offsets, 30% lost on both sides", lost=0.3),
    World("offsets, even intervals of 1 s", is_even=True),
    World("offsets, a reading in 5 s", spacing_ms=5_000),
    World("offsets, 5 readings a second", spacing_ms=200),
    World("offsets, drift of up to 1 ppm", drift_ppm=1),
    World("offsets, drift of up to 5 ppm", drift_ppm=5),
    World("offsets, half of the clocks reset", resets=0.5),
    World("offsets, whole-second stamps", whole_seconds=True),
    World("offsets, half in pairs who start within 2 min", in_pairs=0.5),
    World("offsets, half in pairs who start within 5 s", in_pairs=0.5, together_ms=5_000),
    World("the same, 30% without a phone", in_pairs=0.5, together_ms=5_000, without_phone=0.3),
    World("offsets, half without a phone", without_phone=0.5),
    World("offsets, phones with twice as many readings", more_of_the_phone=1.0),
    World("offsets, one sitting, 300 people in 2 hours", sittings=1, days=1, hours_a_day=2),
    World("offsets, six sittings each in 4 hours", days=1, hours_a_day=4),
    World(
        "50 readings a second, exact clocks", 100, phone_every_ms=20, spacing_ms=100, is_even=True, offset_ms=0, jitter_ms=0
    ),
    World("50 readings a second, offsets", 100, phone_every_ms=20, spacing_ms=100, is_even=True),
    World(
        "the same, half in pairs who start within 10 s, 20% without a phone",
        people=100,
        phone_every_ms=20,
        spacing_ms=100,
        is_even=True,
        together_ms=10_000,
        in_pairs=0.5,
        without_phone=0.2,
    ),
    World("offsets, 30% of the devices change hands", handed_over=0.3),
    World("exact clocks, 30% change hands", offset_ms=0, jitter_ms=0, handed_over=0.3),
    World("offsets, 30% change hands, 30% without a phone", handed_over=0.3, without_phone=0.3),
    World(
        "exact clocks, 30% change hands, 30% without a phone", offset_ms=0, jitter_ms=0, handed_over=0.3, without_phone=0.3
    ),
)

# SQL for the phones' readings and the devices' times (`t`) of the public set, with a defect. {seed} makes another draw.
ALL = "SELECT * FROM phones"
LOST = "SELECT * FROM phones WHERE hash(person, t, {seed}) % 10 >= 3"
HALF = "SELECT * FROM phones WHERE hash(person, {seed}) % 2 = 0"
HOMES = (
    "SELECT * FROM phones UNION ALL SELECT 'partner of ' || person, t FROM phones "
    "WHERE hash(person, {seed}) % 3 = 0 AND hash(person, t, {seed}) % 15 > 0"
)
DEVICES = "SELECT device, {time} AS t FROM devices"
FEWER_DEVICES = f"{DEVICES} WHERE hash(device, t, {{seed}}, 1) % 10 >= 3"
OFFSET, JITTER = "((hash(device, {seed}) % 4001)::BIGINT - 2000)", "((hash(device, t, {seed}) % 11)::BIGINT - 5)"
DRIFT = "((t - 1655561935465) * ((hash(device, {seed}) % 101)::BIGINT - 50) // 1000000)"
PUBLIC_CASES = {
    "as they are": (ALL, DEVICES, "t"),
    "30% of the phones' readings lost": (LOST, DEVICES, "t"),
    "30% of the devices' readings lost": (ALL, FEWER_DEVICES, "t"),
    "30% lost on both sides": (LOST, FEWER_DEVICES, "t"),
    "half of the owners have no phone": (HALF, DEVICES, "t"),
    "half without a phone, 30% of the devices' readings lost": (HALF, FEWER_DEVICES, "t"),
    "a third live with a phone that has 28 of their 30 readings": (HOMES, DEVICES, "t"),
    "drift of ±50 ppm": (ALL, DEVICES, f"t + {DRIFT}"),
    "offsets of ±2 s, jitter of ±5 ms": (ALL, DEVICES, f"t + {OFFSET} + {JITTER}"),
    "the same, half without a phone": (HALF, DEVICES, f"t + {OFFSET} + {JITTER}"),
    "the same, 30% lost on both sides": (LOST, FEWER_DEVICES, f"t + {OFFSET} + {JITTER}"),
    "whole-second stamps": (ALL, DEVICES, "t // 1000 * 1000"),
    "times at random": (ALL, DEVICES, "1655561935465 + (hash(device, t, {seed}) % 2584171)::BIGINT"),
}

# The part of the table's query that computes each device's best candidate and its probability.
_QUERY = device_owner.TABLE.query
CANDIDATES = _QUERY[: _QUERY.index("hours AS (\n    SELECT *, last_reading_ms")].rstrip().rstrip(",")
NAMED = """
    SELECT count(*) FILTER (o.person = t.person), count(*) FILTER (o.person <> t.person), count(*) FILTER (t.has_phone),
        count(DISTINCT t.device) FILTER (o.person = t.person), count(DISTINCT t.device) FILTER (o.person <> t.person),
        count(DISTINCT t.device) FILTER (t.has_phone)
    FROM truth AS t LEFT JOIN device_owner AS o ON o.serialNumber = t.device AND o.person IS NOT NULL
        AND t.t >= coalesce(o.from_ms, t.t) AND t.t < coalesce(o.to_ms, t.t + 1)
"""


@dataclass
class Reliability:
    """Number of candidates by confidence, and how many of them are right."""

    counts: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in BINS])

    def add(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the candidates of devices with one user."""
        candidates = connection.execute(
            f"SELECT o.probability, o.candidate = u.person FROM ({bind_parameters(CANDIDATES)} "
            "SELECT d.serialNumber, j.* FROM judged AS j JOIN devices AS d ON d.device = j.device) AS o JOIN ("
            "SELECT device, min(person) AS person FROM truth GROUP BY device HAVING count(DISTINCT person) = 1"
            ") AS u ON u.device = o.serialNumber WHERE o.candidate IS NOT NULL"
        ).fetchall()
        for probability, is_right in candidates:
            bin_number = max(i for i, (least, _) in enumerate(BINS) if probability >= least)
            self.counts[bin_number][0] += 1
            self.counts[bin_number][1] += is_right


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    reliability = Reliability()
    print("| simulated | readings named right | wrong | devices resolved | wrong |\n|---|---|---|---|---|")
    for world in WORLDS:
        total = np.zeros(6, np.int64)
        for seed in range(options.draws):
            with duckdb.connect() as connection:
                simulate(connection, world, np.random.default_rng(seed))
                total += name_owners(connection, reliability)
        show(world.name, total)
    if PUBLIC.is_dir():
        print("| public set | readings named right | wrong | devices resolved | wrong |\n|---|---|---|---|---|")
        for name, case in PUBLIC_CASES.items():
            total = np.zeros(6, np.int64)
            for connection in public_draws(*case, options.draws):
                total += name_owners(connection, reliability)
            show(name, total)
    print("| confidence | candidates | right |\n|---|---|---|")
    for (least, most), (candidates, right) in zip(BINS, reliability.counts, strict=True):
        print(f"| {least:g} to {most:g} | {candidates:,} | {right / max(1, candidates):.2%} |")
    if options.svg:
        options.svg.write_text(diagram(reliability))


def name_owners(connection: duckdb.DuckDBPyConnection, reliability: Reliability) -> Integers:
    """Compute device_evidence and device_owner; return the counts of the query `NAMED`."""
    connection.execute("SET threads = 2; SET VARIABLE owners_confidence = '0.999'")
    connection.execute("CREATE OR REPLACE TABLE customer_landing (device VARCHAR, person VARCHAR)")
    for table in (device_evidence.TABLE, device_owner.TABLE):
        connection.execute(f"CREATE OR REPLACE TABLE {table.name} AS {bind_parameters(table.query)}")
    reliability.add(connection)
    return np.array(connection.execute(NAMED).fetchall()[0], np.int64)


def show(name: str, total: Integers) -> None:
    """Print one line of a Markdown table."""
    right, wrong, readings, resolved, wrong_devices, devices = total
    print(
        f"| {name} | {right / max(1, readings):.2%} | {wrong:,} of {right + wrong:,} "
        f"| {resolved:,} of {devices:,} ({resolved / max(1, devices):.2%}) | {wrong_devices:,} |",
        flush=True,
    )


def simulate(connection: duckdb.DuckDBPyConnection, world: World, rng: np.random.Generator) -> None:
    """Create the landing tables of a world, and `truth`: the person of each reading of a device."""
    count, sittings = world.people, world.sittings
    day = rng.integers(0, world.days, (count, sittings)) * DAY_MS
    starts = np.sort(START_MS + day + rng.integers(0, world.hours_a_day * HOUR_MS, (count, sittings)), axis=1)
    paired = int(world.in_pairs * count / 2) * 2
    starts[1:paired:2] = starts[0:paired:2] + rng.integers(
        -world.together_ms, world.together_ms, (paired // 2, sittings), endpoint=True
    )
    without_phone = rng.random(2 * count) < world.without_phone
    phones: list[tuple[int, Integers]] = []
    devices: list[tuple[int, int, Integers]] = []
    for device in range(count):
        offsets = rng.integers(-world.offset_ms, world.offset_ms, 2, endpoint=True)
        reset = rng.integers(1, sittings) if sittings > 1 and rng.random() < world.resets else sittings
        handed = rng.integers(1, sittings) if sittings > 1 and rng.random() < world.handed_over else sittings
        drift = rng.uniform(-world.drift_ppm, world.drift_ppm) / 1e6
        for sitting in range(sittings):
            user = device if sitting < handed else count + device
            readings = int(rng.integers(20, 121))
            gaps = np.full(readings, world.spacing_ms) if world.is_even else rng.exponential(world.spacing_ms, readings)
            times = np.unique(starts[device, sitting] + np.cumsum(gaps).astype(np.int64))
            if not without_phone[user]:
                every = world.phone_every_ms
                taken = np.arange(times[0] - 10 * every, times[-1] + 10 * every, every) if every else times
                phones.append((user, taken[rng.random(len(taken)) >= world.lost]))
                more = int(len(times) * world.more_of_the_phone)
                phones.append((user, rng.integers(times[0] - 300_000, times[-1] + 300_000, more)))
            kept = times[rng.random(len(times)) >= world.lost]
            since = kept - starts[device, reset if reset <= sitting else 0]
            jitter = rng.integers(-world.jitter_ms, world.jitter_ms, len(kept), endpoint=True)
            stamped = kept + offsets[int(sitting >= reset)] + np.rint(drift * since).astype(np.int64) + jitter
            devices.append((device, user, stamped // 1000 * 1000 if world.whole_seconds else stamped))
    phone = pa.table(
        {"p": np.concatenate([np.full(len(t), p) for p, t in phones]), "t": np.concatenate([t for _, t in phones])}
    )
    truth = pa.table(
        {
            "d": np.concatenate([np.full(len(t), d) for d, _, t in devices]),
            "p": np.concatenate([np.full(len(t), p) for _, p, t in devices]),
            "t": np.concatenate([t for _, _, t in devices]),
            "has_phone": np.concatenate([np.full(len(t), not without_phone[p]) for _, p, t in devices]),
        }
    )
    connection.register("phone", phone)
    connection.register("true_readings", truth)
    connection.execute("CREATE TABLE accelerometer_landing AS SELECT 'p' || p AS person, t AS \"timeStamp\" FROM phone")
    connection.execute(
        "CREATE TABLE truth AS SELECT 'd' || d AS device, t, 'p' || p AS person, has_phone FROM true_readings"
    )
    connection.execute("CREATE TABLE step_trainer_landing AS SELECT device, t AS sensorReadingTime FROM truth")


def public_draws(phones: str, devices: str, time: str, draws: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Create the landing tables of the public set with a defect, for each draw."""
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE owners AS SELECT email AS person, serialNumber::VARCHAR AS device FROM '{PUBLIC}/customer/*.json'"
        )
        connection.execute(
            f"CREATE TABLE phones AS SELECT \"user\" AS person, timeStamp AS t FROM '{PUBLIC}/accelerometer/*.json'"
        )
        connection.execute(
            "CREATE TABLE devices AS SELECT serialNumber::VARCHAR AS device, sensorReadingTime AS t "
            f"FROM '{PUBLIC}/step_trainer/*.json'"
        )
        for seed in range(draws):
            connection.execute(
                'CREATE OR REPLACE TABLE accelerometer_landing AS SELECT person, t AS "timeStamp" '
                f"FROM ({phones.format(seed=seed)})"
            )
            connection.execute(
                "CREATE OR REPLACE TABLE step_trainer_landing AS SELECT device, t AS sensorReadingTime "
                f"FROM ({devices.format(time=time, seed='{seed}').format(seed=seed)})"
            )
            connection.execute(
                "CREATE OR REPLACE TABLE truth AS SELECT s.device, s.sensorReadingTime AS t, o.person, "
                "o.person IN (SELECT person FROM accelerometer_landing) AS has_phone "
                "FROM step_trainer_landing AS s JOIN owners AS o ON o.device = s.device"
            )
            yield connection


def diagram(reliability: Reliability) -> str:
    """Draw the share of right candidates by confidence as SVG. A red line is the lower limit of a bin."""
    width, height, left, bottom, top = 560, 300, 70, 60, 20
    step = (width - left - 20) / len(BINS)

    def y(share: float) -> float:
        return top + (height - top - bottom) * (1 - share)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        "<title>Share of right candidates by confidence</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for place, ((least, most), (candidates, right)) in enumerate(zip(BINS, reliability.counts, strict=True)):
        x, share = left + place * step, right / max(1, candidates)
        parts.append(
            f'<rect x="{x + 12:.1f}" y="{y(share):.1f}" width="{step - 24:.1f}" height="{y(0) - y(share):.1f}" '
            'fill="#5b8db8"/>'
        )
        parts.append(
            f'<line x1="{x + 6:.1f}" x2="{x + step - 6:.1f}" y1="{y(least):.1f}" y2="{y(least):.1f}" '
            'stroke="#b03a2e" stroke-width="2"/>'
        )
        middle = f'x="{x + step / 2:.1f}" text-anchor="middle"'
        parts.append(f'<text {middle} y="{height - bottom + 18}">{least:g} to {most:g}</text>')
        parts.append(f'<text {middle} y="{height - bottom + 34}" fill="#666666">{candidates:,}</text>')
    parts.append(
        f'<text x="{left + (width - 20 - left) / 2:.1f}" y="{height - 8}" text-anchor="middle">confidence, and how many '
        "candidates; red: the least share that it promises</text></svg>"
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
