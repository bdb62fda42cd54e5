"""Unfinished erasures: their journal is in the privacy folder until they end."""

import json
from datetime import datetime

from stedi.config import Settings
from stedi.privacy.clock_report import ClockErasure
from stedi.storage import open_warehouse
from stedi.storage.errors import translate_damage, translate_storage_errors

JOURNAL = "erasure.json"


def unfinished_erasures(settings: Settings, deadline_ms: int) -> tuple[ClockErasure, ...]:
    """Read when the unfinished erasure started, if there is one. Nothing else of its journal is returned.

    Args:
        settings: where the privacy folder is.
        deadline_ms: an erasure that started before this time is overdue (ms since the epoch, UTC).

    Raises:
        WarehouseError: the journal can't be read.
    """
    folder = open_warehouse(settings.privacy_folder)
    with translate_storage_errors(f"{folder.path(JOURNAL)} can't be read"), translate_damage("journal of an erasure"):
        try:
            journal = json.loads(folder.read(JOURNAL))
        except FileNotFoundError:
            return ()
        started_ms = round(datetime.fromisoformat(journal["started_at"]).timestamp() * 1000)
    return (ClockErasure(started_ms, started_ms < deadline_ms),)
