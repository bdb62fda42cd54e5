"""The journal of an unfinished rotation of the pseudonym key, in the warehouse.

It is in the warehouse, because a warehouse that is restored from a backup must have the journal of its own state. While the
warehouse stores its key, a second file beside the key's has the old and the new one. It is overwritten before the
certificate says that the old key was destroyed.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stedi.errors import WarehouseError
from stedi.pipeline.pseudonym_key import ROTATION_JOURNAL, ROTATION_KEYS
from stedi.privacy.certificate import CertificateFacts
from stedi.privacy.rotation.plan import KeyRotation
from stedi.storage import Warehouse
from stedi.storage.disk import overwrite_and_delete
from stedi.storage.errors import translate_damage, translate_storage_errors


@dataclass(frozen=True)
class RotationJournal:
    """An unfinished rotation.

    Attributes:
        rotation_id: its ID, also that of the run that publishes the tables.
        started_at: start (ISO 8601, UTC).
        user: user of the operating system who asked for it.
        old_key_id: ID of the old key.
        new_key_id: ID of the new key.
        plan: what was planned.
        facts: what the certificate states; None until everything is done but the destruction of the old key.
    """

    rotation_id: str
    started_at: str
    user: str
    old_key_id: str
    new_key_id: str
    plan: KeyRotation
    facts: CertificateFacts | None = None


@dataclass(frozen=True)
class Keys:
    """The keys of a rotation.

    Attributes:
        old: the old key.
        new: the new key.
        new_secret: the secret text of the new key, which the warehouse's file will contain; None if it is configured.
    """

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)
    new_secret: bytes | None = field(default=None, repr=False)


_CODEC = TypeAdapter(RotationJournal)


def read_rotation(warehouse: Warehouse) -> RotationJournal | None:
    """Read the journal; None if no rotation is unfinished.

    Raises:
        WarehouseError: the journal is damaged or can't be read.
    """
    with translate_storage_errors(f"{warehouse.path(ROTATION_JOURNAL)} can't be read"):
        try:
            return _CODEC.validate_json(warehouse.read(ROTATION_JOURNAL))
        except FileNotFoundError:
            return None
        except ValidationError:
            raise WarehouseError(
                f"the journal {warehouse.path(ROTATION_JOURNAL)} of an unfinished rotation is damaged; "
                "restore it from a backup"
            ) from None


def write_rotation(warehouse: Warehouse, journal: RotationJournal) -> None:
    """Write the journal atomically and durably."""
    warehouse.confirm_write_lock()
    warehouse.replace(ROTATION_JOURNAL, _CODEC.dump_json(journal))


def write_keys(warehouse: Warehouse, keys: Keys) -> None:
    """Store the keys of a rotation, if the warehouse stores its key. Only this user can read them."""
    assert keys.new_secret is not None
    content = {"old": keys.old.hex(), "new": keys.new.hex(), "new_secret": keys.new_secret.decode()}
    destroy(warehouse, ROTATION_KEYS)
    warehouse.create(ROTATION_KEYS, json.dumps(content).encode(), private=True)


def read_keys(warehouse: Warehouse) -> Keys | None:
    """Read the stored keys; None if there are none.

    Raises:
        WarehouseError: the file is damaged or can't be read.
    """
    with translate_storage_errors(f"{warehouse.path(ROTATION_KEYS)} can't be read"), translate_damage(ROTATION_KEYS):
        try:
            content = json.loads(warehouse.read(ROTATION_KEYS))
        except FileNotFoundError:
            return None
        return Keys(bytes.fromhex(content["old"]), bytes.fromhex(content["new"]), content["new_secret"].encode())


def destroy(warehouse: Warehouse, name: str) -> None:
    """Overwrite and delete a file with a key. A warehouse that can't store secrets has none."""
    if warehouse.can_store_secrets:
        overwrite_and_delete(Path(warehouse.path(name)))


def delete_rotation(warehouse: Warehouse) -> None:
    """Delete the journal of a finished rotation, or of one that has changed nothing, and the keys."""
    destroy(warehouse, ROTATION_KEYS)
    warehouse.delete(ROTATION_JOURNAL)
