"""The simulator: same seed, same bytes; its truth is what the lakehouse finds."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stedi.errors import UsageError
from stedi.simulate import simulate
from tests.conftest import Lake


def digest(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, customers=20, days=1, seed=seed, readings=5_000)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_the_lakehouse_finds_the_true_owners_and_consent(lake: Lake) -> None:
    simulate(lake.landing / "sim", customers=200, days=2, seed=7, readings=60_000)
    lake = Lake(lake.landing.parent)
    settings = lake.settings.model_copy(update={"landing": str(lake.landing / "sim")})
    lake.settings = settings
    lake.run()
    truth = pq.read_table(lake.landing / "sim/ground_truth/device_owner.parquet").to_pydict()
    owner = {s: user.lower() for s, user in zip(truth["serialNumber"], truth["user"], strict=True)}
    resolved = lake.rows("SELECT serialNumber, person FROM device_owner WHERE reading_times > 0")
    assert len(resolved) > 10
    assert all(person == owner[serial] for serial, person in resolved)
    consent = pq.read_table(lake.landing / "sim/ground_truth/consent.parquet").to_pydict()
    in_force = {u.lower() for u, end in zip(consent["user"], consent["consented_to_ms"], strict=True) if end is None}
    found = {row[0] for row in lake.rows("SELECT person FROM customer_trusted")}
    # A record that lacks its address can't speak for its customer.
    assert len(found ^ in_force) <= 4


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        simulate(tmp_path, customers=1, days=1, seed=1)
