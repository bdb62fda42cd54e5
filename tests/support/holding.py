"""A process that holds a warehouse's write lock until it is killed."""

import os
import time
from typing import Any

from stedi.storage import open_warehouse, s3_lock


def hold(place: str, seconds: float, environment: dict[str, str], told: Any) -> None:
    """Hold a warehouse, with a lease of so many seconds; to be run in a process of its own."""
    os.environ.update(environment)
    s3_lock.LEASE_SECONDS = seconds
    with open_warehouse(place, "stedi").write_lock():
        told.set()
        time.sleep(600)
