"""Erase people from landing files and landing tables."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from stedi.compute.row_split import Removal
from stedi.compute.suppressed_rows import release, suppressed_rows
from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.quarantine_screen import QuarantineScreen
from stedi.ingest.skipped_files import shown_name
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.model.identity import Identity, identity_of
from stedi.model.progress import Progress, Report
from stedi.model.sql import literals
from stedi.pipeline.landing import ingest_feed, ledger_of
from stedi.pipeline.landing_removal import RemovedRecords, remove_records
from stedi.pipeline.report import TableReport
from stedi.privacy import landing_files
from stedi.privacy.erasure.file_names import name_screen
from stedi.privacy.erasure.journal import PlannedFile
from stedi.privacy.erasure.search import FoundRecords, find_records, quarantined_records, without_text
from stedi.privacy.lakehouse import Lakehouse
from stedi.privacy.landing_files import RewrittenFile
from stedi.tables.landing.feeds import FEEDS

# Spellings of addresses repeat from record to record.
_CACHED = 100_000


@dataclass(frozen=True)
class FileToCut:
    """A landing file with records of the people, or with their names in its own name."""

    feed: Feed
    file: LandingFile
    found: FoundRecords


def find_files(lakehouse: Lakehouse, suppression: SuppressionList, progress: Report) -> Iterator[FileToCut]:
    """Read all landing files, also those that no run has ingested, and yield those with something to remove.

    Raises:
        LandingError: a file changed while it was read, or can't be read.
    """
    is_theirs = name_screen(suppression)
    for number, (feed, files) in enumerate(lakehouse.landing_files().items()):
        progress(Progress(f"reading landing files of {feed.name}", number, len(FEEDS), "feeds"))
        found = find_records(lakehouse.backend, feed, files, suppression)
        for file in files:
            if file.name not in found:
                raise LandingError(
                    f"landing file {shown_name(file.name)} changed while it was read; start the erasure again when it is "
                    "complete"
                )
            if found[file.name].positions or any(map(is_theirs, file.name.split("/"))):
                yield FileToCut(feed, file, found[file.name])


def plan_cut(lakehouse: Lakehouse, cut: FileToCut, suppression: SuppressionList) -> RewrittenFile:
    """Return what `cut_records` will do. Writes nothing."""
    return _apply(landing_files.plan_removal, lakehouse, cut, suppression)


def cut_records(lakehouse: Lakehouse, cut: FileToCut, suppression: SuppressionList) -> RewrittenFile:
    """Remove the people's records from a landing file.

    Raises:
        LandingError: the file can't be read or written, or changed meanwhile. It is unchanged.
    """
    return _apply(landing_files.remove_records, lakehouse, cut, suppression)


def _apply(
    function: Callable[..., RewrittenFile], lakehouse: Lakehouse, cut: FileToCut, suppression: SuppressionList
) -> RewrittenFile:
    return function(
        cut.file,
        cut.feed,
        cut.found.positions,
        _record_screen(cut.feed, suppression),
        scratch=lakehouse.scratch,
        is_name_theirs=name_screen(suppression),
        held=cut.found.held,
    )


def _record_screen(feed: Feed, suppression: SuppressionList) -> Callable[[str], bool]:
    """Return a function that tells whether a record's text is about a person or device on the list, at any time.

    The identity in a readable record is looked up at once: searching all of a text takes 0.2 ms, and people have thousands
    of readings.
    """
    screen = QuarantineScreen(suppression)
    identity: Identity = "person" if "person" in feed.identifying else "device"
    name = feed.identifying[identity].name.lower()
    refused = suppression.refusals.keys() | {device.device for stone in suppression.tombstones for device in stone.devices}
    digest = suppression.person_digest if identity == "person" else suppression.device_digest

    @lru_cache(_CACHED)
    def is_refused(spelling: str) -> bool:
        normalised = identity_of(identity, spelling)
        return normalised is not None and digest(normalised) in refused

    def is_theirs(text: str) -> bool:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            spellings = (value for key, value in record.items() if key.lower() == name and isinstance(value, str))
            if any(map(is_refused, spellings)):
                return True
        return screen.screen(text, (), 0).is_stopped

    return is_theirs


def purge_table(
    lakehouse: Lakehouse,
    feed: Feed,
    suppression: SuppressionList,
    files: Iterable[tuple[PlannedFile, LandingFile | None]],
    run_id: str,
    *,
    at_ingest: SuppressionList,
) -> TableReport | None:
    """Remove people's records from a landing table, its quarantine and its ledger.

    Rewritten files are ingested again, so that the table is as if the people's records had never been in them. The people's
    rows that came from other files, such as deleted ones, are removed.

    Args:
        lakehouse: the lakehouse. Its backend has the relations of `search.search`.
        feed: the feed of the table.
        suppression: refuses the records to remove.
        files: the rewritten files of the feed, each with its new version; None if it was deleted.
        run_id: the run that the commits belong to.
        at_ingest: the whole suppression list, for the files that are ingested again.

    Returns:
        The report of the landing table; None if no run has created it.
    """
    backend, catalog = lakehouse.backend, lakehouse.catalog
    again: list[LandingFile] = []
    gone: list[str] = []
    ledger = ledger_of(catalog, feed.table)
    for file, now in files:
        before = ledger.get(file.name)
        # A version that was never ingested is left for the next run.
        if before is None or before.version != file.version:
            continue
        if now is None or now.name != file.name:
            gone.append(file.name)
        if now is not None:
            is_older = now.modified_ns != file.modified_ns
            again.append(replace(now, modified_ns=file.modified_ns, has_older_time=is_older))
    removed = _remove_rows(lakehouse, feed, suppression, gone, [file.name for file in again], run_id)
    if removed is None:
        return None
    ingested, _ = ingest_feed(
        feed, again, catalog, lambda: backend, run_id, read_again=lambda entry: False, suppression=at_ingest
    )
    return ingested if ingested.is_refresh else removed


def _remove_rows(
    lakehouse: Lakehouse,
    feed: Feed,
    suppression: SuppressionList,
    gone: Sequence[str],
    again: Sequence[str],
    run_id: str,
) -> TableReport | None:
    """Remove the people's rows, and those of files that are gone. Files that are ingested again are left out."""
    backend, catalog = lakehouse.backend, lakehouse.catalog
    is_gone = f"source_file IN ({literals(gone)})" if gone else "false"
    is_again = f"source_file IN ({literals(again)})" if again else "false"
    try:
        rows = backend.scan(feed.table, catalog.files(feed.table.name))
        landed = suppressed_rows(backend, feed, rows, suppression) or "false"
        theirs = quarantined_records()
        records = RemovedRecords(
            Removal(f"({is_gone} OR {landed} AND NOT {is_again})"),
            Removal(
                f"({is_gone} OR {theirs.condition} AND NOT {is_again})",
                lambda removed: without_text(f"SELECT * FROM ({removed}) AS g WHERE NOT {is_gone}"),
            ),
            gone,
        )
        return remove_records(feed, records, catalog, backend, run_id)
    finally:
        release(backend, feed)
