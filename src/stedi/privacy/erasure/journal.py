"""The journal of an unfinished erasure: what to erase, so that a killed erasure can go on.

The rows that show which devices are a person's are among the first to be removed, so the journal keeps the result. It is the
only file of an erasure that contains plain identifiers. It is deleted at the end.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stedi.errors import WarehouseError
from stedi.ingest.suppression import DevicePeriod
from stedi.privacy.erasure.search import People
from stedi.storage import Warehouse

_FILE = "erasure.json"


@dataclass(frozen=True)
class Journal:
    """An unfinished erasure.

    Attributes:
        erasure_id: its ID.
        started_at: start (ISO 8601, UTC).
        user: user of the operating system who asked for it.
        people: the people, with the devices that were theirs when it started.
        facts: numbers for the certificate, of steps that are finished.
    """

    erasure_id: str
    started_at: str
    user: str
    people: People
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_journal(folder: Warehouse) -> Journal | None:
    """Read the journal from the privacy folder; None if no erasure is unfinished.

    Raises:
        WarehouseError: the journal is damaged.
    """
    try:
        document = json.loads(folder.read(_FILE))
        people = document.pop("people")
        devices = tuple(DevicePeriod(**device) for device in people["devices"])
        return Journal(**document, people=People(tuple(people["addresses"]), devices))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise WarehouseError(
            f"the journal {folder.path(_FILE)} of an unfinished erasure is damaged; "
            "delete it, then start the erasure again with the same addresses"
        ) from None


def write_journal(folder: Warehouse, journal: Journal) -> None:
    """Write the journal atomically and durably."""
    folder.make_folder("")
    folder.replace(_FILE, json.dumps(asdict(journal)).encode())


def delete_journal(folder: Warehouse) -> None:
    """Delete the journal of a finished erasure."""
    folder.delete(_FILE)
