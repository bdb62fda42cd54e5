"""Signed certificates of erasure, of key rotation and of unlearning. They contain no personal data.

A certificate is a JSON file in the folder `certificates` of the privacy folder. Beside it are a page for people, the public
key, and the script that checks it. Its encoding is canonical: sorted keys, no spaces, ASCII, whole numbers only.
Each field is described in docs/certificate.md.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi import __version__
from stedi.errors import UsageError, WarehouseError
from stedi.privacy.certificate_page import certificate_page
from stedi.privacy.identifiers import Identifier
from stedi.privacy.inventory import Inventory
from stedi.privacy.scan.roots import ScanResult
from stedi.privacy.scan.search import Matcher, Search, View
from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors

CertificateKind = Literal["erasure", "key_rotation", "unlearning"]

FORMAT = 1
FOLDER = "certificates"
# What is signed begins with this line, so that no other document with this signature can be taken for a certificate.
_SIGNED_PREFIX = b"STEDI certificate 1\n"
_KEY_FILE, _PUBLIC_KEY, _SCRIPT = "signing.key", f"{FOLDER}/signing.pub", "verify_certificate.py"
_SETTING = "STEDI_PRIVACY__SIGNING_KEY"
# As strong as the key: 32 characters of 62 have 190 bits, more than Ed25519's 128.
_MIN_SECRET = 32


@dataclass(frozen=True)
class Subject:
    """An erased person.

    Attributes:
        digest: keyed digest of the normalised address, as in the suppression list.
        spellings: keyed digests of the received spellings (`spelling_digest`).
    """

    digest: str
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemovedRows:
    """Number of rows that were removed from a table."""

    table: str
    zone: str
    rows: int


@dataclass(frozen=True)
class RewrittenFile:
    """A file that lost a person's records, and is otherwise unchanged.

    Attributes:
        file: its name, safe to print.
        replaced_by: name of the new file; None if nothing was left.
        removed: number of rows or records removed.
        bytes_before: size.
        bytes_after: size of the new file; 0 if there is none.
        checksum_before: checksum of everyone else's rows or bytes in the old file.
        checksum_after: the same of the new file. It is equal.
    """

    file: str
    replaced_by: str | None
    removed: int
    bytes_before: int
    bytes_after: int
    checksum_before: str
    checksum_after: str


@dataclass(frozen=True)
class RewrittenHistory:
    """Snapshots of a table that contained a person: rewritten without them, or expired."""

    table: str
    rewritten: int
    expired: int


@dataclass(frozen=True)
class ReplacedModel:
    """A model that learned from a person: SHA-256 of its files, and of those of the model trained without the person."""

    model: str
    sha256_before: str
    sha256_after: str | None


@dataclass(frozen=True)
class OtherRemoval:
    """Something else that was removed, such as "entries of the privacy log" or "object versions", and how many."""

    what: str
    count: int


@dataclass(frozen=True)
class Remainder:
    """Something about the person that stays: why, and until when (ISO 8601; None if nobody knows)."""

    what: str
    why: str
    until: str | None = None


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate states.

    Attributes:
        kind: what happened.
        id: ID of the erasure, the rotation or the unlearning.
        suppression_key: ID of the key of all keyed digests.
        asked_by: user of the operating system.
        asked_at: time of the request (ISO 8601, UTC).
        began_at: start of the work.
        finished_at: end of the work.
        after: all files afterwards.
        before: all files before; None if they were not listed.
        scan: what was found afterwards; None if nothing was searched.
        subjects: the persons; none for a rotation of keys.
        keys: IDs of keys that were destroyed.
        rows: rows removed.
        landing_files: landing files rewritten or deleted.
        data_files: data files of tables rewritten or deleted.
        histories: snapshots rewritten or expired.
        models: models replaced or deleted.
        others: what else was removed.
        remainders: what stays.
        left_out: files that are in no inventory, because they change afterwards, with the name of their root.
    """

    kind: CertificateKind
    id: str
    suppression_key: str
    asked_by: str
    asked_at: str
    began_at: str
    finished_at: str
    after: Inventory
    before: Inventory | None = None
    scan: ScanResult | None = None
    subjects: tuple[Subject, ...] = ()
    keys: tuple[str, ...] = ()
    rows: tuple[RemovedRows, ...] = ()
    landing_files: tuple[RewrittenFile, ...] = ()
    data_files: tuple[RewrittenFile, ...] = ()
    histories: tuple[RewrittenHistory, ...] = ()
    models: tuple[ReplacedModel, ...] = ()
    others: tuple[OtherRemoval, ...] = ()
    remainders: tuple[Remainder, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class SigningKey:
    """The key that signs certificates."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> bytes:
        """The public key (32 bytes)."""
        return self.private.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key, in hexadecimal."""
        return hashlib.sha256(self.public).hexdigest()

    @property
    def public_pem(self) -> bytes:
        """The public key as PEM."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass(frozen=True)
class WrittenCertificate:
    """A certificate in the privacy folder.

    Attributes:
        id: ID of the erasure, the rotation or the unlearning.
        file: name of the JSON file in the privacy folder.
        page: name of the page.
        sha256: SHA-256 of the JSON file.
    """

    id: str
    file: str
    page: str
    sha256: str


def spelling_digest(key: bytes, spelling: str) -> str:
    """Return the keyed digest of a spelling of an address, in any case, for `Subject.spellings`.

    Args:
        key: the suppression key.
        spelling: the address as received.
    """
    return hmac.digest(key, b"spelling:" + spelling.strip().lower().encode(), "sha256").hex()


def signing_key(storage: Warehouse, configured: str | None) -> SigningKey:
    """Return the signing key; the first call creates one in a privacy folder on disk.

    Args:
        storage: the privacy folder.
        configured: the key as PEM, from the settings; None if none is configured.

    Raises:
        UsageError: the configured key is no Ed25519 key.
        WarehouseError: the key can't be read or stored.
    """
    if found := find_signing_key(storage, configured):
        return found
    with translate_storage_errors(f"the signing key in {storage} can't be written"):
        if not storage.can_store_secrets:
            raise WarehouseError(f"{storage} can't store a signing key secretly; set {_SETTING} to an Ed25519 key (PEM)")
        key = Ed25519PrivateKey.generate()
        storage.make_folder("")
        storage.create(_KEY_FILE, _as_pem(key), private=True)
    return SigningKey(key)


def find_signing_key(storage: Warehouse, configured: str | None) -> SigningKey | None:
    """Return the signing key; None if there is none yet.

    Args:
        storage: the privacy folder.
        configured: the key as PEM, from the settings; None if none is configured.

    Raises:
        UsageError: the key is no Ed25519 key.
        WarehouseError: the key can't be read.
    """
    if configured is not None:
        return _load_key(configured.encode(), _SETTING)
    with translate_storage_errors(f"the signing key in {storage} can't be read"):
        try:
            return _load_key(storage.read(_KEY_FILE), f"{_KEY_FILE} in {storage}")
        except FileNotFoundError:
            return None


def derive_signing_key(secret: str) -> str:
    """Return the Ed25519 key, as PEM, that follows from a random secret of at least 32 characters.

    For a store of secrets that can generate a random text, and no key.

    Raises:
        UsageError: the secret is too short.
    """
    if len(secret) < _MIN_SECRET:
        raise UsageError(f"the secret of the signing key is shorter than {_MIN_SECRET} characters; generate another")
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())
    return _as_pem(key).decode()


def _as_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _load_key(pem: bytes, source: str) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{source} is not an Ed25519 key in PEM without a password; create one with `openssl genpkey`")
    return SigningKey(key)


def write_certificate(
    storage: Warehouse, facts: CertificateFacts, key: SigningKey, identifiers: Sequence[Identifier]
) -> WrittenCertificate:
    """Write a signed certificate, its page, the public key and the script that checks it.

    The JSON file is written last: a killed call can be repeated.

    Args:
        storage: the privacy folder.
        facts: what the certificate states.
        key: signs it.
        identifiers: what it may not contain.

    Raises:
        WarehouseError: it would contain an identifier, it exists, or it can't be written.
    """
    file, page = f"{FOLDER}/{facts.id}.json", f"{FOLDER}/{facts.id}.html"
    with translate_storage_errors(f"the certificate can't be written to {storage}"):
        content = encode_certificate(facts, key, previous_certificate(storage, facts.id))
        sha256 = hashlib.sha256(content).hexdigest()
        html = certificate_page(json.loads(content)["certificate"], sha256).encode()
        _refuse_identifiers((content, html), identifiers)
        storage.make_folder("")
        public = {_PUBLIC_KEY: key.public_pem, f"{FOLDER}/{_SCRIPT}": files("stedi.privacy").joinpath(_SCRIPT).read_bytes()}
        for name, of_name in {**public, page: html}.items():
            storage.delete(name)
            storage.create(name, of_name, private=storage.can_store_secrets)
        try:
            storage.create(file, content, private=storage.can_store_secrets)
        except FileExistsError:
            raise WarehouseError(f"certificate {facts.id} exists in {storage}; certificates are never replaced") from None
    return WrittenCertificate(facts.id, file, page, sha256)


def previous_certificate(storage: Warehouse, id: str) -> tuple[str, str] | None:
    """Return the ID of the newest other certificate, and the SHA-256 of its file; None if there is none.

    Args:
        storage: the privacy folder.
        id: ID of the certificate to be written.
    """
    others = [file for file in storage.list(FOLDER) if file.name.endswith(".json") and file.name != f"{FOLDER}/{id}.json"]
    if not others:
        return None
    newest = max(others, key=lambda file: (file.modified, file.name)).name
    return newest.removeprefix(f"{FOLDER}/").removesuffix(".json"), hashlib.sha256(storage.read(newest)).hexdigest()


def encode_certificate(facts: CertificateFacts, key: SigningKey, previous: tuple[str, str] | None) -> bytes:
    """Return the content of a certificate's JSON file.

    Args:
        facts: what it states.
        key: signs it.
        previous: ID of the certificate before, and SHA-256 of its file.
    """
    certificate = {
        "format": FORMAT,
        "program": {"name": "stedi", "version": __version__},
        "kind": facts.kind,
        "id": facts.id,
        "subjects": [asdict(subject) for subject in facts.subjects],
        "keys": {
            "suppression": facts.suppression_key,
            "signing": key.fingerprint,
            "public_key": base64.b64encode(key.public).decode(),
            "destroyed": list(facts.keys),
        },
        "asked_by": facts.asked_by,
        "times": {"asked": facts.asked_at, "began": facts.began_at, "finished": facts.finished_at},
        "removed": {
            "rows": [asdict(row) for row in facts.rows],
            "landing_files": [asdict(file) for file in facts.landing_files],
            "data_files": [asdict(file) for file in facts.data_files],
            "snapshots": [asdict(history) for history in facts.histories],
            "models": [asdict(model) for model in facts.models],
            "others": [asdict(other) for other in facts.others],
        },
        "remains": [asdict(remainder) for remainder in facts.remainders],
        "inventory": {
            "before": _inventory(facts.before),
            "after": _inventory(facts.after),
            "left_out": sorted(facts.left_out),
        },
        "scan": asdict(facts.scan) if facts.scan else None,
        "previous": {"id": previous[0], "sha256": previous[1]} if previous else None,
    }
    signature = key.private.sign(_SIGNED_PREFIX + _canonical(certificate)).hex()
    return _canonical({"certificate": certificate, "signature": {"algorithm": "Ed25519", "value": signature}}) + b"\n"


def _inventory(inventory: Inventory | None) -> dict[str, Any] | None:
    if inventory is None:
        return None
    return {"root": inventory.root, "files": [[file.name, file.bytes, file.sha256] for file in inventory.files]}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _refuse_identifiers(contents: Sequence[bytes], identifiers: Sequence[Identifier]) -> None:
    """Refuse to write personal data, whoever put it into the facts."""
    search = Search(Matcher(identifiers))
    search.add_stream(contents, View.TEXT)
    if kinds := search.by_kind():
        counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))
        raise WarehouseError(f"the certificate is not written, because it would contain personal data ({counts})")
