"""Who a person is, and the keyed pseudonyms under which they can be followed without being named.

HMAC-SHA256 (RFC 2104) written in SQL: sha256((key ⊕ opad) ‖ sha256((key ⊕ ipad) ‖ message)).
The padded keys reach the query as the parameters `$pseudonym_inner` and `$pseudonym_outer`.
"""

_BLOCK_BYTES = 64  # SHA-256 hashes 64-byte blocks (FIPS 180-4)
# White space of every kind: engines take off spaces alone where it is not named, and exports
# leave tabs and line ends behind.
_WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


def person(email: str) -> str:
    """SQL for the identity behind an e-mail address: addresses match trimmed and case-folded."""
    # Naming what to take off costs ten times as much as looking at both ends, and few need it. All white
    # space of ASCII, where a byte is a character, lies at or below the space; one CASE for all that is
    # plain costs half of one within another, and the last character half of what `right` takes for it.
    is_plain = f"bit_length({email}) = 8 * length({email}) AND {email} >= '!' AND substr({email}, -1) >= '!'"
    trimmed = f"trim({email}, '{_WHITE_SPACE}')"
    # Capitals don't tell these from ss and σ (Unicode's CaseFolding), and lower case keeps them apart.
    folded = f"replace(replace(lower({trimmed}), 'ß', 'ss'), 'ς', 'σ')"
    return f"CASE WHEN {is_plain} THEN lower({email}) ELSE {folded} END"


def names_somebody(email: str) -> str:
    """SQL condition: an e-mail address is neither absent nor blank."""
    # What starts with a visible character needs no trimming, which filters would work out for every row.
    return f"CASE WHEN {email} BETWEEN '!' AND '~' THEN true ELSE {person(email)} <> '' END"


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
