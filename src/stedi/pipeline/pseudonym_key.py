"""The secret key of the pseudonyms, and the parameters of the tables' queries."""

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Self

from stedi.catalog.run_log import latest_run
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.model.identity import padded_keys
from stedi.model.query_settings import QuerySettings
from stedi.storage import Warehouse, open_warehouse
from stedi.storage.errors import translate_damage, translate_storage_errors

KEY_FILE, _KEY_BYTES = "pseudonym.key", 32
# Written by the first rotation of the key.
STATE_FILE = "pseudonym_key.json"
# The journal of an unfinished rotation, and both keys if the warehouse stores its key.
ROTATION_JOURNAL, ROTATION_KEYS = "key_rotation.json", "pseudonym.key.rotation"
# The files of the warehouse that contain the key, or change until the end of a rotation.
KEY_FILES = frozenset({KEY_FILE, STATE_FILE, ROTATION_JOURNAL, ROTATION_KEYS})


@dataclass(frozen=True)
class KeyState:
    """Which key the pseudonyms of a warehouse were computed with. A warehouse whose key was never rotated has none.

    Attributes:
        salt: random, in hexadecimal. Without it a file list with digests could be used to test guesses of a weak secret.
        digest: digest of the key with the salt, in hexadecimal.
        rotation_id: ID of an unfinished rotation; None if there is none.
    """

    salt: str
    digest: str
    rotation_id: str | None = None

    @classmethod
    def of(cls, key: bytes, rotation_id: str | None = None) -> Self:
        """Return the state for a key, with a new salt."""
        salt = secrets.token_hex(_KEY_BYTES)
        return cls(salt, _state_digest(key, salt), rotation_id)

    def is_of(self, key: bytes) -> bool:
        """Whether it is the state for a key."""
        return hmac.compare_digest(self.digest, _state_digest(key, self.salt))


def _state_digest(key: bytes, salt: str) -> str:
    return hmac.digest(key, b"state:" + salt.encode(), "sha256").hex()


def read_key_state(warehouse: Warehouse) -> KeyState | None:
    """Read the state of the pseudonym key; None if it was never rotated.

    Raises:
        WarehouseError: the file is damaged or can't be read.
    """
    with translate_storage_errors(f"{warehouse.path(STATE_FILE)} can't be read"), translate_damage(STATE_FILE):
        try:
            return KeyState(**json.loads(warehouse.read(STATE_FILE)))
        except FileNotFoundError:
            return None


def write_key_state(warehouse: Warehouse, state: KeyState) -> None:
    """Write the state of the pseudonym key. The caller holds the write lock."""
    warehouse.confirm_write_lock()
    warehouse.replace(STATE_FILE, json.dumps(asdict(state)).encode())


def query_parameters(settings: QuerySettings, key: bytes) -> dict[str, str | bytes]:
    """The named parameters of the tables' queries.

    Args:
        settings: the settings that decide which rows the tables contain.
        key: the key of the pseudonyms.
    """
    return {
        "consent_policy": settings.policy,
        "owners_confidence": str(settings.owners_confidence),
        "match_tolerance_ms": str(settings.match_tolerance_ms),
        **padded_keys(key),
    }


def pseudonym_key(settings: Settings, *, create: bool = True) -> bytes:
    """The key of the pseudonyms, derived from the configured secret or else from a random one in the warehouse.

    The warehouse's file contains the secret as text. Configuring the same text gives the same pseudonyms.

    Args:
        settings: the settings.
        create: whether to store a new key in a warehouse that has none. A dry run stores none and uses a temporary key.

    Returns:
        32 bytes.

    Raises:
        WarehouseError: the key is missing, empty or can't be read, and this warehouse must not get a new one; or it is not
            the key of the last rotation; or a rotation is unfinished.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    state = read_key_state(warehouse)
    if state is not None and state.rotation_id is not None:
        raise WarehouseError(
            f"the pseudonym key of {warehouse} is being rotated, or a rotation was interrupted; wait for it to end, "
            "or complete it with `stedi keys rotate`"
        )
    key = stored_key(settings)
    if key is None:
        if state is not None or latest_run(warehouse) is not None:
            raise WarehouseError(
                f"warehouse {warehouse} has lost its {KEY_FILE}, and STEDI_PSEUDONYM_KEY is not set; restore the file, "
                "or set STEDI_PSEUDONYM_KEY to the secret of the earlier runs (a new key would change every pseudonym)"
            )
        secret = new_secret()
        if create:
            warehouse.create(KEY_FILE, secret, private=True)
        key = key_of(secret, warehouse.path(KEY_FILE))
    if state is not None and not state.is_of(key):
        raise WarehouseError(
            f"the pseudonym key is not that of the last rotation of {warehouse}; set STEDI_PSEUDONYM_KEY to the new secret, "
            "or restore the newest pseudonym.key"
        )
    return key


def stored_key(settings: Settings) -> bytes | None:
    """The key from the configured secret or the warehouse's file, whether or not it is current; None if there is none.

    Raises:
        WarehouseError: the key is empty or can't be read, or the warehouse can't store one.
    """
    if settings.pseudonym_key is not None:
        return key_of(settings.pseudonym_key.get_secret_value().encode(), "the configured pseudonym key")
    return read_key_file(open_warehouse(settings.warehouse, settings.database))


def read_key_file(warehouse: Warehouse) -> bytes | None:
    """The key in the warehouse's file; None if there is none.

    Raises:
        WarehouseError: the file is empty or can't be read, or the warehouse can't store a key.
    """
    if not warehouse.can_store_secrets:
        raise WarehouseError(
            f"there is no pseudonym key, and warehouse {warehouse} can't store one secretly; "
            "set STEDI_PSEUDONYM_KEY to the same secret for every run"
        )
    try:
        content = warehouse.read(KEY_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WarehouseError(
            f"the pseudonym key in warehouse {warehouse} can't be read: {error.strerror}; "
            "set STEDI_PSEUDONYM_KEY, or run as the user who owns the file"
        ) from error
    # In warehouses of early versions the file contains the key itself instead of a secret text.
    return content if len(content) == _KEY_BYTES else key_of(content.strip(), warehouse.path(KEY_FILE))


def new_secret() -> bytes:
    """Return a random secret text for a new key."""
    return secrets.token_urlsafe(_KEY_BYTES).encode()


def key_of(secret: bytes, source: str) -> bytes:
    """Hash a secret of any length to the length of a key.

    Args:
        secret: the secret.
        source: where it is from, for the message.

    Raises:
        WarehouseError: it is empty.
    """
    if not secret.strip():
        # Anybody could compute pseudonyms from an empty secret.
        raise WarehouseError(
            f"{source} is empty; set it to the secret of the earlier runs, or to a new one if there are none"
        )
    return hashlib.sha256(secret).digest()
