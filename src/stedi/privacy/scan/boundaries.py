"""Whether a match is a value of its own, or part of a longer one, which belongs to somebody else."""

from collections.abc import Iterator

from stedi.privacy.identifiers import Encoding, Pattern

# Punctuation in front of a local part that belongs to an address: `x.ann@…` is somebody else. Other characters that
# addresses may contain, such as `/` and `|`, are far more often separators, and a false alarm is better than a miss.
_BEFORE_ADDRESS = frozenset(".+-_")
_IN_DOMAIN = frozenset("-_")
_JSON_ESCAPES = frozenset("nrtbf")
# An address has at most 320 characters (RFC 5321).
_MAX_TOKEN = 320
_CODECS: dict[Encoding, tuple[str, int]] = {
    "utf-8": ("utf-8", 1),
    "bound": ("utf-8", 1),
    "utf-16-le": ("utf-16-le", 2),
    "utf-16-be": ("utf-16-be", 2),
}


def is_longer(text: bytes, start: int, stop: int, pattern: Pattern) -> bool:
    """Whether the characters beside a match make it part of a longer value.

    Args:
        text: bytes around the match; a value ends where they end.
        start: start of the match.
        stop: end of the match.
        pattern: what matched.
    """
    return continues_before(text, start, pattern) or _continues_after(text, stop, pattern)


def continues_before(text: bytes, start: int, pattern: Pattern) -> bool:
    """Whether the characters before a match belong to its value.

    Args:
        text: bytes around the match.
        start: start of the match.
        pattern: what matched.
    """
    codec, width = _CODECS[pattern.encoding]
    before = _last(text[max(0, start - 4 * width) : start], codec, width)
    if pattern.boundary == "none" or _is_escape_letter(before):
        return False
    return _is_letter(before[-1:]) or (pattern.boundary == "address" and before[-1:] in _BEFORE_ADDRESS)


def _continues_after(text: bytes, stop: int, pattern: Pattern) -> bool:
    codec, width = _CODECS[pattern.encoding]
    after = _decode(text[stop : stop + 4 * width], codec)
    if pattern.boundary == "address":
        return _is_letter(after[:1]) or after[:1] in _IN_DOMAIN or (after[:1] == "." and _is_letter(after[1:2]))
    return pattern.boundary == "word" and _is_letter(after[:1])


def _is_letter(character: str) -> bool:
    """Whether a character is part of a value next to it. Combining marks are, too."""
    return character.isalnum() or "\u0300" <= character <= "\u036f"


def _is_escape_letter(before: str) -> bool:
    """Whether the last character belongs to an escape of JSON, such as the n of a line feed."""
    return len(before) > 1 and before[-1] in _JSON_ESCAPES and before[-2] == "\\"


def _last(content: bytes, codec: str, width: int) -> str:
    """The last characters of some bytes, which may begin within a character."""
    content = content[len(content) % width :]
    for skipped in range(0, min(4, len(content)), width):
        try:
            return content[skipped:].decode(codec)
        except UnicodeDecodeError:
            continue
    return _decode(content[-width:], codec)


def _decode(content: bytes, codec: str) -> str:
    """The first characters of some bytes. What is no text becomes a character that no value contains."""
    return content.decode(codec, "replace")


def token_around(text: bytes, start: int, stop: int) -> tuple[int, int]:
    """Start and end of a match with the letters, digits and punctuation around it."""
    begin = start
    while begin > max(0, start - _MAX_TOKEN) and _is_in_token(text[begin - 1]):
        begin -= 1
    while stop < min(len(text), start + _MAX_TOKEN) and _is_in_token(text[stop]):
        stop += 1
    return begin, stop


def _is_in_token(byte: int) -> bool:
    return byte >= 0x80 or chr(byte).isalnum() or chr(byte) in ".+-_@"


def prefixed_values(text: bytes, start: int, stop: int, furthest: int = _MAX_TOKEN) -> Iterator[tuple[int, int]]:
    """Yield the start and end of values around a match that have their length in front, the nearest start first.

    Lengths are those of Avro (zigzag), Thrift and protobuf (base 128), Parquet and pickle (four bytes, little-endian).

    Args:
        text: lower-case binary data. A length that is the code of a capital letter is found as well.
        start: start of the match.
        stop: end of the match.
        furthest: how far before the match a value may begin (bytes).
    """
    for begin in range(start, max(0, start - furthest) - 1, -1):
        for length in _lengths(text[max(0, begin - 4) : begin]):
            end = begin + length
            if stop <= end <= len(text) and _is_text(text[begin:end]):
                yield begin, end


def _lengths(before: bytes) -> Iterator[int]:
    """The numbers that end in front of a value. Bytes of letters may have been capitals."""
    for last in {before[-1:], before[-1:].upper()} - {b""}:
        number = last[0]
        if number < 0x80:
            varints = [number]
            if len(before) > 1 and before[-2] >= 0x80:
                varints = [(number << 7) | (before[-2] & 0x7F)]
            for varint in varints:
                yield varint
                if varint % 2 == 0:
                    yield varint // 2
    if len(before) == 4 and before[2:] == b"\0\0":
        yield before[0] | before[1] << 8
        yield before[:1].upper()[0] | before[1] << 8


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable()
