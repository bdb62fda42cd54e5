"""A lake in a temporary folder: landing files, a warehouse, and the few verbs that tests use on them."""

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
# Times of test records count from here, 2022-01-01 00:00 UTC: a landing file's times lie between 2000 and its arrival.
T0 = 1_640_995_200_000


def put(path: Path, records: Iterable[Record] | bytes) -> Path:
    """Write a landing file, records one a line, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(records, bytes):
        records = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(records)
    return path


class Lake:
    """A landing folder and a warehouse, and the few verbs that tests use on them."""

    def __init__(self, folder: Path, policy: str = "customer") -> None:
        self.landing = folder / "landing"
        self.landing.mkdir(exist_ok=True)
        self.settings = Settings.model_validate(
            {
                "landing": str(self.landing),
                "warehouse": str(folder / "lakehouse"),
                "consent": {"policy": policy},
                "pseudonym_key": KEY,
                # Two workers of two threads each take 3.6 s of the clock for what two of one take in 2.2 s.
                "threads": 1,
            }
        )

    @property
    def warehouse(self) -> Path:
        """The folder of the tables."""
        return Path(self.settings.warehouse)

    def open_warehouse(self) -> Warehouse:
        """Open the warehouse, in which no run need have been."""
        return open_warehouse(self.settings.warehouse, self.settings.database)

    def land(self, name: str, records: Iterable[Record] | bytes) -> Path:
        """Put a landing file in place; records are written one a line."""
        return put(self.landing / name, records)

    def run(self, **options: Any) -> RunReport:
        return run(self.settings, **options)

    def rows(self, sql: str, **options: Any) -> list[tuple[Any, ...]]:
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
    """A customer record in the feed's own terms; `updated`, `shares` and `registered` are ms after `T0`, or None: absent."""
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
    """An accelerometer record; `at` is in ms after `T0`."""
    return {"user": user, "timeStamp": T0 + at, "x": x, "y": 0.0, "z": 1.0}


def distance(serial: str, at: int, value: float = 100) -> dict[str, Any]:
    """A step-trainer record; `at` is in ms after `T0`."""
    return {"sensorReadingTime": T0 + at, "serialNumber": serial, "distanceFromObject": value}


def _time(at: int | None) -> int | None:
    return None if at is None else T0 + at


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
    lake.land("customer/1.json", [customer("a@x", 10, shares=10, serial="s1"), customer("b@x", 10, shares=10, serial="s2")])
    lake.land("accelerometer/1.json", [reading(p, t) for p in ("a@x", "b@x") for t in range(100, 110)])
    lake.land("step_trainer/1.json", [distance("s1", t) for t in range(100, 110)])
