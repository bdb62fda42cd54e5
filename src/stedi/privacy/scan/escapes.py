"""Decode escapes that can hide an identifier in lower-case text: JSON's `\\u0040`, `%40` of URLs, `&#64;` of XML."""

import re

# JSON in JSON doubles backslashes.
_ESCAPES = re.compile(
    rb"(?:\\+u[0-9a-f]{4})+|(?:\\+x[0-9a-f]{2})+|(?:%[0-9a-f]{2})+|&#x0*[0-9a-f]{1,6};|&#0*[0-9]{1,7};|&commat;|\\+/"
)
# By their first byte, which is found much faster.
_SIGNS = {b"\\": (b"\\u", b"\\x", b"\\/"), b"%": (b"%",), b"&": (b"&#", b"&commat;")}
_STARTS = re.compile(rb"[\\%&]")
# Length of the longest single escape, with some zeros or backslashes.
_MAX_ESCAPE = 16


def has_escapes(text: bytes) -> bool:
    """Whether a lower-case text may contain escapes."""
    return any(first in text and any(sign in text for sign in signs) for first, signs in _SIGNS.items())


def decode_escapes(text: bytes) -> bytes:
    """Replace the escapes in a lower-case text by UTF-8, with ASCII letters in lower case."""
    return _ESCAPES.sub(_decode, text).lower()


def before_escape(text: bytes, cut: int) -> int:
    """Return the largest position up to `cut` at which a lower-case text can be cut without cutting an escape."""
    start = _STARTS.search(text, max(0, cut - _MAX_ESCAPE), cut)
    if start is None:
        return cut
    cut = start.start()
    while cut and text[cut - 1] == ord("\\"):
        cut -= 1
    return cut


def _decode(escape: re.Match[bytes]) -> bytes:
    text = escape[0]
    if text.startswith(b"%"):
        return bytes.fromhex(text.replace(b"%", b"").decode())
    if text == b"&commat;":
        return b"@"
    if text.startswith(b"&"):
        number = int(text[3:-1], 16) if text[2:3] == b"x" else int(text[2:-1])
        return chr(number).encode("utf-8", "replace") if number < 0x110000 else text
    if text.endswith(b"/"):
        return b"/"
    if b"u" in text:
        return bytes.fromhex(re.sub(rb"\\+u", b"", text).decode()).decode("utf-16-be", "replace").encode()
    return bytes.fromhex(re.sub(rb"\\+x", b"", text).decode())
