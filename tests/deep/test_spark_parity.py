"""Every table, both policies, full and incremental: Spark's rows are the embedded engine's, to the last bit."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stedi.simulate import IDEAL
from stedi.simulate.landing_files import FEEDS, simulate
from stedi.tables.registry import REFRESHED
from tests.support.compare import contents, found_wrong
from tests.support.killing import violation_counts
from tests.support.lake import PUBLIC_COUNTS, T0, Lake, customer, distance, reading
from tests.support.spark import with_engine

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def pair(new_lake: Callable[..., Lake], policy: str) -> tuple[Lake, Lake]:
    """A lake of each engine under one policy."""
    ours, theirs = (with_engine(new_lake(engine, policy=policy), engine) for engine in ("embedded", "spark"))
    return ours, theirs


def figures(lake: Lake) -> dict[str, tuple[int, int]]:
    """How many rows each table has, and a sum of their hashes, but for when files arrived."""
    parts = []
    for table in REFRESHED:
        columns = ", ".join(f'"{c.name}"' for c in table.columns if c.name != "arrived_at")
        # As text, in which -0.0 is not 0.0.
        parts.append(
            f"SELECT '{table.name}', count(*), sum(hash(r::VARCHAR)::HUGEINT) FROM (SELECT {columns} FROM {table.name}) AS r"
        )
    return {name: (rows, digest) for name, rows, digest in lake.rows(" UNION ALL ".join(parts))}


def assert_equal_after_a_run(pair: tuple[Lake, Lake]) -> dict[str, int]:
    """Run both; returns how many rows each table then has on both."""
    for lake in pair:
        lake.run()
    ours, theirs = map(figures, pair)
    assert theirs == ours
    assert violation_counts(pair[1]) == violation_counts(pair[0])
    return {name: rows for name, (rows, _) in theirs.items()}


def arrive(pair: tuple[Lake, Lake], landing: Path, files: list[Path]) -> None:
    for lake in pair:
        for file in files:
            target = lake.landing / file.relative_to(landing)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_the_public_landing_set_in_two_batches(public_landing_set: Path, pair: tuple[Lake, Lake], policy: str) -> None:
    files = sorted(public_landing_set.rglob("*.json"))
    held_back = [file for number, file in enumerate(files) if number % 3 == 1]
    arrive(pair, public_landing_set, [file for file in files if file not in held_back])
    assert_equal_after_a_run(pair)
    arrive(pair, public_landing_set, held_back)
    counted = assert_equal_after_a_run(pair)
    assert {name: counted[name] for name in PUBLIC_COUNTS[policy]} == PUBLIC_COUNTS[policy]


@pytest.mark.parametrize("policy", ["customer", "reading"])
def test_simulated_data_with_all_its_defects_in_batches(pair: tuple[Lake, Lake], policy: str, tmp_path: Path) -> None:
    simulated = tmp_path / "simulated"
    simulate(simulated, replace(IDEAL, customers=40, days=3, seed=7, readings=30_000))
    files = sorted(file for feed in FEEDS for file in (simulated / feed).rglob("*") if file.is_file())
    arrive(pair, simulated, files[::2])
    assert_equal_after_a_run(pair)
    # The rest, some files once more with less in them, and one who walked withdraws.
    arrive(pair, simulated, files[1::2])
    [[withdrawn]] = pair[0].rows("SELECT min(email) FROM customers_curated")
    [[newest]] = pair[0].rows(f"SELECT max(lastUpdateDate) - {T0} + 1 FROM customer_landing")
    for lake in pair:
        lake.land("customer/withdrawn.json", [customer(withdrawn, newest)])
        for file in sorted((lake.landing / "accelerometer").glob("*.json"))[:2]:
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b"".join(lines[: len(lines) // 2]))
    counted = assert_equal_after_a_run(pair)
    assert counted["machine_learning_curated"]
    assert found_wrong(pair[1]) == []


@pytest.mark.parametrize("policy", ["customer"])
def test_corners_of_letters_numbers_and_time(pair: tuple[Lake, Lake], policy: str) -> None:
    # The end of the year 2025.
    last = 1461 * 86_400_000 - 1
    people = ["\u0130@x", "\u03a3\u0391\u03a3@x", "\u03c2@x", "\u00df@x", "\u01c4@x", "\ua7cb@x", "\u1c89@x", "a@x", "A@X "]
    first: list[dict[str, Any]] = [customer(p, 10, shares=10, serial=f"s{n}") for n, p in enumerate(people)]
    moments = [0, 1, 86_399_999, 86_400_000, last]
    spelled = (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1",
        "253402300800000",
        "1e16",
        "1.5",
        '"NaN"',
        '"-0.0"',
        "9e999",
        "null",
    )
    odd = [f'{{"user": "a@x", "timeStamp": {t}, "x": 0, "y": 0, "z": 0}}' for t in spelled]
    odd += [f'{{"user": "a@x", "timeStamp": {T0 + 5}, "x": {x}, "y": -0.0, "z": 5e-324}}' for x in spelled]
    zeros = [reading("a@x", 7, x=x) for x in (0.0, -0.0, 0.0, -0.0, 1.7976931348623157e308, -5e-324)]
    for lake in pair:
        lake.land("customer/1.json", first)
        lake.land("accelerometer/1.json", [reading(p, t, x=t / 7) for p in people for t in moments])
        lake.land("accelerometer/odd.json", "\n".join(odd).encode())
        lake.land("accelerometer/zeros.json", zeros)
        lake.land("step_trainer/1.json", [distance(f"s{n}", t, -0.0) for n in range(len(people)) for t in moments])
    assert_equal_after_a_run(pair)
    for lake in pair:
        lake.land(
            "customer/2.json", [customer("\u03c3\u03b1\u03c3@x", 20), customer("i\u0307@x", 20), customer("a@x", last)]
        )
        lake.land("accelerometer/2.json", [reading("\u00df@x", last, x=-0.0), reading("\u00df@x", last, x=0.0)])
    assert_equal_after_a_run(pair)
    assert contents(pair[1]) == contents(pair[0])
