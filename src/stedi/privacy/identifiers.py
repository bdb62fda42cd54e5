"""What identifies an erased person in a file: values, and the byte patterns that find each value in any spelling."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, NotOneAddressError, person_of

Kind = Literal["address", "phone", "name", "birthday", "serial", "pseudonym", "short_pseudonym"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Which characters beside a match make it part of a longer value, which belongs to somebody else.
Boundary = Literal["address", "word", "none"]
# How a pattern encodes its value. A "bound" is the cut value in an Iceberg manifest.
Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "bound"]

# Shorter values occur by chance: in 100 GB of random bytes, six given letters in either case occur 0.02 times.
MIN_CHARACTERS = 6
# Characters of text that an Iceberg bound keeps: `truncate(16)`, the default of Iceberg's writers.
BOUND_LENGTH = 16
# Digits of a phone number that tell it from other numbers if its punctuation is left out.
_MIN_PHONE_DIGITS = 7
_NORMAL_FORMS: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")


@dataclass(frozen=True)
class Identifier:
    """A value that identifies a person.

    Attributes:
        kind: what the value is.
        value: the value. It is left out of `repr`, so that no log or error shows it.
        subject: keyed digest of the person, the same for all identifiers of a person.
        demanded_absent: whether no file may contain the value. False for a value that other people have, too: it counts
            only in one record with the person's name or birthday.
    """

    kind: Kind
    value: str = field(repr=False)
    subject: str
    demanded_absent: bool = True


@dataclass(frozen=True)
class Pattern:
    """Lower-case bytes that find an identifier.

    Attributes:
        content: the bytes to search for, with ASCII letters in lower case.
        encoding: how they encode the value.
        boundary: which neighbours make a match part of somebody else's value.
    """

    content: bytes = field(repr=False)
    encoding: Encoding
    boundary: Boundary


def person_identifiers(
    subject: str,
    *,
    addresses: Iterable[str] = (),
    phones: Iterable[str] = (),
    names: Iterable[str] = (),
    birthdays: Iterable[str] = (),
    serials: Iterable[str] = (),
    pseudonyms: Iterable[str] = (),
    shared: Collection[str] = frozenset(),
) -> tuple[Identifier, ...]:
    """Return the identifiers of one person, without blank values and repetitions.

    Not demanded absent are: birthdays, values that other people have, names of one word, and values that are too short.

    Args:
        subject: keyed digest of the person.
        addresses: the e-mail address in all received spellings. The normalised spelling is added.
        phones: phone numbers as received.
        names: names as received.
        birthdays: dates of birth as received.
        serials: serial numbers as received, of devices that are the person's.
        pseudonyms: pseudonyms of the person and of the devices, in full. Their short starts are added.
        shared: the values among these that other people's records contain, too: "Ann Lee" is in "Mary Ann Lee".
    """
    pseudonyms = list(pseudonyms)
    # A device whose pseudonym others have, too, was handed on. The start of the pseudonym is theirs as well.
    shared = {*shared, *(pseudonym[:SHORT_PSEUDONYM_DIGITS] for pseudonym in pseudonyms if pseudonym in shared)}
    values: dict[Kind, Iterable[str]] = {
        "address": [spelling for address in addresses for spelling in (address, _normalised(address))],
        "phone": phones,
        "name": names,
        "birthday": birthdays,
        "serial": serials,
        "pseudonym": pseudonyms,
        "short_pseudonym": [pseudonym[:SHORT_PSEUDONYM_DIGITS] for pseudonym in pseudonyms],
    }
    identifiers = {}
    for kind, of_kind in values.items():
        for value in of_kind:
            if text := value.strip():
                demanded = kind == "address" or (
                    kind != "birthday" and len(text) >= MIN_CHARACTERS and (kind != "name" or " " in text)
                )
                demanded = demanded and value not in shared
                identifiers[kind, text.casefold()] = Identifier(kind, text, subject, demanded)
    return tuple(identifiers.values())


def _normalised(address: str) -> str:
    try:
        return person_of(address)
    except NotOneAddressError:
        return ""


def patterns(identifier: Identifier) -> Iterator[Pattern]:
    """Yield the distinct byte patterns that find an identifier.

    Case, normal forms of Unicode, UTF-16 (addresses only), both forms of a domain, quotes escaped in JSON, and the cut
    bounds of Iceberg are covered. Escapes such as `\\u0040`, `%40` and `&#64;` are decoded by the scan. Base64 is
    not covered.
    """
    boundary: Boundary = "address" if identifier.kind == "address" else "word"
    if "pseudonym" in identifier.kind:
        # Its start may be followed by the rest, and 12 hexadecimal digits do not occur by chance.
        boundary = "none"
    texts = _cased(_forms(identifier))
    found = {text.encode("utf-8", "surrogatepass").lower() for text in texts}
    found |= {
        json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass").lower()
        for text in texts
        if '"' in text or "\\" in text
    }
    yield from (Pattern(content, "utf-8", boundary) for content in sorted(found))
    # Other values are not searched alone in texts of two bytes a character: a record without an address is rare.
    utf_16: tuple[Encoding, ...] = ("utf-16-le", "utf-16-be") if identifier.kind == "address" else ()
    for encoding in utf_16:
        encoded = {text.encode(encoding, "surrogatepass").lower() for text in texts}
        yield from (Pattern(content, encoding, boundary) for content in sorted(encoded))
    bounds = {
        bound.encode("utf-8", "surrogatepass").lower()
        for text in texts
        if len(text) > BOUND_LENGTH
        for bound in _bounds(text)
    }
    yield from (Pattern(content, "bound", "none") for content in sorted(bounds))


def _forms(identifier: Identifier) -> set[str]:
    """The value, and other ways to write it."""
    value = identifier.value
    forms = {value}
    if identifier.kind == "address" and "@" in value:
        local, _, domain = value.rpartition("@")
        labels = [_unicode_label(label) for label in domain.split(".")]
        forms.add(f"{local}@{'.'.join(labels)}")
    if identifier.kind == "phone" and len(digits := re.sub(r"\D", "", value)) >= _MIN_PHONE_DIGITS:
        forms.add(digits)
    return forms


def _unicode_label(label: str) -> str:
    try:
        return label[4:].encode("ascii").decode("punycode") if label.lower().startswith("xn--") else label
    except UnicodeError:
        return label


def _cased(forms: Iterable[str]) -> set[str]:
    """All texts in the normal forms of Unicode, and in both cases: the search ignores the case of ASCII letters only."""
    texts = set(forms)
    for form in _NORMAL_FORMS:
        texts |= {unicodedata.normalize(form, text) for text in texts}
    return {cased for text in texts for cased in (text, text.lower(), text.upper(), text.casefold())}


def _bounds(text: str) -> Iterator[str]:
    """The lower and upper bound that Iceberg keeps of a long text: its start, and the next greater text of that length."""
    start = text[:BOUND_LENGTH]
    yield start
    last = ord(start[-1])
    if last + 1 not in range(0xD800, 0xE000) and last < 0x10FFFF:
        yield start[:-1] + chr(last + 1)
