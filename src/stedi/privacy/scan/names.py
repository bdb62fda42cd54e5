"""Search the names of files and folders."""

import re
from collections.abc import Callable, Sequence

from stedi.privacy.identifiers import Identifier
from stedi.privacy.inventory import safe_name
from stedi.privacy.scan.search import Matcher, Search, View

# Endings that may follow an address in a file's name: the dot would make them part of its domain.
_ENDING = re.compile(
    r"\.(json|jsonl|ndjson|gz|bz2|zst|zlib|zip|tar|xlsx|csv|txt|log|md|html|svg|png|pdf|parquet|avro|bak|tmp|part|old)$",
    re.IGNORECASE,
)


def search_name(part: str, search: Search) -> None:
    """Search the name of a file or folder.

    Args:
        part: the name, without slashes.
        search: gets the matches.
    """
    stem = part
    while (shorter := _ENDING.sub("", stem)) != stem:
        stem = shorter
    search.add_stream((stem.encode("utf-8", "surrogateescape"),), View.TEXT)
    if stem != part:
        # What is left may be within a value that ends like a name of a file.
        search.add_stream((part[len(stem) :].encode("utf-8", "surrogateescape"),), View.TEXT)


def name_replacement(identifiers: Sequence[Identifier], key: bytes) -> Callable[[str], str]:
    """Return the function that replaces the personal parts of file names, as in inventories.

    Args:
        identifiers: what no name may contain, beside addresses of anybody.
        key: key of the digests.
    """
    matcher = Matcher(identifiers)
    return lambda name: safe_name(name, key, lambda part: _is_personal(part, matcher))


def _is_personal(part: str, matcher: Matcher) -> bool:
    """Whether the name of a file or folder may contain an address of anybody, or one of some identifiers."""
    if "@" in part or "%40" in part:
        return True
    search = Search(matcher)
    search_name(part, search)
    found = matcher.find(part.encode("utf-8", "surrogateescape").lower())
    # Short numbers and dates are in many names, and say nothing.
    kinds = (matcher.identifiers[number] for number in {known.number for known, _, _ in found})
    return bool(search.by_kind()) or any(identifier.demanded_absent or identifier.kind == "name" for identifier in kinds)
