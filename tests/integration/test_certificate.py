"""Certificates are signed, hold no personal data, and the script refuses every change."""

import copy
import hashlib
import hmac
import json
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi.errors import UsageError, WarehouseError
from stedi.ingest.suppression import SuppressionList
from stedi.privacy import certificate as certificates
from stedi.privacy.certificate import (
    CertificateFacts,
    OtherRemoval,
    Remainder,
    RemovedRows,
    ReplacedModel,
    RewrittenFile,
    RewrittenHistory,
    SigningKey,
    Subject,
    WrittenCertificate,
    encode_certificate,
    signing_key,
    spelling_digest,
    write_certificate,
)
from stedi.privacy.identifiers import person_identifiers
from stedi.privacy.inventory import Inventory, InventoryEntry
from stedi.privacy.scan.roots import Doubt, Hit, Root, scan
from stedi.privacy.verify_certificate import RefusedError, main, pattern, refuse
from stedi.storage import WarehouseFolder
from tests.support.packed_files import ADDRESS, COLUMNS, OTHER, PACKED

SECRET = b"secret of the list"
KEY = hashlib.sha256(SECRET).digest()
ANN = person_identifiers("ann", addresses=["ann@example.com"])
SUBJECT = hmac.digest(KEY, b"person:ann@example.com", "sha256").hex()
DIGEST = "ab" * 32


def entry(name: str) -> InventoryEntry:
    return InventoryEntry(name, 3, hashlib.sha256(name.encode()).hexdigest())


BEFORE = Inventory(tuple(entry(f"warehouse/{n}") for n in range(5)))
FACTS = CertificateFacts(
    kind="erasure",
    id="20260101T000000Z-abcdef",
    suppression_key="0123456789abcdef",
    asked_by="officer",
    asked_at="2026-01-01T00:00:00+00:00",
    began_at="2026-01-01T00:00:01+00:00",
    finished_at="2026-01-01T00:01:00+00:00",
    before=BEFORE,
    after=Inventory(BEFORE.files[:3]),
    subjects=(Subject(SUBJECT, (spelling_digest(KEY, "Ann@Example.com"),)),),
    keys=("old",),
    rows=(RemovedRows("customer_landing", "landing", 2), RemovedRows("customer_trusted", "trusted", 1)),
    landing_files=(RewrittenFile("landing/a.json", "landing/a.json", 2, 100, 50, DIGEST, DIGEST),),
    data_files=(RewrittenFile("data/a.parquet", None, 2, 100, 0, DIGEST, DIGEST),),
    histories=(RewrittenHistory("customer_landing", 3, 1),),
    models=(ReplacedModel("detector-1", DIGEST, None),),
    others=(OtherRemoval("entries of the privacy log", 1),),
    remainders=(Remainder("results in Athena's bucket", "its rule deletes them", "2026-02-01"),),
    left_out=("privacy/erasure.json",),
)


@pytest.fixture
def privacy(tmp_path: Path) -> WarehouseFolder:
    return WarehouseFolder(tmp_path / "privacy")


def scanned(facts: CertificateFacts, *roots: Root) -> CertificateFacts:
    inventory, result = scan(roots, ANN, KEY, lambda _: None)
    return replace(facts, after=inventory, scan=result)


def write(privacy: WarehouseFolder, facts: CertificateFacts = FACTS) -> WrittenCertificate:
    return write_certificate(privacy, facts, signing_key(privacy, None), ANN)


def signed(certificate: dict[str, Any], key: SigningKey) -> bytes:
    """A certificate with any content, signed as the product does."""
    signature = key.private.sign(b"STEDI certificate 1\n" + encoded(certificate)).hex()
    return encoded({"certificate": certificate, "signature": {"algorithm": "Ed25519", "value": signature}}) + b"\n"


def encoded(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_a_certificate_with_its_page_key_and_script_is_written(
    privacy: WarehouseFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write(privacy)
    folder = privacy.root / "certificates"
    assert {path.name for path in folder.iterdir()} == {
        f"{FACTS.id}.json",
        f"{FACTS.id}.html",
        "signing.pub",
        "verify_certificate.py",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*folder.iterdir(), privacy.root / "signing.key")} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    content = (folder / f"{FACTS.id}.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == written.sha256
    assert main([str(folder / f"{FACTS.id}.json"), "--public-key", str(folder / "signing.pub")]) == 0
    assert "by the published key" in capsys.readouterr().out
    assert main([str(folder / f"{FACTS.id}.json")]) == 0
    assert "not compared" in capsys.readouterr().out


def test_the_page_is_self_contained_and_shows_roots_and_fingerprint(privacy: WarehouseFolder) -> None:
    page = privacy.read(write(privacy).page).decode()
    certificate = json.loads(privacy.read(f"certificates/{FACTS.id}.json"))["certificate"]
    assert not re.search(r"<script|https?:|src=|@import|url\(|<link", page)
    for text in (
        BEFORE.root,
        certificate["inventory"]["after"]["root"],
        SUBJECT,
        "A4",
        "detector-1",
        "Athena",
        "2026-02-01",
    ):
        assert text in page
    assert certificate["keys"]["signing"] in page.replace(" ", "")


def test_hostile_names_are_escaped_on_the_page(privacy: WarehouseFolder) -> None:
    page = privacy.read(write(privacy, replace(FACTS, asked_by="<script>alert(1)</script>\0")).page).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def changes(value: Any) -> Iterator[Any]:
    """Every copy of a JSON value with one change: a leaf, a key or an order."""
    if isinstance(value, dict):
        yield {**value, "added": 1}
        for key in value:
            yield {other: of_other for other, of_other in value.items() if other != key}
            yield from ({**value, key: changed} for changed in changes(value[key]))
    elif isinstance(value, list):
        yield [*value, 0]
        if value:
            yield value[1:]
        if value != value[::-1]:
            yield value[::-1]
        yield from ([*value[:n], changed, *value[n + 1 :]] for n, item in enumerate(value) for changed in changes(item))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, str(value), float(value), None)
    elif isinstance(value, str):
        yield from (f"{value}0", value[:-1], value.swapcase() + " ", None)
    else:
        yield 0


def test_every_change_of_a_certificate_is_refused(
    privacy: WarehouseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a").write_bytes(b"x")
    write(privacy, replace(FACTS, id="20250101T000000Z-000000"))
    written = write(privacy, scanned(FACTS, Root("warehouse", WarehouseFolder(tmp_path / "lake"))))
    document = json.loads(privacy.read(written.file))
    assert document["certificate"]["previous"]["id"] == "20250101T000000Z-000000"
    tampered, accepted, count = tmp_path / "tampered.json", [], 0
    for changed in changes(document):
        # JSON encodes 3 and 3.0 differently, and compares them as equal.
        assert encoded(changed) != encoded(document)
        tampered.write_bytes(encoded(changed) + b"\n")
        count += 1
        # Without the published key: also a signature by any key has to be right.
        if main([str(tampered)]) != 1:
            accepted.append(changed)
    assert not accepted
    assert count > 400
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b" ",
        lambda content: content.replace(b'"id":', b'"id": ', 1),
        lambda content: content.replace(b'"format":1', b'"format":2,"format":1', 1),
        lambda content: content.replace(b"officer", b"\\u006ffficer"),
        lambda content: json.dumps(json.loads(content), indent=1).encode(),
        lambda content: content[:-20],
        lambda content: b"",
        lambda content: b"\xff",
        lambda content: b"[" * 100_000,
        lambda content: b"[]",
    ],
)
def test_another_encoding_is_refused(privacy: WarehouseFolder, tmp_path: Path, change: Any) -> None:
    content = privacy.read(write(privacy).file)
    (tmp_path / "other.json").write_bytes(change(content))
    assert main([str(tmp_path / "other.json")]) == 1


def test_a_certificate_by_another_key_is_refused_if_the_key_is_published(
    privacy: WarehouseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = privacy.root / "certificates" / "signing.pub"
    content = privacy.read(write(privacy).file)
    forged = tmp_path / "forged.json"
    forged.write_bytes(encode_certificate(FACTS, SigningKey(Ed25519PrivateKey.generate()), None))
    assert main([str(forged)]) == 0
    assert main([str(forged), "--public-key", str(published)]) == 1
    assert "another key" in capsys.readouterr().err
    # The forger's signature under the published key.
    document = json.loads(forged.read_bytes())
    document["certificate"]["keys"] = json.loads(content)["certificate"]["keys"]
    forged.write_bytes(encoded(document) + b"\n")
    assert main([str(forged), "--public-key", str(published)]) == 1
    published.write_bytes(b"no key")
    assert main([str(forged), "--public-key", str(published)]) == 1


def test_wrong_statements_are_refused_although_they_are_signed(privacy: WarehouseFolder, tmp_path: Path) -> None:
    key = signing_key(privacy, None)
    right = json.loads(encode_certificate(FACTS, key, None))["certificate"]
    path = tmp_path / "a.json"
    path.write_bytes(signed(right, key))
    assert main([str(path)]) == 0
    for change in ("root", "order", "fingerprint", "hits", "format", "section"):
        wrong = copy.deepcopy(right)
        if change == "root":
            wrong["inventory"]["after"]["root"] = DIGEST
        elif change == "order":
            wrong["inventory"]["before"]["files"].reverse()
        elif change == "fingerprint":
            wrong["keys"]["signing"] = DIGEST
        elif change == "hits":
            wrong["scan"] = {"hits": [{"file": "a", "kind": "address", "count": 1}]}
        elif change == "format":
            wrong["format"] = 2
        else:
            del wrong["remains"]
        path.write_bytes(signed(wrong, key))
        assert main([str(path)]) == 1, change


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "joann@example.com").write_bytes(b'{"email": "joann@example.com"}')
    (folder / "#odd").write_bytes(b"odd")
    (folder / "plain").write_bytes(b"plain")
    return folder


def arguments(privacy: WarehouseFolder, lake: Path, tmp_path: Path, *more: str) -> list[str]:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    file = privacy.root / "certificates" / f"{FACTS.id}.json"
    return [str(file), "--root", f"lake={lake}", "--root", f"privacy={privacy.root}", *more]


def test_folders_are_compared_with_the_inventory(
    privacy: WarehouseFolder, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signing_key(privacy, None)
    (privacy.root / "erasure.json").write_bytes(b"deleted at the end")
    roots = (Root("lake", WarehouseFolder(lake)), Root("privacy", privacy, frozenset({"erasure.json"})))
    write(privacy, scanned(FACTS, *roots))
    plain = arguments(privacy, lake, tmp_path)
    keyed = [*plain, "--secret", str(tmp_path / "secret")]
    assert main(plain) == main(keyed) == 0
    for change, said in (
        (lambda: (lake / "plain").write_bytes(b"PLAIN"), "changed: lake/plain"),
        (lambda: (lake / "plain").unlink(), "missing: lake/plain"),
        (lambda: (lake / "bob@example.com").write_bytes(b"new"), "not in the certificate: lake/(name with @)"),
    ):
        change()
        assert main(plain) == main(keyed) == 1
        errors = capsys.readouterr().err
        assert said in errors
        assert "bob" not in errors
        (lake / "plain").write_bytes(b"plain")
    (lake / "bob@example.com").unlink()
    (lake / "data" / "joann@example.com").write_bytes(b"x")
    assert main(plain) == main(keyed) == 1


def test_a_person_is_compared_with_the_subject_and_searched_for(
    privacy: WarehouseFolder, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(privacy, scanned(FACTS, Root("lake", WarehouseFolder(lake))))
    secret = ("--secret", str(tmp_path / "secret"))
    all_of = arguments(privacy, lake, tmp_path, *secret)[:3] + list(secret)
    assert main([*all_of, "--address", " ANN@example.com"]) == 0
    assert main([*all_of, "--address", "joann@example.com"]) == 1
    assert "not about this address" in capsys.readouterr().err
    assert main([*all_of, "--address", "ann@example.com", "--also", "joann@example.com"]) == 1
    assert "one of the values" in (output := capsys.readouterr()).err
    assert "joann" not in output.out + output.err
    with pytest.raises(SystemExit):
        main([*all_of[:3], "--address", "ann@example.com"])


def test_the_script_and_the_suppression_list_know_a_person_by_the_same_digest(privacy: WarehouseFolder) -> None:
    assert SuppressionList(privacy, KEY).subject("Ann Lee <ANN@example.com>") == SUBJECT


def test_a_certificate_with_personal_data_is_not_written(privacy: WarehouseFolder) -> None:
    with pytest.raises(WarehouseError, match=r"personal data \(address 1\)") as raised:
        write(privacy, replace(FACTS, left_out=("landing/ann@example.com",)))
    assert "ann@" not in str(raised.value)
    assert not privacy.list("certificates")


def test_a_certificate_is_never_replaced(privacy: WarehouseFolder) -> None:
    content = privacy.read(write(privacy).file)
    with pytest.raises(WarehouseError, match="exists"):
        write(privacy, replace(FACTS, asked_by="somebody else"))
    assert privacy.read(f"certificates/{FACTS.id}.json") == content


def test_a_killed_write_is_repeated(privacy: WarehouseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(_: WarehouseFolder, name: str, *__: object, **___: object) -> None:
        if name.endswith(".json"):
            raise KeyboardInterrupt

    signing_key(privacy, None)
    with monkeypatch.context() as patch:
        patch.setattr(WarehouseFolder, "create", create)
        with pytest.raises(KeyboardInterrupt):
            write(privacy)
    assert main([str(privacy.root / write(privacy).file)]) == 0


def test_certificates_are_a_chain(privacy: WarehouseFolder) -> None:
    first = write(privacy)
    second = write(privacy, replace(FACTS, id="20260102T000000Z-000000", kind="unlearning"))
    assert json.loads(privacy.read(first.file))["certificate"]["previous"] is None
    assert json.loads(privacy.read(second.file))["certificate"]["previous"] == {"id": first.id, "sha256": first.sha256}


@pytest.mark.parametrize("kind", ["erasure", "key_rotation", "unlearning"])
def test_every_kind_has_a_page(privacy: WarehouseFolder, kind: certificates.CertificateKind) -> None:
    facts = CertificateFacts(
        kind=kind,
        id=FACTS.id,
        suppression_key="0",
        asked_by="officer",
        asked_at="2026",
        began_at="2026",
        finished_at="2026",
        after=Inventory(()),
    )
    assert "Certificate of" in privacy.read(write(privacy, facts).page).decode()


def test_hits_and_doubts_are_on_the_page(privacy: WarehouseFolder, tmp_path: Path) -> None:
    facts = scanned(FACTS, Root("lake", WarehouseFolder(tmp_path / "missing")))
    assert facts.scan
    result = replace(facts.scan, hits=(Hit("a", "address", 3),), doubts=(Doubt("b", "damaged"),))
    written = write(privacy, replace(facts, scan=result))
    page = privacy.read(written.page).decode()
    assert "not complete" in page
    assert "damaged" in page
    assert main([str(privacy.root / written.file)]) == 1


def test_a_configured_signing_key_is_used(privacy: WarehouseFolder) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert signing_key(privacy, pem.decode()).fingerprint == signing_key(privacy, pem.decode()).fingerprint
    assert not privacy.root.exists()
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for wrong in ("secret text", other.decode()):
        with pytest.raises(UsageError, match="STEDI_PRIVACY__SIGNING_KEY") as raised:
            signing_key(privacy, wrong)
        assert wrong not in str(raised.value)


def test_the_signing_key_is_kept(privacy: WarehouseFolder) -> None:
    key = signing_key(privacy, None)
    assert signing_key(privacy, None).fingerprint == key.fingerprint
    assert key.fingerprint == hashlib.sha256(key.public).hexdigest()
    assert "PRIVATE" not in repr(key)


def test_many_files_are_a_certificate_like_any_other(privacy: WarehouseFolder, tmp_path: Path) -> None:
    files = tuple(InventoryEntry(f"warehouse/data/{n:06}.parquet", n, DIGEST) for n in range(10_000))
    content = encode_certificate(replace(FACTS, after=Inventory(files)), signing_key(privacy, None), None)
    (tmp_path / "large.json").write_bytes(content)
    assert main([str(tmp_path / "large.json")]) == 0


# The script reads the values of rows. These are in no row.
UNREAD = {"entry that no row uses", "metadata of a column"}
CONTAINERS = {name: make for name, make in (PACKED | COLUMNS).items() if name not in UNREAD}


def outcome(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        refuse(path, re.compile(pattern("Ann@example.com")))
    except RefusedError:
        return "found"
    except (ValueError, zlib.error):
        return "not opened"
    return "not found"


@pytest.mark.parametrize("packing", CONTAINERS)
def test_the_script_finds_a_value_in_every_container_or_says_that_it_cannot(tmp_path: Path, packing: str) -> None:
    is_unknown = packing.startswith(("xz", "lzma", "lz4", "gzip in zip", "Avro, ", "Puffin", "PNG"))
    assert outcome(tmp_path / "file", CONTAINERS[packing](ADDRESS)) in ("found", *(["not opened"] if is_unknown else []))
    # The neighbours of texts of two bytes a character are not compared.
    assert packing == "UTF-16" or outcome(tmp_path / "file", CONTAINERS[packing](OTHER)) in ("not found", "not opened")


def test_the_script_is_short_and_needs_nothing_of_the_program() -> None:
    text = Path(certificates.__file__).with_name("verify_certificate.py").read_text()
    assert len(text.splitlines()) <= 200
    assert "stedi." not in text
