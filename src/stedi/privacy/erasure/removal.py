"""Remove people from landing files, tables, the history of the tables, models and the privacy log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stedi.catalog.run_log import new_run_id
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import is_in_s3
from stedi.ingest.skipped_files import shown_name
from stedi.ingest.suppression import SuppressionList
from stedi.maintenance.orphan_files import DeletedFiles, delete_everything_unreferenced
from stedi.model.progress import Progress, Report
from stedi.pipeline.report import RunReport, TableReport
from stedi.pipeline.runner import refresh_derived_tables
from stedi.privacy.erasure.file_names import name_screen
from stedi.privacy.erasure.history import RewrittenTable, TableHistory, find_history, replace_side_files, rewrite
from stedi.privacy.erasure.identifying import identifiers
from stedi.privacy.erasure.journal import Journal, PlannedFile
from stedi.privacy.erasure.landing import FileToCut, cut_records, find_files, plan_cut, purge_table
from stedi.privacy.erasure.mentions import find_mentions
from stedi.privacy.erasure.plan import Erasure, FileErasure, Remains, TableErasure
from stedi.privacy.erasure.search import People, Search, refused_people, search, searches
from stedi.privacy.erasure.side_files import names_to_change, rewrite_side_files
from stedi.privacy.identifiers import Identifier
from stedi.privacy.lakehouse import Lakehouse
from stedi.privacy.landing_files import RewrittenFile, delete_drafts, delete_empty_folders, sha256_of
from stedi.privacy.privacy_log import find_entries, replace_pseudonyms
from stedi.privacy.whose_rows import PEOPLE
from stedi.steps.registry.erased_people import erase_people
from stedi.steps.registry.erased_people import plan_erasure as plan_models
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL

_HARD_LINKS = "other names (hard links) of rewritten landing files"
_WHY_HARD_LINKS = "they keep the old content, and may be anywhere on the disk; delete them before"


class PeopleRemoval:
    """The removal of people from everything: what is searched for, and the steps.

    Attributes:
        people: everybody who is erased, in plain text.
        cuts: the landing files with records of theirs, after `plan`.
        planned_files: what these files will be, after `plan`.
        identifiers: the values that identify the people in files, after `plan`.
    """

    def __init__(self, lakehouse: Lakehouse, suppression: SuppressionList, known: People, progress: Report) -> None:
        self._lakehouse, self._at_ingest, self._progress = lakehouse, suppression, progress
        # Retention marks say nothing about erased people.
        self._suppression = suppression = suppression.of_erasures
        lakehouse.use(suppression)
        self._in_tables = refused_people(lakehouse.backend, lakehouse.catalog, suppression)
        self.people = known | self._in_tables
        search(lakehouse.backend, lakehouse.catalog, self.people, suppression)
        self.cuts: list[FileToCut] = []
        self.planned_files: tuple[PlannedFile, ...] = ()
        self.identifiers: tuple[Identifier, ...] = ()

    def plan(self, addresses: Sequence[str]) -> Erasure:
        """Search everything, and return what would be removed."""
        files, planned, other_names = [], [], 0
        self.cuts = list(find_files(self._lakehouse, self._suppression, self._progress))
        for number, cut in enumerate(self.cuts):
            self._progress(Progress("planning the removal from landing files", number, len(self.cuts), "files"))
            rewritten = plan_cut(self._lakehouse, cut, self._suppression)
            files.append(_file_erasure(rewritten))
            planned.append(_planned_file(cut, rewritten))
            other_names += rewritten.other_names
        self.planned_files = tuple(planned)
        tables = tuple(_table_erasure(found, current) for found, _, current in self._histories({}) if found.files)
        pseudonyms = self._pseudonyms()
        backend, catalog = self._lakehouse.backend, self._lakehouse.catalog
        mentions = find_mentions(backend, catalog, identifiers(backend, catalog, self.people, self._suppression))
        self.identifiers = mentions.identifiers
        return Erasure(
            erasure_id="",
            subjects=tuple(self._suppression.person_digest(address) for address in self.people.addresses),
            not_in_tables=len(set(addresses) - set(self._in_tables.addresses)),
            devices=len(self.people.devices),
            files=tuple(files),
            tables=tables,
            models=tuple(plan_models(self._lakehouse.settings, pseudonyms)),
            log_entries=len(find_entries(self._lakehouse.warehouse, pseudonyms)),
            remains=(*mentions.remains, *([Remains(_HARD_LINKS, other_names, _WHY_HARD_LINKS)] if other_names else [])),
        )

    def apply(
        self, journal: Journal, keep: Callable[[Journal], None], cuts: Sequence[FileToCut] | None
    ) -> tuple[Journal, DeletedFiles]:
        """Carry out a planned erasure. Every step may have been done before.

        Args:
            journal: the journal.
            keep: stores the journal.
            cuts: the landing files to cut; None to search them.

        Returns:
            The journal with what was done, and the files that were deleted at the end.
        """
        pseudonyms = self._pseudonyms()
        rewritten = self._cut_files(journal, cuts)
        report = self._refresh(rewritten, new_run_id())
        renamed = {file.name: now.name for file, now in rewritten if now is not None and now.name != file.name}
        renamed = names_to_change(self._lakehouse, self._suppression, renamed)
        for table in self._rewrite_history(report.tables, renamed):
            journal = replace(journal, tables=(*journal.tables, table))
            keep(journal)
        deleted = self._delete_unreferenced()
        erase_people(self._lakehouse.settings, pseudonyms.keys(), journal.erasure_id)
        replace_pseudonyms(self._lakehouse.warehouse, pseudonyms)
        return journal, deleted

    def _pseudonyms(self) -> dict[str, str]:
        """The people's keyed digests in the suppression list, by their pseudonyms."""
        rows = self._lakehouse.backend.select(f"SELECT person, pseudonym FROM {PEOPLE} ORDER BY person")
        return {row["pseudonym"]: self._suppression.person_digest(row["person"]) for row in rows}

    def _cut_files(self, journal: Journal, cuts: Sequence[FileToCut] | None) -> list[tuple[PlannedFile, LandingFile | None]]:
        """Rewrite the landing files; returns all planned ones with their new versions."""
        if not is_in_s3(self._lakehouse.settings.landing):
            delete_drafts(Path(self._lakehouse.settings.landing))
        if cuts is None:
            cuts = list(find_files(self._lakehouse, self._suppression, self._progress))
        cut: dict[str, LandingFile | None] = {}
        planned = {file.name: file for file in journal.files}
        for number, found in enumerate(cuts):
            self._progress(Progress("removing records from landing files", number, len(cuts), "files"))
            self._lakehouse.warehouse.confirm_write_lock()
            rewritten = cut_records(self._lakehouse, found, self._suppression)
            planned[found.file.name] = _planned_file(found, rewritten)
            cut[found.file.name] = rewritten.file
        if not is_in_s3(self._lakehouse.settings.landing):
            delete_empty_folders(self._lakehouse.settings.landing, name_screen(self._suppression))
        listed = {file.name: file for files in self._lakehouse.landing_files().values() for file in files}
        done: list[tuple[PlannedFile, LandingFile | None]] = []
        for name, file in planned.items():
            if name in cut:
                done.append((file, cut[name]))
            elif file.sha256 is None or (
                file.new_name in listed and sha256_of(listed[file.new_name], self._lakehouse.scratch) == file.sha256
            ):
                # Rewritten before the erasure was killed.
                done.append((file, listed.get(file.new_name) if file.sha256 else None))
        return done

    def _refresh(self, rewritten: Sequence[tuple[PlannedFile, LandingFile | None]], run_id: str) -> RunReport:
        """Remove the people from the landing tables, refresh the other tables, and publish a finished run."""
        lakehouse = self._lakehouse
        report = RunReport(run_id, lakehouse.run.settings, dry_run=False)
        for feed in FEEDS:
            files = [(file, now) for file, now in rewritten if file.feed == feed.name]
            purged = purge_table(lakehouse, feed, self._suppression, files, run_id, at_ingest=self._at_ingest)
            if purged is not None:
                report.tables[feed.table.name] = purged
        refresh_derived_tables(
            lakehouse.catalog,
            lakehouse.parameters,
            self._suppression,
            lambda: lakehouse.backend,
            report,
            self._progress,
        )
        return report

    def _histories(
        self, reports: Mapping[str, TableReport], renamed: Mapping[str, str] | None = None
    ) -> Iterator[tuple[TableHistory, Search, int | None]]:
        """Search the snapshots of all tables; yields what was found, how, and the ID of the current snapshot."""
        lakehouse = self._lakehouse
        found = searches(lakehouse.backend, lakehouse.catalog, self.people, self._suppression, renamed or {})
        for number, (table, how) in enumerate(found):
            self._progress(Progress(f"searching the history of {table.name}", number, len(ALL), "tables"))
            snapshot = lakehouse.catalog.snapshot(table.name)
            current = snapshot.id if snapshot else None
            # Just computed without the people. It may have new rows of somebody who was let in again.
            is_computed = table.name in reports and table.built_from and not reports[table.name].is_stale
            if renamed and "source_file" in table.column_names:
                is_computed = False
            yield (
                find_history(lakehouse.catalog, lakehouse.backend, table, how, without=current if is_computed else None),
                how,
                current,
            )

    def _rewrite_history(self, reports: Mapping[str, TableReport], renamed: Mapping[str, str]) -> Iterator[RewrittenTable]:
        """Rewrite all snapshots with rows of the people; yields what was done, table by table."""
        lakehouse = self._lakehouse
        for feed in FEEDS:
            replaced = rewrite_side_files(lakehouse, feed.table, renamed)
            if replaced:
                replace_side_files(lakehouse.catalog, feed.table, replaced)
        for found, how, _ in self._histories(reports, renamed):
            if found.files:
                yield rewrite(lakehouse.catalog, lakehouse.backend, found, how)

    def _delete_unreferenced(self) -> DeletedFiles:
        """Delete all files that no snapshot refers to, whatever their age."""
        files = size = 0
        for number, table in enumerate(ALL):
            self._progress(Progress(f"deleting files of {table.name}", number, len(ALL), "tables"))
            deleted = delete_everything_unreferenced(self._lakehouse.catalog, table.name)
            files, size = files + deleted.files, size + deleted.bytes
        self._lakehouse.catalog.vacuum()
        return DeletedFiles(files, size)


def _planned_file(cut: FileToCut, rewritten: RewrittenFile) -> PlannedFile:
    return PlannedFile(
        cut.feed.name,
        cut.file.name,
        cut.file.version,
        rewritten.new_name or cut.file.name,
        rewritten.sha256_after,
        rewritten.modified_ns,
    )


def _file_erasure(rewritten: RewrittenFile) -> FileErasure:
    return FileErasure(
        shown_name(rewritten.name),
        rewritten.removed_records,
        rewritten.kept_records,
        rewritten.bytes_before,
        rewritten.bytes_after,
        rewritten.dropped_bytes,
        is_deleted=rewritten.sha256_after is None,
        is_renamed=rewritten.new_name is not None,
        sha256_before=rewritten.sha256_before,
        sha256_after=rewritten.sha256_after,
        kept_sha256=rewritten.kept_sha256,
    )


def _table_erasure(found: TableHistory, current: int | None) -> TableErasure:
    return TableErasure(
        found.table.name,
        found.table.zone,
        rows=sum(found.rows.get(file.file, 0) for file in found.files if current in file.snapshot_ids),
        history_rows=found.row_count,
        snapshots=len(found.snapshot_ids),
        snapshot_count=found.snapshots,
        files=len(found.files),
        other_rows=found.other_rows,
    )
