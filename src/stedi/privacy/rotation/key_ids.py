"""IDs of keys, and where the keys come from."""

import hmac
from dataclasses import dataclass

from stedi.config import Settings
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.pipeline.pseudonym_key import KEY_FILE, stored_key
from stedi.privacy.certificate import find_signing_key
from stedi.storage import open_warehouse

_ID_DIGITS = 16


@dataclass(frozen=True)
class KeyDescription:
    """A key: what it is for, where it comes from, and its ID, None if there is no key yet or no key for the ID."""

    key: str
    source: str
    id: str | None


def key_id(suppression: SuppressionList, key: bytes) -> str:
    """Return the ID of a pseudonym key; empty if there is no suppression key yet.

    A plain digest would allow anybody who reads a certificate to test guesses of a weak secret. So it is keyed with the
    suppression key.

    Args:
        suppression: has the suppression key.
        key: the pseudonym key.
    """
    if suppression.key is None:
        return ""
    return hmac.digest(suppression.key, b"pseudonym key:" + key, "sha256").hex()[:_ID_DIGITS]


def describe_keys(settings: Settings) -> list[KeyDescription]:
    """Describe the keys of a lakehouse. Never returns a key, and creates none.

    Raises:
        UsageError: the signing key is no Ed25519 key.
        WarehouseError: a key can't be read, or a warehouse in S3 has no configured pseudonym key.
    """
    folder = open_warehouse(settings.privacy_folder)
    suppression, key = open_suppression(settings), stored_key(settings)
    configured = settings.privacy.signing_key
    signing = find_signing_key(folder, configured.get_secret_value() if configured else None)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    return [
        KeyDescription(
            "pseudonyms",
            _source(settings.pseudonym_key, "STEDI_PSEUDONYM_KEY", warehouse.path(KEY_FILE)),
            (key_id(suppression, key) or None) if key else None,
        ),
        KeyDescription(
            "suppression list",
            _source(settings.privacy.suppression_key, "STEDI_PRIVACY__SUPPRESSION_KEY", folder.path("suppression.key")),
            suppression.key_id if suppression.key else None,
        ),
        KeyDescription(
            "signatures of certificates",
            _source(configured, "STEDI_PRIVACY__SIGNING_KEY", folder.path("signing.key")),
            signing.fingerprint if signing else None,
        ),
    ]


def _source(configured: object, variable: str, file: str) -> str:
    return f"setting {variable}" if configured is not None else file
