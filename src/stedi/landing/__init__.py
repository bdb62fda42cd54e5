"""Landing zone: every readable record as received, and what could not be read."""

from stedi.landing import quarantine
from stedi.landing.feeds import FEEDS

TABLES = (*(feed.table for feed in FEEDS), quarantine.TABLE)
__all__ = ["FEEDS", "TABLES", "quarantine"]
