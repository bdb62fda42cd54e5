"""The secret key of the pseudonyms, and the parameters of the tables' queries."""

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
    """The key of the pseudonyms, derived from the configured secret or else from a random one in the warehouse.

    The warehouse's file contains the secret as text. Configuring the same text gives the same pseudonyms.

    Args:
        settings: the settings.
        create: whether to store a new key in a warehouse that has none. A dry run stores none and uses a temporary key.

    Returns:
        32 bytes.

    Raises:
        WarehouseError: the key is missing, empty or can't be read, and this warehouse must not get a new one.
    """
    if settings.pseudonym_key is not None:
        return _digest(settings.pseudonym_key.get_secret_value().encode(), "the configured pseudonym key")
    warehouse = open_warehouse(settings.warehouse, settings.database)
    if not warehouse.can_store_secrets:
        raise WarehouseError(
            f"there is no pseudonym key, and warehouse {warehouse} can't store one secretly; "
            "set STEDI_PSEUDONYM_KEY to the same secret for every run"
        )
    try:
        content = warehouse.read(_KEY_FILE)
    except FileNotFoundError:
        if latest_run(warehouse) is not None:
            raise WarehouseError(
                f"warehouse {warehouse} has lost its {_KEY_FILE}, and STEDI_PSEUDONYM_KEY is not set; restore the file, "
                "or set STEDI_PSEUDONYM_KEY to the secret of the earlier runs (a new key would change every pseudonym)"
            ) from None
        content = secrets.token_urlsafe(_KEY_BYTES).encode()
        if create:
            warehouse.create(_KEY_FILE, content, private=True)
    except OSError as error:
        raise WarehouseError(
            f"the pseudonym key in warehouse {warehouse} can't be read: {error.strerror}; "
            "set STEDI_PSEUDONYM_KEY, or run as the user who owns the file"
        ) from error
    # In warehouses of early versions the file contains the key itself instead of a secret text.
    return content if len(content) == _KEY_BYTES else _digest(content.strip(), warehouse.path(_KEY_FILE))


def _digest(secret: bytes, source: str) -> bytes:
    """Hash a secret of any length to the length of a key."""
    if not secret.strip():
        # Anybody could compute pseudonyms from an empty secret.
        raise WarehouseError(
            f"{source} is empty; set it to the secret of the earlier runs, or to a new one if there are none"
        )
    return hashlib.sha256(secret).digest()
