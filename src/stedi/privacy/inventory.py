"""Inventory of files: name, size and SHA-256 of each, and a Merkle root over all (RFC 6962)."""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

# RFC 6962, section 2.1: different prefixes, so that no node can be taken for a leaf.
_LEAF, _NODE = b"\0", b"\1"
# Starts a part of a name that was replaced by its keyed digest. It is in no name, because it contains a slash there.
DIGEST_SIGN = "#"
_NAME_PURPOSE = b"name:"


@dataclass(frozen=True)
class InventoryEntry:
    """A file: its name, which is safe to print, its size in bytes and the SHA-256 of its content in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Inventory:
    """Files, sorted by name."""

    files: tuple[InventoryEntry, ...]

    @cached_property
    def root(self) -> str:
        """The Merkle root, in hexadecimal: SHA-256 over all names, sizes and digests."""
        return merkle_root([entry_bytes(entry) for entry in self.files])

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry in self.files)


def entry_bytes(entry: InventoryEntry) -> bytes:
    """Return the leaf of a file: its name, size and digest as a JSON array without spaces."""
    return json.dumps([entry.name, entry.bytes, entry.sha256], separators=(",", ":")).encode()


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return the Merkle tree hash of RFC 6962, section 2.1, in hexadecimal."""
    level = [hashlib.sha256(_LEAF + leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256().hexdigest()
    while len(level) > 1:
        # Pairs from the left, and a last one without a partner moves up: the same tree as splitting at powers of two.
        pairs = [hashlib.sha256(_NODE + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()


def safe_name(name: str, key: bytes, is_personal: Callable[[str], bool]) -> str:
    """Return a file's name with its personal parts replaced by keyed digests.

    Args:
        name: the name, with slashes.
        key: the key of the digests.
        is_personal: whether a part of the name contains an identifier.
    """
    return "/".join(name_digest(part, key) if is_personal(part) else _printable(part) for part in name.split("/"))


def name_digest(part: str, key: bytes) -> str:
    """Return the keyed digest (HMAC-SHA-256) that replaces a part of a file's name.

    Args:
        part: a file's or folder's name.
        key: the key.
    """
    message = _NAME_PURPOSE + part.encode("utf-8", "surrogateescape")
    return f"{DIGEST_SIGN}{hmac.digest(key, message, 'sha256').hex()}"


def _printable(part: str) -> str:
    """Escape what is no text, or would look like a digest."""
    if part.startswith(DIGEST_SIGN):
        part = f"%23{part[1:]}"
    return part.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
