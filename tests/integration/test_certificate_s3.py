"""Prefixes in S3 are searched, and certificates are written to one."""

import gzip
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi.errors import WarehouseError
from stedi.privacy.certificate import CertificateFacts, signing_key, write_certificate
from stedi.privacy.identifiers import person_identifiers
from stedi.privacy.scan.roots import Root, scan
from stedi.privacy.verify_certificate import main
from stedi.storage import open_warehouse
from tests.support.s3 import BUCKET, Store, aws, server, store

__all__ = ["aws", "server", "store"]


def new_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def test_a_prefix_is_searched_and_gets_a_certificate(store: Store, tmp_path: Path) -> None:
    store.put("landing/customer/1.json.gz", gzip.compress(b"ann@example.com"))
    store.put("landing/ann@example.com", b"x")
    store.put("other", b"ann@example.com")
    ann = person_identifiers("ann", addresses=["ann@example.com"])
    root = Root("landing", open_warehouse(f"s3://{BUCKET}/landing"))
    inventory, result = scan([root], ann, b"key", lambda _: None)
    assert [(hit.file[:9], hit.count) for hit in result.hits] == [("landing/#", 1), ("landing/c", 1)]
    assert hashlib.sha256(b"x").hexdigest() == inventory.files[0].sha256
    privacy = open_warehouse(f"s3://{BUCKET}/privacy")
    with pytest.raises(WarehouseError, match="STEDI_PRIVACY__SIGNING_KEY"):
        signing_key(privacy, None)
    pem = new_key()
    facts = CertificateFacts("erasure", "20260101T000000Z-abcdef", "0", "officer", "2026", "2026", "2026", inventory)
    written = write_certificate(privacy, facts, signing_key(privacy, pem), ann)
    (tmp_path / "a.json").write_bytes(privacy.read(written.file))
    assert main([str(tmp_path / "a.json")]) == 0
    with pytest.raises(WarehouseError, match="exists"):
        write_certificate(privacy, facts, signing_key(privacy, new_key()), ann)
