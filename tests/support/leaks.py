"""Identifiers of simulated people, and the search for them in what the program prints."""

import hashlib
import hmac
import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.lake import KEY

_FIELDS = {"email": "address", "user": "address", "customerName": "name", "phone": "phone", "birthDay": "birthday"}
# Reports show this many digits of a pseudonym.
_SHOWN_DIGITS = 12
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Identifier:
    """A value that identifies a person or a device, and its kind, such as "address"."""

    kind: str
    value: str


def identifiers_of(landing: Path, key: str = KEY) -> set[Identifier]:
    """All identifiers in the intact files of a simulated landing folder, in lower case, with the pseudonyms made from them.

    Shares nothing with the program: addresses of simulated people differ from their normalised form in case and blanks only.
    """
    records = [
        json.loads(line)
        for path in sorted(landing.glob("*/*.json"))
        for line in path.read_text("utf-8").splitlines()
        if line
    ]
    found = set()
    for record in records:
        for field, kind in _FIELDS.items():
            if value := record.get(field):
                found.add(Identifier(kind, value.strip().lower()))
        if serial := record.get("serialNumber"):
            found |= {Identifier("serial", serial.lower()), Identifier("pseudonym", _pseudonym(key, f"device:{serial}"))}
    for identifier in list(found):
        if identifier.kind == "address":
            local = identifier.value.partition("@")[0]
            pseudonym = _pseudonym(key, f"customer:{identifier.value}")
            found |= {Identifier("local part", local), Identifier("pseudonym", pseudonym)}
    return found


def pseudonym_of(identifier: Identifier, key: str = KEY) -> str:
    """The pseudonym of an address or a serial number, as `identifiers_of` cuts it."""
    return _pseudonym(key, f"{'customer' if identifier.kind == 'address' else 'device'}:{identifier.value}")


def _pseudonym(key: str, text: str) -> str:
    """The pseudonym, cut after one digit more than reports may show."""
    digest = hmac.new(hashlib.sha256(key.encode()).digest(), text.encode(), hashlib.sha256).hexdigest()
    return digest[: _SHOWN_DIGITS + 1]


def find_leaks(text: str, identifiers: Iterable[Identifier]) -> set[Identifier]:
    """The identifiers in a text, also where pictures or JSON escape it, or where line breaks and blanks cut it."""
    plain = html.unescape(_TAG.sub("", text)).replace("\xa0", " ").replace("\\u0040", "@").lower()
    squeezed = re.sub(r"\s+", "", plain)
    return {one for one in identifiers if one.value in plain or re.sub(r"\s+", "", one.value) in squeezed}
