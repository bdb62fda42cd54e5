"""Serial numbers, times and slot widths of devices as text for people."""

from datetime import UTC, datetime

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Longer than any real serial number.
_MAX_SERIAL_LENGTH = 60


def format_serial(serial: str) -> str:
    """Return a serial number, cut after 60 characters."""
    return serial if len(serial) <= _MAX_SERIAL_LENGTH else f"{serial[:_MAX_SERIAL_LENGTH]}…"


def format_time(time_ms: int, width_ms: int = HOUR_MS) -> str:
    """Return a time in UTC: date and minute, or only the date if it is the start of a day or longer.

    Args:
        time_ms: the time in ms since the epoch.
        width_ms: length of the span of time that starts then, in ms.
    """
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):{'%Y-%m-%d %H:%M' if width_ms <= HOUR_MS else '%Y-%m-%d'}}"


def format_slot_width(width_ms: int) -> str:
    """Return the width of a slot in words, such as "hour" or "7 days"."""
    days = width_ms // DAY_MS
    return f"{days} days" if days > 1 else ("day" if days else "hour")
