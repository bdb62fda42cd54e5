"""Find texts that name other people, so that nobody receives them with their own data."""

import re
from urllib.parse import unquote

from stedi.model.identity import device_of, people_in

# Regular expression that matches every text in which `people_named` may find somebody: `@`, its full-width and small form,
# an escape in JSON, and percent-encoding.
MAY_NAME_PEOPLE = r"[@＠﹫]|\\u|%"
# Several backslashes: a text that was escaped more than once.
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_BETWEEN_SERIALS = re.compile(r"[\s\"',:;<>(){}\[\]=]+")


def people_named(text: str) -> set[str]:
    """Return the addresses in a text, normalised. They may be escaped as in JSON or percent-encoded as in URLs."""
    unescaped = _unescaped(text)
    return {person for decoded in {text, unescaped, unquote(unescaped)} for person in people_in(decoded)}


def names_others(text: str, person: str) -> bool:
    """Whether a text contains an address other than that of the person."""
    return bool(people_named(text) - {person})


def words_of(text: str) -> set[str]:
    """Return the words of a text, normalised as serial numbers are."""
    return {word for word in _BETWEEN_SERIALS.split(device_of(_unescaped(text))) if word}


def _unescaped(text: str) -> str:
    """Replace JSON's escapes of characters. Half of a surrogate pair becomes a question mark."""
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
