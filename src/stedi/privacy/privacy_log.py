"""The privacy log: one file per question about a person. Entries are added, never changed."""

import json
import os
import pwd
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors

_FOLDER = "privacy_log"


@dataclass(frozen=True)
class LogEntry:
    """A question about a person.

    Attributes:
        asked_at: time of the question (ISO 8601, UTC).
        user: user of the operating system who asked.
        command: the command.
        pseudonym: the person's pseudonym, in full. Without the key it identifies nobody.
    """

    asked_at: str
    user: str
    command: str
    pseudonym: str


def log_question(warehouse: Warehouse, command: str, pseudonym: str) -> LogEntry:
    """Add an entry to the privacy log, before anything about the person is read.

    Each entry is a new file, written atomically. In a folder, only its owner can read it.

    Args:
        warehouse: the warehouse, which must exist.
        command: the command, such as "person".
        pseudonym: the person's pseudonym.

    Returns:
        The entry.

    Raises:
        WarehouseError: the entry can't be written.
    """
    now = datetime.now(UTC)
    entry = LogEntry(now.isoformat(timespec="milliseconds"), operating_system_user(), command, pseudonym)
    name = f"{_FOLDER}/{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex}.json"
    with translate_storage_errors(f"nothing is shown, because the privacy log {warehouse.path(_FOLDER)} can't be written"):
        warehouse.create(name, json.dumps(asdict(entry)).encode(), private=warehouse.can_store_secrets)
    return entry


def operating_system_user() -> str:
    """Return the name of the user who runs this process, or the user's number if it has no name.

    Environment variables such as `USER` are not used: anybody can set them.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
