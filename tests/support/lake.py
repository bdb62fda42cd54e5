"""A landing folder and a warehouse in a temporary folder, and functions that make test records."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stedi.config import Settings
from stedi.pipeline import RunReport, run
from stedi.query.sandbox import query
from stedi.storage import Warehouse, open_warehouse

SHARED = Path(__file__).parents[3] / "shared" / "data"


Record = Mapping[str, Any]

KEY = "a key for tests"
# Origin of the times of test records: 2022-01-01 00:00 UTC. Valid times are between 2000 and the arrival of the file.
T0 = 1_640_995_200_000


def put(path: Path, records: Iterable[Record] | bytes) -> Path:
    """Write a file, records one per line, and create its folder. Return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(records, bytes):
        records = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(records)
    return path


class Lake:
    """A landing folder, a warehouse and the settings of both."""

    def __init__(self, folder: Path, policy: str = "customer") -> None:
        self.landing = folder / "landing"
        self.landing.mkdir(exist_ok=True)
        self.settings = Settings.model_validate(
            {
                "landing": str(self.landing),
                "warehouse": str(folder / "lakehouse"),
                "consent": {"policy": policy},
                "pseudonym_key": KEY,
                # Two test workers with two threads each take 3.6 s for what takes 2.2 s with one thread each.
                "threads": 1,
            }
        )

    @property
    def warehouse(self) -> Path:
        """The warehouse's folder."""
        return Path(self.settings.warehouse)

    def open_warehouse(self) -> Warehouse:
        """Open the warehouse, which need not exist."""
        return open_warehouse(self.settings.warehouse, self.settings.database)

    def land(self, name: str, records: Iterable[Record] | bytes) -> Path:
        """Write a landing file, records one per line. Return its path."""
        return put(self.landing / name, records)

    def run(self, **options: Any) -> RunReport:
        """Run the pipeline."""
        return run(self.settings, **options)

    def rows(self, sql: str, **options: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the newest finished run."""
        return query(self.settings, sql, **options).rows()


def customer(
    email: str | None,
    updated: int,
    *,
    shares: int | None = None,
    registered: int | None = 1,
    serial: str = "s1",
    **more: Any,
) -> dict[str, Any]:
    """Return a customer record. `updated`, `shares` and `registered` are ms after `T0`. Fields that are None are absent."""
    record = {
        "customerName": "C",
        "email": email,
        "serialNumber": serial,
        "registrationDate": _time(registered),
        "lastUpdateDate": _time(updated),
        "shareWithResearchAsOfDate": _time(shares),
    }
    return {key: value for key, value in (record | more).items() if value is not None}


def reading(user: str, at: int, x: float = 0.0) -> dict[str, Any]:
    """Return an accelerometer record. `at` is in ms after `T0`."""
    return {"user": user, "timeStamp": T0 + at, "x": x, "y": 0.0, "z": 1.0}


def distance(serial: str, at: int, value: float = 100) -> dict[str, Any]:
    """Return a step-trainer record. `at` is in ms after `T0`."""
    return {"sensorReadingTime": T0 + at, "serialNumber": serial, "distanceFromObject": value}


def _time(at: int | None) -> int | None:
    return None if at is None else T0 + at


# Rows of each table after a run on the public landing files, by consent policy.
PUBLIC_COUNTS = {
    "customer": {
        "customer_landing": 956,
        "accelerometer_landing": 81_273,
        "step_trainer_landing": 28_680,
        "quarantine": 0,
        "customer_trusted": 482,
        "accelerometer_trusted": 40_981,
        "customers_curated": 482,
        "step_trainer_trusted": 14_460,
        "machine_learning_curated": 40_981,
    },
}
PUBLIC_COUNTS["reading"] = PUBLIC_COUNTS["customer"] | {
    "accelerometer_trusted": 32_025,
    "customers_curated": 464,
    "step_trainer_trusted": 11_297,
    "machine_learning_curated": 32_025,
}


def small(lake: Lake) -> None:
    """Land records of two consenting customers, one of whom has a device."""
    lake.land("customer/1.json", [customer("a@x", 10, shares=10, serial="s1"), customer("b@x", 10, shares=10, serial="s2")])
    lake.land("accelerometer/1.json", [reading(p, t) for p in ("a@x", "b@x") for t in range(100, 110)])
    lake.land("step_trainer/1.json", [distance("s1", t) for t in range(100, 110)])
