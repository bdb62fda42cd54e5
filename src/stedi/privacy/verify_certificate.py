"""Check a certificate of STEDI offline. Needs Python 3.11 and `cryptography`; reads Parquet and Zstandard if it can."""

import argparse
import base64
import bz2
import gzip
import hashlib
import hmac
import io
import itertools
import json
import re
import sqlite3
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_SECTIONS = "asked_by format id inventory keys kind previous program remains removed scan subjects times"
_ESCAPE = re.compile(rb"\\+u00([0-9a-f]{2})|%([0-9a-f]{2})|&#x0*([0-9a-f]{2});")
_UNKNOWN = rb"\x04\x22\x4d\x18|\x5d\0\0|PFA1|ORC|ARROW1|7z|\xfd7zXZ|Rar!|%PDF-|\x89PNG.*(zTXt|iTXt)"
_ADDRESS = re.compile("[^/]*@[^/]*")
_PACKED: dict[bytes, Callable[[bytes], bytes]] = {
    rb"\x1f\x8b\x08": gzip.decompress,
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": bz2.decompress,
    rb"\x78[\x01\x5e\x9c\xda]": zlib.decompress,
    rb"\x28\xb5\x2f\xfd": lambda content: __import__("zstandard").open(io.BytesIO(content)).read(),
}


class RefusedError(Exception):
    """The certificate, or what it states, is not right."""


def canonical(value: object) -> bytes:
    """Encode a value as the certificate is encoded: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_certificate(content: bytes, published: bytes | None) -> dict[str, Any]:
    """Return what a certificate states, after checking its encoding, signature, key (PEM; None: any) and Merkle roots."""
    try:
        document = json.loads(content)
        certificate, signature = document["certificate"], document["signature"]
        value, key = bytes.fromhex(signature["value"]), base64.b64decode(certificate["keys"]["public_key"])
        public_key, encoded = Ed25519PublicKey.from_public_bytes(key), canonical(document) + b"\n"
        is_published = published is None or load_pem_public_key(published) == public_key
        public_key.verify(value, b"STEDI certificate 1\n" + canonical(certificate))
    except InvalidSignature:
        raise RefusedError("its signature is wrong: it was changed after it was signed") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(f"it, or the published key, is in another format ({type(error).__name__})") from None
    expected = {"certificate": certificate, "signature": {"algorithm": "Ed25519", "value": value.hex()}}
    if (
        encoded != content
        or document != expected
        or " ".join(sorted(certificate)) != _SECTIONS
        or certificate["format"] != 1
    ):
        raise RefusedError("its format is unknown, or something was added, repeated or reordered")
    if certificate["keys"]["signing"] != hashlib.sha256(key).hexdigest() or not is_published:
        raise RefusedError("another key than the published one signed it")
    for when in ("before", "after"):
        listed = certificate["inventory"][when]
        if listed and (merkle_root(listed["files"]) != listed["root"] or listed["files"] != sorted(listed["files"])):
            raise RefusedError(f"the Merkle root of the files {when} is wrong")
    if certificate["scan"] and certificate["scan"]["hits"]:
        raise RefusedError("it says itself that identifiers were found")
    return dict(certificate)


def merkle_root(files: list[Any]) -> str:
    """Compute the Merkle root of listed files (RFC 6962, section 2.1)."""
    level = [hashlib.sha256(b"\0" + canonical(file)).digest() for file in files] or [hashlib.sha256().digest()]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()


def check_files(inventory: dict[str, Any], roots: dict[str, list[Path]], key: bytes | None) -> Iterator[str]:
    """Yield what differs between the inventory and files by root. Without the key, keyed names are not compared."""
    listed = {name: (size, digest) for name, size, digest in inventory["after"]["files"] if name.split("/")[0] in roots}
    hidden = {content for name, content in listed.items() if "/#" in name}
    for root, path in ((root, path) for root, paths in roots.items() for path in paths if path.is_file()):
        content = (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        raw = [part.encode("utf-8", "surrogateescape") for part in path.relative_to(roots[root][0]).parts]
        plain = [re.sub("^#", "%23", part.decode("utf-8", "backslashreplace")) for part in raw]
        keyed = [f"#{hmac.digest(key, b'name:' + part, 'sha256').hex()}" for part in raw] if key else plain
        names = ["/".join((root, *choice)) for choice in itertools.product(*zip(plain, keyed, strict=True))]
        name = next((name for name in names if name in listed), None)
        if name is not None and listed.pop(name) != content:
            yield f"changed: {name}"
        is_later = names[0] in inventory["left_out"] or raw[0] == b"certificates"
        if name is None and not is_later and (key is not None or content not in hidden):
            yield f"not in the certificate: {_ADDRESS.sub('(name with @)', names[0])}"
    yield from (f"missing: {name}" for name in listed if key is not None or "/#" not in name)


def unpack(content: bytes) -> Iterator[bytes]:
    """Yield some content and all that is packed in it; raise any error for what can't be opened."""
    yield content
    for magic, decompress in _PACKED.items():
        if re.match(magic, content):
            yield from unpack(decompress(content))
    if content.startswith(b"PK\x03\x04"):
        for member in (archive := zipfile.ZipFile(io.BytesIO(content))).infolist():
            yield from unpack(archive.read(member))
    elif content.startswith(b"SQLite format 3\0"):
        database = sqlite3.connect(":memory:")
        database.deserialize(content[:18] + b"\1\1" + content[20:])  # no write-ahead log in memory
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for value in itertools.chain(*database.execute(f'SELECT * FROM "{table.replace(chr(34), chr(34) * 2)}"')):
                yield from unpack(value if isinstance(value, bytes) else str(value).encode("utf-8", "replace"))
    elif content.startswith(b"Obj\x01") and b"avro.codec" in content[:9999] and b"avro.codec\x08null" not in content[:9999]:
        # The header ends with 16 random bytes, and so does each block. A block begins with two numbers in base 128.
        for block in content.split(content[-16:])[1:-1]:
            yield zlib.decompress(re.sub(rb"\A([\x80-\xff]*[\0-\x7f]){2}", b"", block), -15)
    elif content.startswith(b"PAR1"):
        for batch in __import__("pyarrow.parquet").parquet.ParquetFile(io.BytesIO(content)).iter_batches():
            texts = [column.to_pylist() for column in batch.columns if re.search("string|binary", str(column.type))]
            yield "\n".join(map(str, itertools.chain(*texts))).encode()
    elif content[257:262] == b"ustar" or re.match(_UNKNOWN, content, re.DOTALL):
        raise ValueError("unknown packing")


def pattern(value: str) -> bytes:
    """Return a pattern that finds a value in lower-case bytes, but not in a longer value. Its length may be in front."""
    plain, *wide = [re.escape(value.lower().encode(encoding)) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    lengths = b"".join(re.escape(bytes([n]).lower()) for n in (len(value.encode()), 2 * len(value.encode())) if n < 256)
    alone = rb"((?<![a-z0-9.+_-])%s(?![a-z0-9_-]|\.[a-z0-9])|(?<=[%s])%s)" % (plain, lengths or b"\0", plain)
    return b"|".join((alone, *wide))


def refuse(path: Path, wanted: re.Pattern[bytes]) -> None:
    """Refuse a file that contains a value, itself or in its path."""
    for content in itertools.chain((str(path.with_suffix("")).encode("utf-8", "replace"),), unpack(path.read_bytes())):
        text = content.lower().replace(b"&#64;", b"@")
        decoded = _ESCAPE.sub(lambda escape: bytes.fromhex(next(filter(None, escape.groups())).decode()), text).lower()
        if wanted.search(text) or wanted.search(decoded):
            raise RefusedError(f"one of the values is in {_ADDRESS.sub('(name with @)', str(path))}")


def check(options: argparse.Namespace) -> int:
    """Check a certificate and print what was found. Return the exit code."""
    certificate = read_certificate(options.certificate.read_bytes(), options.public_key and options.public_key.read_bytes())
    signer = "by the published key" if options.public_key else "by a key that was not compared (--public-key)"
    print(f"{certificate['kind']} {certificate['id']}: unchanged since it was signed {signer}; Merkle roots are right")
    folders = {name: Path(folder).resolve(strict=True) for name, _, folder in (root.partition("=") for root in options.root)}
    roots = {name: [folder, *sorted(folder.rglob("*"))] for name, folder in folders.items()}
    key = options.secret and hashlib.sha256(options.secret.read_bytes().strip()).digest()
    if differences := list(check_files(certificate["inventory"], roots, key)):
        raise RefusedError("\n".join((f"{len(differences)} files differ from its inventory", *differences)))
    if options.address is None:
        return 0
    address, unopened = options.address.strip().lower(), 0
    digests = {hmac.digest(key, f"{kind}:{address}".encode(), "sha256").hex() for kind in ("person", "spelling")}
    if not any(digests & {subject["digest"], *subject["spellings"]} for subject in certificate["subjects"]):
        raise RefusedError("it is not about this address")
    wanted = re.compile(b"|".join(map(pattern, (address, *options.also))))
    for path in (path for paths in roots.values() for path in paths if path.is_file()):
        try:
            refuse(path, wanted)
        except RefusedError:
            raise
        except Exception as error:  # whatever a parser raises: the file is named, and the exit code says so
            unopened += 1
            print(f"could not be opened ({type(error).__name__}): {_ADDRESS.sub('(name with @)', str(path))}")
    print(f"the values are in no file of {len(roots)} folders; {unopened} files could not be opened")
    return 3 if unopened else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="exit code: 0 right, 1 refused, 3 right but not all opened")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--public-key", type=Path, help="the published key (PEM)")
    parser.add_argument("--root", action="append", default=[], metavar="NAME=FOLDER", help="compare and search this folder")
    parser.add_argument("--address", help="e-mail address to search for; needs --secret")
    parser.add_argument("--secret", type=Path, help="file of the suppression key")
    parser.add_argument("--also", action="append", default=[], metavar="VALUE", help="search for this value, too")
    options = parser.parse_args(arguments)
    if options.address and not options.secret:
        parser.error("--address needs --secret")
    try:
        return check(options)
    except (RefusedError, OSError) as error:
        print(f"REFUSED: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
