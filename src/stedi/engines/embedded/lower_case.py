"""What letters the embedded engine's `lower` changes, for engines that know another Unicode."""

import sys
from functools import cache

import duckdb


@cache
def lower_case() -> tuple[str, str]:
    """All characters that `lower` changes, and what it makes of each, in the same order."""
    # Surrogates are halves of characters, not characters.
    characters = [chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    pairs = duckdb.execute(
        "SELECT c, lower(c) FROM (SELECT unnest($1::VARCHAR[]) AS c) AS characters WHERE c <> lower(c)", [characters]
    ).fetchall()
    return "".join(upper for upper, _ in pairs), "".join(lower for _, lower in pairs)
