"""Remove the records that retention marks refuse from landing files."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stedi.compute.suppressed_rows import refused_identities, release, stopped_records, suppressed_rows
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import is_in_s3
from stedi.ingest.quarantine_screen import names_one_of
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.model.sql import quoted
from stedi.pipeline.landing import ledger_of, reject_files
from stedi.privacy import landing_files
from stedi.privacy.erasure.journal import PlannedFile
from stedi.privacy.lakehouse import Lakehouse
from stedi.privacy.landing_files import RewrittenFile, delete_drafts, sha256_of
from stedi.tables.landing import quarantine

# Landing files that are read at a time. The positions of the records to remove are in memory, at 60 bytes each.
_FILES_AT_A_TIME = 50


@dataclass(frozen=True)
class _Cut:
    """A landing file with records to remove: their positions, and whether a text is about the people or devices."""

    file: LandingFile
    positions: frozenset[int]
    is_theirs: Callable[[str], bool]


def affected_files(lakehouse: Lakehouse, feed: Feed, suppression: SuppressionList) -> list[LandingFile]:
    """Return the landing files that contain records to remove, as far as runs have ingested them.

    Args:
        lakehouse: the lakehouse.
        feed: the feed.
        suppression: the retention marks.
    """
    backend, catalog, table = lakehouse.backend, lakehouse.catalog, feed.table
    ledger = ledger_of(catalog, table)
    # Late records were stopped at ingest, and are in their files.
    names = {entry.name for entry in ledger.values() if entry.suppressed}
    try:
        rows = backend.scan(table, catalog.files(table.name))
        condition = suppressed_rows(backend, feed, rows, suppression)
        if condition is not None:
            found = backend.select(f"SELECT DISTINCT source_file FROM ({rows}) AS r WHERE {condition}")
            names |= {row["source_file"] for row in found}
    finally:
        release(backend, feed)
    rejects = backend.scan(quarantine.TABLE, reject_files(catalog, table))
    names |= {record.source_file for record in stopped_records(backend, rejects, suppression)}
    listed = lakehouse.landing_files()[feed]
    # The next run reads changed files, and leaves out what the marks refuse.
    return [file for file in listed if file.name in names and ledger[file.name].version == file.version]


def plan_cuts(lakehouse: Lakehouse, feed: Feed, suppression: SuppressionList) -> Iterator[tuple[PlannedFile, RewrittenFile]]:
    """Yield what `cut_files` will do to each file. Writes nothing.

    Raises:
        LandingError: a file can't be read.
    """
    for cut in _find(lakehouse, feed, affected_files(lakehouse, feed, suppression), suppression):
        rewritten = landing_files.plan_removal(cut.file, feed, cut.positions, cut.is_theirs, scratch=lakehouse.scratch)
        yield _planned(feed, cut.file, rewritten), rewritten


def cut_files(
    lakehouse: Lakehouse, feed: Feed, suppression: SuppressionList, planned: Sequence[PlannedFile]
) -> tuple[list[tuple[PlannedFile, LandingFile | None]], list[RewrittenFile]]:
    """Remove the records from the landing files of a feed.

    Args:
        lakehouse: the lakehouse.
        feed: the feed.
        suppression: the retention marks.
        planned: the planned files of the feed. Some may have been rewritten before the removal was killed.

    Returns:
        All rewritten files with their new versions (None if a file was deleted), and what was done now.

    Raises:
        LandingError: a file can't be read or written, or changed meanwhile. It is unchanged.
    """
    if not is_in_s3(lakehouse.settings.landing):
        delete_drafts(Path(lakehouse.settings.landing))
    done: list[tuple[PlannedFile, LandingFile | None]] = []
    rewritten: list[RewrittenFile] = []
    for cut in _find(lakehouse, feed, affected_files(lakehouse, feed, suppression), suppression):
        now = landing_files.remove_records(cut.file, feed, cut.positions, cut.is_theirs, scratch=lakehouse.scratch)
        rewritten.append(now)
        done.append((_planned(feed, cut.file, now), now.file))
    names = {file.name for file, _ in done}
    listed = {file.name: file for file in lakehouse.landing_files()[feed]}
    for file in planned:
        now_listed = listed.get(file.name)
        is_ours = sha256_of(now_listed, lakehouse.scratch) == file.sha256 if now_listed else file.sha256 is None
        if file.name not in names and is_ours:
            done.append((file, now_listed))
    return done, rewritten


def _find(lakehouse: Lakehouse, feed: Feed, files: Sequence[LandingFile], suppression: SuppressionList) -> Iterator[_Cut]:
    """Read landing files, and yield those with records to remove. A file that changes meanwhile is left for the next run.

    A quarantined record that also names somebody else stays in its file: it may put their consent on hold.
    """
    backend = lakehouse.backend
    for start in range(0, len(files), _FILES_AT_A_TIME):
        group = files[start : start + _FILES_AT_A_TIME]
        positions, refused = defaultdict[str, set[int]](set), set[str]()
        ingested = backend.ingest(feed, group)
        try:
            rows = f"SELECT * FROM {quoted(ingested.landed)}"
            condition = suppressed_rows(backend, feed, rows, suppression)
            if condition is not None:
                refused |= {row["refused"] for row in refused_identities(backend, feed)}
                for row in backend.select(f"SELECT source_file, source_position FROM ({rows}) AS r WHERE {condition}"):
                    positions[row["source_file"]].add(row["source_position"])
            for record in stopped_records(backend, f"SELECT * FROM {quoted(ingested.quarantined)}", suppression):
                if record.others is None:
                    refused.update(record.refused)
                    positions[record.source_file].add(record.position)
        finally:
            release(backend, feed)
            backend.release(feed)
        is_theirs = partial(names_one_of, frozenset(refused))
        for file in group:
            if positions[file.name] and file.name in ingested.counts:
                yield _Cut(file, frozenset(positions[file.name]), is_theirs)


def _planned(feed: Feed, file: LandingFile, rewritten: RewrittenFile) -> PlannedFile:
    return PlannedFile(feed.name, file.name, file.version, file.name, rewritten.sha256_after, rewritten.modified_ns)
