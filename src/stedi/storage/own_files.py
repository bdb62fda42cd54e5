"""File-name suffix that marks STEDI's own files.

Orphan files of other writers may be about to be committed. Ours are not while no run is working, so maintenance can
delete them at once.
"""

import uuid

# The last twelve digits of the UUID in the name of every file that this program writes.
_OWN = 0x57ED_157E_D157
OWN_SUFFIX = f"-{_OWN:012x}"


def own_uuid() -> uuid.UUID:
    """Return a random UUID that ends in our suffix, for a file name; 74 of its bits are random."""
    return uuid.UUID(int=uuid.uuid4().int >> 48 << 48 | _OWN)


def is_own(path: str) -> bool:
    """Whether this program wrote a file, from the name of the file or of a folder above it."""
    return OWN_SUFFIX in path
