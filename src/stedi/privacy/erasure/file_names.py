"""Names of landing files that name an erased person, and neutral names for them."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from stedi.ingest.landing_file import ending_of
from stedi.ingest.suppression import SuppressionList
from stedi.model.identity import device_of, identity_of

# An address or a serial number may be beside other parts of a name: `export_ann@example.com_2026.json.gz`.
_SEPARATOR = re.compile(r"[\s._+,;()\[\]-]+")
# Names of files have fewer than 255 characters. The search takes time in the square of the number of parts.
_MAX_PARTS = 40
# Shorter serial numbers may be numbers or dates by chance.
_MIN_SERIAL = 6


def name_screen(suppression: SuppressionList) -> Callable[[str], bool]:
    """Return a function that tells whether the name of a file or folder names an erased person or their device.

    It looks up every sequence of parts of the name. So it also finds an erased address at the end of a longer one.

    Args:
        suppression: the suppression list.
    """
    people = suppression.refusals.keys()
    devices = {device.device for stone in suppression.tombstones for device in stone.devices}

    def names_somebody(name: str) -> bool:
        for text in _sequences(unquote(name)):
            person = identity_of("person", text) if "@" in text else None
            if person and suppression.person_digest(person) in people:
                return True
            if devices and len(text) >= _MIN_SERIAL and suppression.device_digest(device_of(text)) in devices:
                return True
        return False

    return names_somebody


def _sequences(name: str) -> list[str]:
    """Return all texts of a name that begin and end at a separator."""
    ends = [0, *(end for match in list(_SEPARATOR.finditer(name))[:_MAX_PARTS] for end in match.span()), len(name)]
    starts, stops = ends[::2], ends[1::2]
    return [name[start:stop] for index, start in enumerate(starts) for stop in stops[index:] if start < stop]


def neutral_name(name: str, suppression: SuppressionList) -> str:
    """Return a neutral name for a landing file that no longer exists.

    Args:
        name: its name.
        suppression: the suppression list, whose key hides the name in the new one.
    """
    return f"{name.partition('/')[0]}/erased-{suppression.file_digest(name)[:16]}{ending_of(name) or ''}"
