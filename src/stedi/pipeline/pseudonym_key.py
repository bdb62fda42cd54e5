"""The secret that keys the pseudonyms, and the parameters of the tables' queries."""

import hashlib
import secrets

from stedi.catalog.run_log import latest_run
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.model.identity import padded_keys
from stedi.model.query_settings import QuerySettings
from stedi.storage import open_warehouse

_KEY_FILE, _KEY_BYTES = "pseudonym.key", 32


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
    """The key of the pseudonyms: the configured secret, else a random one that the warehouse keeps.

    The file contains text. The same text as the configured secret gives the same pseudonyms.

    Args:
        settings: the settings.
        create: whether to store a new key in a warehouse that has none. A dry run does not; its key is thrown away.

    Returns:
        32 bytes.

    Raises:
        WarehouseError: there is no key and none may be stored, the key was lost, can't be read or is empty.
    """
    if settings.pseudonym_key is not None:
        return _digest(settings.pseudonym_key.get_secret_value().encode(), "the configured pseudonym key")
    warehouse = open_warehouse(settings.warehouse, settings.database)
    if not warehouse.can_store_secrets:
        raise WarehouseError(
            f"there is no pseudonym key, and beside the data in {warehouse} it would not be secret; "
            "set STEDI_PSEUDONYM_KEY, to the same secret for every run"
        )
    try:
        content = warehouse.read(_KEY_FILE)
    except FileNotFoundError:
        if latest_run(warehouse) is not None:
            raise WarehouseError(
                f"warehouse {warehouse} has lost its {_KEY_FILE}, and STEDI_PSEUDONYM_KEY is not set; another key "
                "would give everybody another pseudonym, so set it to the secret of the runs before, or put the file back"
            ) from None
        content = secrets.token_urlsafe(_KEY_BYTES).encode()
        if create:
            warehouse.create(_KEY_FILE, content, private=True)
    except OSError as error:
        raise WarehouseError(
            f"the pseudonym key in warehouse {warehouse} can't be read: {error.strerror}; "
            "set STEDI_PSEUDONYM_KEY, or work as the user who made it"
        ) from error
    # Warehouses of early versions contain the key itself instead of a secret text.
    return content if len(content) == _KEY_BYTES else _digest(content.strip(), warehouse.path(_KEY_FILE))


def _digest(secret: bytes, source: str) -> bytes:
    """Hash a secret of any length to the length of a key."""
    if not secret.strip():
        # Everybody could compute the pseudonyms.
        raise WarehouseError(f"{source} is empty; give it the secret of the runs before, or, where there are none, any")
    return hashlib.sha256(secret).digest()
