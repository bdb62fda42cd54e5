"""Erase people from landing files and landing tables."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from stedi.compute.row_split import Removal
from stedi.compute.suppressed_rows import release, suppressed_rows
from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import LedgerEntry
from stedi.ingest.quarantine_screen import QuarantineScreen
from stedi.ingest.skipped_files import shown_name
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.model.progress import Progress, Report
from stedi.pipeline.landing import ledger_of
from stedi.pipeline.landing_removal import RemovedRecords, remove_records
from stedi.pipeline.report import TableReport
from stedi.privacy import landing_files
from stedi.privacy.erasure.lakehouse import Lakehouse
from stedi.privacy.erasure.search import FoundRecords, find_records, quarantined_records
from stedi.privacy.landing_files import RewrittenFile
from stedi.tables.landing.feeds import FEEDS


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
    is_theirs = _screen(suppression)
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


def _screen(suppression: SuppressionList) -> Callable[[str], bool]:
    """Return a function that tells whether a text is about a person on the list."""
    screen = QuarantineScreen(suppression)
    return lambda text: screen.screen(text, (), 0).is_stopped


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
    is_theirs = _screen(suppression)
    return function(cut.file, cut.feed, cut.found.positions, is_theirs, scratch=lakehouse.scratch, is_name_theirs=is_theirs)


def purge_tables(
    lakehouse: Lakehouse, suppression: SuppressionList, cuts: Iterable[tuple[FileToCut, LandingFile | None]], run_id: str
) -> dict[str, TableReport]:
    """Remove the people from the landing tables, their quarantine and their ledgers; one commit a table.

    The ledger gets the new versions of the rewritten files, so that they are not taken for changed ones.

    Args:
        lakehouse: the lakehouse. Its backend has the relations of `search.search`.
        suppression: the suppression list, with the people in it.
        cuts: the rewritten files, each with its new version; None if it was deleted.
        run_id: the run that the commits belong to.
    """
    backend, catalog = lakehouse.backend, lakehouse.catalog
    entries: dict[str, dict[str, LedgerEntry | None]] = {feed.name: {} for feed in FEEDS}
    for cut, now in cuts:
        before = ledger_of(catalog, cut.feed.table).get(cut.file.name)
        # A version that was never ingested is left for the next run.
        if before is not None and before.version == cut.file.version:
            entries[cut.feed.name][cut.file.name] = None
            if now is not None:
                entries[cut.feed.name][now.name] = _entry(before, cut.found, now)
    reports: dict[str, TableReport] = {}
    for feed in FEEDS:
        try:
            rows = backend.scan(feed.table, catalog.files(feed.table.name))
            landed = suppressed_rows(backend, feed, rows, suppression) or "false"
            records = RemovedRecords(Removal(landed), quarantined_records(), entries[feed.name])
            report = remove_records(feed, records, catalog, backend, run_id)
        finally:
            release(backend, feed)
        if report is not None:
            reports[feed.table.name] = report
    return reports


def _entry(before: LedgerEntry, found: FoundRecords, now: LandingFile) -> LedgerEntry:
    return replace(
        before,
        name=now.name,
        version=now.version,
        records=found.other_landed + found.other_quarantined,
        landed=found.other_landed,
        quarantined=found.other_quarantined,
        suppressed=0,
        generation=0,
    )
