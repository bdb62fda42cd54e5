"""File-name suffix that marks STEDI's own files.

Another writer may be about to commit its orphan files. STEDI's are about to be committed only during a run, so maintenance
can delete them at once.
"""

import uuid

# The last twelve digits of the UUID in the names of all files that STEDI writes.
_OWN = 0x57ED_157E_D157
OWN_SUFFIX = f"-{_OWN:012x}"


def own_uuid() -> uuid.UUID:
    """Return a UUID for a file name: it ends in STEDI's suffix, and 74 of its bits are random."""
    return uuid.UUID(int=uuid.uuid4().int >> 48 << 48 | _OWN)


def is_own(path: str) -> bool:
    """Whether STEDI wrote a file, by the name of the file or of a folder above it."""
    return OWN_SUFFIX in path
