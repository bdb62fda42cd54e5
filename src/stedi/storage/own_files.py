"""File-name suffix that marks STEDI's own files.

Other writers' files that nothing names yet may be about to be committed; ours are not while no
run is at work, so they can be removed at once.
"""

import uuid

# The last twelve digits of the unique part of every file name that this program makes.
_OWN = 0x57ED_157E_D157
OWN_SUFFIX = f"-{_OWN:012x}"


def own_uuid() -> uuid.UUID:
    """A unique part for a file name, with our last digits; 74 bits of chance remain."""
    return uuid.UUID(int=uuid.uuid4().int >> 48 << 48 | _OWN)


def is_own(path: str) -> bool:
    """Whether this program made a file of a warehouse, by its name or that of a folder that it lies in."""
    return OWN_SUFFIX in path
