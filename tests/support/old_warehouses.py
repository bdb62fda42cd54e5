"""Write an archive of a small warehouse, for `tests/integration/test_old_warehouses.py`.

Run it on the version of the program that the archive is of, with that version's own dependencies:

    PYTHONPATH=CHECKOUT/src python tests/support/old_warehouses.py ARCHIVE.tar.xz
"""

import json
import os
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyiceberg.table import TableProperties

from stedi.cli import main

# Length of a warehouse's path. Paths of the same length can be replaced in manifests, where lengths precede texts.
PATH_LENGTH = 200
T0 = 1_640_995_200_000
TIMES = (*range(100, 104), *range(86_400_000, 86_400_004))


def warehouse_folder(parent: Path) -> Path:
    """Return the path of a folder in `parent`, padded to `PATH_LENGTH`."""
    return parent / "w".ljust(PATH_LENGTH - len(str(parent)) - 1, "-")


def customer(email: str, serial: str, updated: int, shares: int | None) -> dict[str, Any]:
    """Return a customer record. Times are in ms after `T0`."""
    record = {
        "email": email,
        "customerName": "C",
        "serialNumber": serial,
        "registrationDate": T0 + 1,
        "lastUpdateDate": T0 + updated,
    }
    return record if shares is None else {**record, "shareWithResearchAsOfDate": T0 + shares}


def reading(user: str, at: int) -> dict[str, Any]:
    """Return an accelerometer record. `at` is in ms after `T0`."""
    return {"user": user, "timeStamp": T0 + at, "x": at / 7, "y": 0.0, "z": 1.0}


def distance(serial: str, at: int) -> dict[str, Any]:
    """Return a step-trainer record. `at` is in ms after `T0`."""
    return {"sensorReadingTime": T0 + at, "serialNumber": serial, "distanceFromObject": 100}


# The files before each of two runs. In the second, one customer withdraws and one consents. Both have unusable records.
RUNS: tuple[dict[str, list[dict[str, Any]]], ...] = (
    {
        "customer/1.json": [customer("a@x", "s1", 10, 10), customer("b@x", "s2", 10, 10), customer("c@x", "s3", 10, None)],
        "accelerometer/1.json": [reading(user, at) for user in ("a@x", "b@x", "c@x") for at in TIMES],
        "accelerometer/2.json": [reading("a@x", 300), {"user": "a@x"}],
        "step_trainer/1.json": [distance(serial, at) for serial in ("s1", "s2") for at in TIMES],
    },
    {
        "customer/2.json": [customer("b@x", "s2", 20, None), customer("c@x", "s3", 20, 15)],
        "accelerometer/3.json": [*(reading("a@x", at) for at in range(400, 404)), {"user": "c@x"}],
        "step_trainer/2.json": [distance(serial, at) for serial in ("s1", "s3") for at in range(400, 404)],
    },
)


def write_archive(archive: Path) -> None:
    """Run the program twice, and pack the warehouse without its lock file."""
    # Paths in compressed manifests could not be replaced.
    TableProperties.WRITE_AVRO_COMPRESSION_DEFAULT = "null"
    os.environ["STEDI_PSEUDONYM_KEY"] = "a key for tests"
    with TemporaryDirectory() as temporary:
        landing, warehouse = Path(temporary, "landing"), warehouse_folder(Path(temporary).resolve())
        for files in RUNS:
            for name, records in files.items():
                path = landing / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(json.dumps(record) + "\n" for record in records))
            assert main(["run", "--landing", str(landing), "--warehouse", str(warehouse)]) == 0
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            for path in sorted(warehouse.rglob("*")):
                if path.is_file() and path.name != ".lock":
                    packed.add(path, str(path.relative_to(warehouse)))


if __name__ == "__main__":
    write_archive(Path(sys.argv[1]))
