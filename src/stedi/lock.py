"""One writer at a time: an operating-system lock on a file in the warehouse.

The system drops the lock when the process ends, however it ends, so nothing can be left locked.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stedi.catalog import warehouse_errors
from stedi.errors import WarehouseBusyError


@contextmanager
def sole_writer(warehouse: Path) -> Iterator[None]:
    """Hold the warehouse for writing.

    Raises:
        WarehouseBusyError: another run holds it.
        WarehouseError: the folder can't be written.
    """
    with warehouse_errors(f"warehouse {warehouse} can't be written"):
        warehouse.mkdir(parents=True, exist_ok=True)
        file = (warehouse / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WarehouseBusyError(f"another run is working on {warehouse}; wait for it to end, then run again") from None
        yield


def fresh_scratch(warehouse: Path) -> Path:
    """An empty folder for what is not kept; the caller holds the warehouse, so what lies there is a dead process's."""
    scratch = warehouse / ".scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return scratch
