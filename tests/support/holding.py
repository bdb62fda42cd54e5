"""A process that holds a warehouse's write lock until it is killed."""

import os
import time
from typing import Any

from stedi.storage import open_warehouse, s3_lock


def hold_write_lock(place: str, seconds: float, environment: dict[str, str], told: Any) -> None:
    """Hold the write lock, set `told`, and sleep until the process is killed.

    Args:
        place: address of the warehouse.
        seconds: length of the lease of a warehouse in S3.
        environment: environment variables to set.
        told: event to set once the lock is held.
    """
    os.environ.update(environment)
    s3_lock.LEASE_SECONDS = seconds
    with open_warehouse(place, "stedi").write_lock():
        told.set()
        time.sleep(600)
