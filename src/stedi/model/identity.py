"""Normalised e-mail addresses and serial numbers, and keyed pseudonyms.

Addresses and serial numbers are normalised once, when a record lands. SQL lower-cases plain ASCII, Python normalises
everything else, with the same result.

A keyed digest is HMAC-SHA256 (RFC 2104), written in SQL: sha256((key ⊕ opad) ‖ sha256((key ⊕ ipad) ‖ message)).
The padded keys are query parameters, such as `$pseudonym_inner` and `$pseudonym_outer`.
"""

import re
import unicodedata
from typing import Literal
from urllib.parse import unquote

from stedi.model.table import Column

Identity = Literal["person", "device"]

PERSON = Column("person", "string", "normalised e-mail address, the same for all spellings of an address", personal=True)
DEVICE = Column("device", "string", "normalised serial number: trimmed and case-folded", personal=True)
# The column of a landing table with the normalised value of a field that identifies a person or a device.
COLUMNS: dict[Identity, Column] = {"person": PERSON, "device": DEVICE}

# Length of a shortened pseudonym, in hexadecimal digits: among a million people two agree with a probability of 0.2%.
SHORT_PSEUDONYM_DIGITS = 12
_BLOCK_BYTES = 64  # SHA-256 hashes 64-byte blocks (FIPS 180-4)

# Characters with Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt) that are not control or format
# characters, such as variation selectors and Hangul fillers.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_WHITE_SPACE = re.compile(r"\s+")
_IN_ANGLE_BRACKETS = re.compile(r"<([^<>]*@[^<>]*)>")
_COMMENT = re.compile(r"\([^()]*\)")
_SCHEME = re.compile(r"^[^@\"]*:")
# A quoted local part that needs no quotes (RFC 5321, 4.1.2: both forms are the same mailbox).
_NEEDLESS_QUOTES = re.compile(r'^"([^\s"(),:;<>@\[\]\\]+)"@')
# Characters that no unquoted address contains (RFC 5322, 3.2.3). They separate several addresses, or a name and an address.
_NOT_IN_AN_ADDRESS = re.compile(r"[\s\"(,:;<\\]")
# Surrogates: bytes that are not UTF-8, or half of a JSON escape pair.
SURROGATE = re.compile("[\ud800-\udfff]")
# An address has at most 64 + 1 + 255 characters (RFC 5321, 4.5.3.1). With a display name, 2,000 are plenty. The patterns
# take quadratic time, so longer texts are refused.
_MAX_TEXT = 2_000
_MAX_ADDRESS = 320
_NOT_IN_A_LABEL = re.compile(r"[\s.@\u3002]")
# IDNA also reads this as a dot (RFC 3490, 3.1). NFKC turns its other dots into U+002E or U+3002.
_IDEOGRAPHIC_STOP = "\u3002"
_AT = re.compile("[@＠﹫]")
_BESIDE_AN_ADDRESS = re.compile(r"[\s\"'(),:;<>\\{}\[\]=@＠﹫]+")


class NotOneAddressError(ValueError):
    """A text contains `@` but is not one valid address. The message never quotes the text."""


def fold(text: str) -> str:
    """Normalise a text for comparison: NFKC, full case folding, invisible characters removed, white space trimmed.

    Repeats until nothing changes (Unicode's toNFKC_Casefold, UAX #31), so the function is idempotent.
    """
    while True:
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = "".join(c for c in folded if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
        folded = _WHITE_SPACE.sub(" ", unicodedata.normalize("NFKC", _IGNORABLE.sub("", folded))).strip()
        if folded == text:
            return folded
        text = folded


def person_of(text: str) -> str:
    """Normalise an e-mail address, so that all spellings of an address are equal.

    Removes a display name, comments, `mailto:` and unnecessary quotes, and converts the domain to ASCII (RFC 3492). Local
    parts are otherwise kept: `an.n`, `ann+1` and `ann` are three people. A text without `@` is only folded.

    Returns:
        The normalised address; empty if the text is blank.

    Raises:
        NotOneAddressError: the text contains `@` but is not one address, or it is not valid UTF-8.
    """
    folded = fold(text)
    if SURROGATE.search(folded):
        raise NotOneAddressError("not UTF-8")
    if "@" not in folded:
        return folded
    if len(folded) > _MAX_TEXT:
        raise NotOneAddressError("too long")
    bracketed = _IN_ANGLE_BRACKETS.findall(folded)
    candidates = bracketed or [re.sub(r"\s*@\s*", "@", _COMMENT.sub("", folded))]
    people = {_canonical(candidate) for candidate in candidates}
    if len(people) > 1:
        raise NotOneAddressError("several addresses")
    [address] = people
    local = address.rpartition("@")[0]
    is_quoted = local.startswith('"') and local.endswith('"') and len(local) > 1
    if _NOT_IN_AN_ADDRESS.search(address if not is_quoted else address[len(local) :]):
        raise NotOneAddressError("not one address")
    return address


def _canonical(address: str) -> str:
    """Normalise a folded address without a display name."""
    scheme = _SCHEME.match(address)
    if scheme:
        # Only a `mailto:` address is percent-encoded, and may be followed by a question mark and header fields (RFC 6068).
        address = fold(unquote(address[scheme.end() :].partition("?")[0]))
    address = _NEEDLESS_QUOTES.sub(r"\1@", re.sub(r"\s*@\s*", "@", address).strip())
    local, _, domain = address.rpartition("@")
    # All trailing dots: the function would not be idempotent if it removed only one.
    labels = domain.replace(_IDEOGRAPHIC_STOP, ".").rstrip(".").split(".")
    return f"{local}@{'.'.join(map(_ascii_label, labels))}"


def _ascii_label(label: str) -> str:
    """Convert a label of a domain to ASCII. Punycode is decoded first, because folding may change its letters."""
    if label.startswith("xn--"):
        try:
            decoded = fold(label.removeprefix("xn--").encode("ascii").decode("punycode"))
        except UnicodeError:
            return label
        if _NOT_IN_A_LABEL.search(decoded):
            # Not a valid domain: decoded, it could imitate somebody else's address.
            return label
        label = decoded
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def device_of(text: str) -> str:
    """Normalise a serial number: trimmed, case-folded, invisible characters removed."""
    return fold(text)


def identity_of(identity: Identity, text: str) -> str | None:
    """Normalise an e-mail address or a serial number; None if it is blank or not one address."""
    try:
        return (person_of(text) if identity == "person" else device_of(text)) or None
    except NotOneAddressError:
        return None


def people_in(text: str, *, is_cut_before: bool = False, is_cut_after: bool = False) -> set[str]:
    """Find all addresses in a text, such as a broken record or a list of addresses. Takes linear time.

    Args:
        text: any text, or a piece of a longer one. Pieces must overlap by the length of an address.
        is_cut_before: whether the text is cut at its start. An address there may be incomplete and is left out.
        is_cut_after: the same for its end.

    Returns:
        The normalised addresses.
    """
    if is_cut_before:
        text = text[_to_separator(text[:_MAX_ADDRESS]) :]
    if is_cut_after:
        text = text[: len(text) - _to_separator(text[: -_MAX_ADDRESS - 1 : -1])]
    addresses = set()
    for at in _AT.finditer(text):
        before = _BESIDE_AN_ADDRESS.split(text[max(0, at.start() - _MAX_ADDRESS) : at.start()].rstrip())[-1]
        after = _BESIDE_AN_ADDRESS.split(text[at.end() : at.end() + _MAX_ADDRESS].lstrip(), maxsplit=1)[0]
        if before and after:
            addresses.add(f"{before}@{after}")
    people = set()
    for address in addresses:
        try:
            people.add(person_of(address))
        except NotOneAddressError:
            continue
    return people


def _to_separator(text: str) -> int:
    """Count the characters before the first one that cannot be part of an address."""
    separator = _BESIDE_AN_ADDRESS.search(_AT.sub("x", text))
    return separator.start() if separator else len(text)


# `person_of` only lower-cases ASCII text without these: characters that no plain address contains, and the start of
# punycode. JSON escapes control characters with a backslash, so they need no entry.
_ODD_IN_ADDRESS = (" ", "(", ",", ":", ";", "<", "--", "\x7f")


def is_plain_address(text: str) -> str:
    """Write the SQL condition that `person_of` only lower-cases a text, given a text from JSON without a backslash."""
    odd = " OR ".join(f"contains({text}, '{characters}')" for characters in _ODD_IN_ADDRESS)
    return f"(strlen({text}) = length({text}) AND NOT ({odd} OR suffix({text}, '.')))"


def is_plain_serial(text: str) -> str:
    """Write the SQL condition that `device_of` only lower-cases a text, given a text from JSON without a backslash."""
    return f"(strlen({text}) = length({text}) AND NOT (contains({text}, ' ') OR contains({text}, '\x7f')))"


def keyed_digest(value: str, key: str) -> str:
    """Write the SQL for the keyed digest (64 hexadecimal digits) of a string expression. `key` names it in `padded_keys`."""
    return f"sha256(${key}_outer || unhex(sha256(${key}_inner || encode({value}))))"


def pseudonym(value: str) -> str:
    """Write the SQL for the pseudonym (64 hexadecimal digits) of a string expression."""
    return keyed_digest(value, "pseudonym")


def customer_pseudonym(person: str) -> str:
    """Write the SQL for a customer's pseudonym, given an expression for the normalised e-mail address."""
    return pseudonym(f"'customer:' || {person}")


def device_pseudonym(serial: str) -> str:
    """Write the SQL for a device's pseudonym, given an expression for the serial number."""
    return pseudonym(f"'device:' || {serial}")


def padded_keys(key: bytes, name: str = "pseudonym") -> dict[str, bytes]:
    """Derive HMAC's inner and outer padded key, by query parameter name.

    Args:
        key: the key.
        name: start of the parameters' names.

    Raises:
        ValueError: the key is empty or longer than 64 bytes.
    """
    if not 0 < len(key) <= _BLOCK_BYTES:
        raise ValueError(f"a {name} key has 1 to {_BLOCK_BYTES} bytes")
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return {
        f"{name}_inner": bytes(byte ^ 0x36 for byte in block),
        f"{name}_outer": bytes(byte ^ 0x5C for byte in block),
    }
