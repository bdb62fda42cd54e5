"""All erasures: finished ones from the suppression list, the unfinished one from its journal."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

from stedi.config import Settings
from stedi.ingest.applied_erasures import require_applied
from stedi.ingest.suppression import open_suppression
from stedi.privacy.clock_report import ClockErasure
from stedi.storage import open_warehouse
from stedi.storage.errors import translate_damage, translate_storage_errors

# The journal of an unfinished erasure, in the privacy folder.
JOURNAL = "erasure.json"


def read_erasures(settings: Settings, deadline_ms: int) -> tuple[ClockErasure, ...]:
    """Read when erasures started and whether they finished, the unfinished one first, then the newest first.

    Args:
        settings: where the privacy folder and the warehouse are.
        deadline_ms: an unfinished erasure that started before this time is overdue (ms since the epoch, UTC).

    Raises:
        WarehouseError: the journal or the suppression list can't be read, or the warehouse is from before an erasure.
    """
    journal = _read_journal(settings)
    suppression = open_suppression(settings)
    if journal is None:
        require_applied(open_warehouse(settings.warehouse, settings.database), suppression)
    people = Counter(stone.erasure_id for stone in suppression.tombstones)
    started = {stone.erasure_id: stone.erased_at_ms for stone in suppression.tombstones}
    erasures = []
    if journal is not None:
        started_ms = round(datetime.fromisoformat(journal["started_at"]).timestamp() * 1000)
        people.pop(journal["erasure_id"], None)
        is_overdue = started_ms < deadline_ms
        erasures.append(ClockErasure(journal["erasure_id"], started_ms, len(journal["addresses"]), False, is_overdue))
    newest_first = sorted(people, key=lambda erasure_id: started[erasure_id], reverse=True)
    erasures += [
        ClockErasure(erasure_id, started[erasure_id], people[erasure_id], True, False) for erasure_id in newest_first
    ]
    return tuple(erasures)


def _read_journal(settings: Settings) -> dict[str, Any] | None:
    folder = open_warehouse(settings.privacy_folder)
    with translate_storage_errors(f"{folder.path(JOURNAL)} can't be read"), translate_damage("journal of an erasure"):
        try:
            journal: dict[str, Any] = json.loads(folder.read(JOURNAL))
        except FileNotFoundError:
            return None
        return {"erasure_id": journal["erasure_id"], "started_at": journal["started_at"], "addresses": journal["addresses"]}
