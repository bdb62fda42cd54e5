"""Who a person is, which device is meant, and the keyed pseudonyms under which both can be followed without being named.

Addresses and serial numbers are resolved once, when a record lands. Plain ASCII is resolved in SQL, all other spellings
by Python, with the same result.

Pseudonyms are HMAC-SHA256 (RFC 2104) written in SQL: sha256((key ⊕ opad) ‖ sha256((key ⊕ ipad) ‖ message)).
The padded keys reach the query as the parameters `$pseudonym_inner` and `$pseudonym_outer`.
"""

import re
import unicodedata
from typing import Literal
from urllib.parse import unquote

from stedi.model.table import Column

Identity = Literal["person", "device"]

PERSON = Column("person", "string", "normalised e-mail address: equal for all spellings of an address", personal=True)
DEVICE = Column("device", "string", "normalised serial number: trimmed and case-folded", personal=True)
# The columns of landing tables that hold what a field identifies.
COLUMNS: dict[Identity, Column] = {"person": PERSON, "device": DEVICE}

_BLOCK_BYTES = 64  # SHA-256 hashes 64-byte blocks (FIPS 180-4)

# Characters without a glyph that are of no control or format category: the rest of Unicode's property
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt), such as variation selectors and Hangul fillers.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_WHITE_SPACE = re.compile(r"\s+")
_IN_ANGLE_BRACKETS = re.compile(r"<([^<>]*@[^<>]*)>")
_COMMENT = re.compile(r"\([^()]*\)")
_SCHEME = re.compile(r"^[^@\"]*:")
# A local part in quotes that needs none (RFC 5321, 4.1.2: both forms are one mailbox).
_NEEDLESS_QUOTES = re.compile(r'^"([^\s"(),:;<>@\[\]\\]+)"@')
# What no unquoted address contains (RFC 5322, 3.2.3), so that several addresses, or a name and an address, are no address.
_NOT_IN_AN_ADDRESS = re.compile(r"[\s\"(,:;<\\]")
# Half a character: bytes that are not UTF-8, or an escape of JSON without its other half.
SURROGATE = re.compile("[\ud800-\udfff]")
# No address is longer (RFC 5321, 4.5.3.1: 64 and 255), and a display name hardly is; matching longer texts takes
# quadratic time.
_LONGEST_TEXT = 2_000
_LONGEST_ADDRESS = 320
_NOT_IN_A_LABEL = re.compile(r"[\s.@\u3002]")
# IDNA takes these for dots, too (RFC 3490, 3.1); NFKC has made U+002E or U+3002 of the others.
_IDEOGRAPHIC_STOP = "\u3002"
_AT = re.compile("[@＠﹫]")
_BESIDE_AN_ADDRESS = re.compile(r"[\s\"'(),:;<>\\{}\[\]=@＠﹫]+")


class NotOneAddressError(ValueError):
    """A text contains several addresses, or none that is legible. The message never quotes it."""


def fold(text: str) -> str:
    """A text as it is compared: NFKC, case-folded in full, without invisible characters, white space trimmed.

    Repeated until nothing changes (Unicode's toNFKC_Casefold, UAX #31), so folding twice is folding once.
    """
    while True:
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = "".join(c for c in folded if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
        folded = _WHITE_SPACE.sub(" ", unicodedata.normalize("NFKC", _IGNORABLE.sub("", folded))).strip()
        if folded == text:
            return folded
        text = folded


def person_of(text: str) -> str:
    """The person behind a spelling of an e-mail address, in the form in which all spellings of that address agree.

    A display name, a comment, `mailto:` and needless quotes are taken off; the domain is put into its ASCII form
    (RFC 3492). Local parts are otherwise left alone: `an.n`, `ann+1` and `ann` are three people. A text without `@`
    is a name of its own.

    Returns:
        The person; empty where the text names nobody.

    Raises:
        NotOneAddressError: it contains `@` and is not one person's address, or it is not valid UTF-8.
    """
    folded = fold(text)
    if SURROGATE.search(folded):
        raise NotOneAddressError("not UTF-8")
    if "@" not in folded:
        return folded
    if len(folded) > _LONGEST_TEXT:
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
    scheme = _SCHEME.match(address)
    if scheme:
        # Only what has a scheme is percent-encoded (RFC 6068), and may have header fields behind a question mark.
        address = fold(unquote(address[scheme.end() :].partition("?")[0]))
    address = _NEEDLESS_QUOTES.sub(r"\1@", re.sub(r"\s*@\s*", "@", address).strip())
    local, _, domain = address.rpartition("@")
    labels = domain.replace(_IDEOGRAPHIC_STOP, ".").removesuffix(".").split(".")
    return f"{local}@{'.'.join(map(_ascii_label, labels))}"


def _ascii_label(label: str) -> str:
    """A label of a domain in ASCII. An ASCII form is decoded first: it may spell letters that folding makes others."""
    if label.startswith("xn--"):
        try:
            decoded = fold(label.removeprefix("xn--").encode("ascii").decode("punycode"))
        except UnicodeError:
            return label
        if _NOT_IN_A_LABEL.search(decoded):
            # No domain, but what somebody made to look like another's address once it is decoded.
            return label
        label = decoded
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def device_of(text: str) -> str:
    """The device behind a spelling of its serial number: trimmed, case-folded, without invisible characters."""
    return fold(text)


def identity_of(kind: Identity, text: str) -> str | None:
    """The person or the device behind a spelling; None where it is nobody's, or not one person's."""
    try:
        return (person_of(text) if kind == "person" else device_of(text)) or None
    except NotOneAddressError:
        return None


def people_in(text: str, *, is_cut_before: bool = False, is_cut_behind: bool = False) -> set[str]:
    """Everybody whose address can be read somewhere in a text, such as a broken record or a list of addresses.

    Takes time linear in the text's length. Where the text is a piece of a longer one, an address at the cut may lack a
    part and is left out; the next piece has to overlap.
    """
    if is_cut_before:
        text = text[_to_separator(text[:_LONGEST_ADDRESS]) :]
    if is_cut_behind:
        text = text[: len(text) - _to_separator(text[: -_LONGEST_ADDRESS - 1 : -1])]
    found = set()
    for at in _AT.finditer(text):
        before = _BESIDE_AN_ADDRESS.split(text[max(0, at.start() - _LONGEST_ADDRESS) : at.start()].rstrip())[-1]
        after = _BESIDE_AN_ADDRESS.split(text[at.end() : at.end() + _LONGEST_ADDRESS].lstrip(), maxsplit=1)[0]
        if before and after:
            found.add(f"{before}@{after}")
    people = set()
    for address in found:
        try:
            people.add(person_of(address))
        except NotOneAddressError:
            continue
    return people


def _to_separator(text: str) -> int:
    """How many characters come before the first one that stands beside addresses."""
    separator = _BESIDE_AN_ADDRESS.search(_AT.sub("x", text))
    return separator.start() if separator else len(text)


# Characters of ASCII that are part of no address, or of one in a longer form. Control characters are not among them:
# JSON spells them with a backslash.
_ODD_IN_ADDRESS = (" ", "(", ",", ":", ";", "<", "--", "\x7f")


def is_plain_address(text: str) -> str:
    """SQL condition for a text (of JSON without a backslash) that lower case alone makes the form of `person_of`."""
    odd = " OR ".join(f"contains({text}, '{found}')" for found in _ODD_IN_ADDRESS)
    return f"(strlen({text}) = length({text}) AND NOT ({odd} OR suffix({text}, '.')))"


def is_plain_serial(text: str) -> str:
    """SQL condition for a text (of JSON without a backslash) that lower case alone makes the form of `device_of`."""
    return f"(strlen({text}) = length({text}) AND NOT (contains({text}, ' ') OR contains({text}, '\x7f')))"


def pseudonym(value: str) -> str:
    """SQL for the pseudonym (64 hexadecimal digits) of a string expression."""
    return f"sha256($pseudonym_outer || unhex(sha256($pseudonym_inner || encode({value}))))"


def customer_pseudonym(person: str) -> str:
    """SQL for the pseudonym of whom an expression identifies."""
    return pseudonym(f"'customer:' || {person}")


def device_pseudonym(serial: str) -> str:
    """SQL for the pseudonym of a device by its serial number."""
    return pseudonym(f"'device:' || {serial}")


def padded_keys(key: bytes) -> dict[str, bytes]:
    """The two blocks that HMAC derives from a key of at most 64 bytes, by parameter name.

    Raises:
        ValueError: the key is empty or longer than a block.
    """
    if not 0 < len(key) <= _BLOCK_BYTES:
        raise ValueError(f"a pseudonym key has 1 to {_BLOCK_BYTES} bytes")
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return {
        "pseudonym_inner": bytes(byte ^ 0x36 for byte in block),
        "pseudonym_outer": bytes(byte ^ 0x5C for byte in block),
    }
