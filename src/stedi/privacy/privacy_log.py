"""The privacy log: one file per question about a person. Entries are added, never changed."""

import json
import os
import pwd
import uuid
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from stedi.ingest.suppression import SuppressionList
from stedi.storage import Warehouse
from stedi.storage.errors import translate_damage, translate_storage_errors

# Folder in the warehouse.
LOG_FOLDER = "privacy_log"


@dataclass(frozen=True)
class LogEntry:
    """A question about a person.

    Attributes:
        asked_at: time of the question (ISO 8601, UTC).
        user: user of the operating system who asked.
        command: the command.
        pseudonym: the person's pseudonym, in full, or the keyed digest of an erased person. Without the key it identifies
            nobody.
    """

    asked_at: str
    user: str
    command: str
    pseudonym: str


def log_question_about(
    warehouse: Warehouse, suppression: SuppressionList, command: str, person: str, pseudonym: str
) -> LogEntry:
    """Add an entry like `log_question`. The pseudonym of an erased person must not come back, so their digest is logged.

    Args:
        warehouse: the warehouse, which must exist.
        suppression: the suppression list.
        command: the command, such as "person".
        person: the person's normalised address.
        pseudonym: the person's pseudonym.
    """
    is_erased = suppression.refuses(person)
    return log_question(warehouse, command, suppression.person_digest(person) if is_erased else pseudonym)


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
    name = f"{LOG_FOLDER}/{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex}.json"
    with translate_storage_errors(
        f"nothing is shown, because the privacy log {warehouse.path(LOG_FOLDER)} can't be written"
    ):
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


def replace_pseudonyms(warehouse: Warehouse, subjects: Mapping[str, str]) -> int:
    """Replace the pseudonyms of erased people in the privacy log. Who asked and when stays.

    Args:
        warehouse: the warehouse.
        subjects: what to write instead, by pseudonym, such as the keyed digest in the suppression list.

    Returns:
        The number of entries that were changed.

    Raises:
        WarehouseError: an entry can't be read or written.
    """
    entries = find_entries(warehouse, subjects)
    with translate_storage_errors(f"the privacy log {warehouse.path(LOG_FOLDER)} can't be written"):
        for name, entry in entries.items():
            changed = replace(entry, pseudonym=subjects[entry.pseudonym])
            warehouse.replace(name, json.dumps(asdict(changed)).encode())
    return len(entries)


def find_entries(warehouse: Warehouse, pseudonyms: Container[str]) -> dict[str, LogEntry]:
    """Return the entries about some people, by the name of their file.

    Raises:
        WarehouseError: an entry can't be read.
    """
    return {name: entry for name, entry in read_log(warehouse).items() if entry.pseudonym in pseudonyms}


def read_log(warehouse: Warehouse) -> dict[str, LogEntry]:
    """Return all entries, by the name of their file.

    Raises:
        WarehouseError: an entry can't be read.
    """
    with (
        translate_storage_errors(f"the privacy log {warehouse.path(LOG_FOLDER)} can't be read"),
        translate_damage("an entry of the privacy log"),
    ):
        return {file.name: LogEntry(**json.loads(warehouse.read(file.name))) for file in warehouse.list(LOG_FOLDER)}
