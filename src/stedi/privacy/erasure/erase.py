"""Erase people: from landing files, tables, their whole history, models and logs.

Each step can be repeated: a killed erasure is completed by the next call. The tombstones come first. From then until the
last step the warehouse is behind the suppression list, so no run and no reader uses it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.catalog.run_log import new_run_id
from stedi.config import Settings
from stedi.ingest.applied_erasures import is_applied, mark_applied, require_applied
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import is_in_s3
from stedi.ingest.skipped_files import shown_name
from stedi.ingest.suppression import ErasedPerson, SuppressionList, open_suppression
from stedi.maintenance.orphan_files import DeletedFiles, delete_everything_unreferenced
from stedi.model.progress import Progress, Report
from stedi.pipeline.report import RunReport, TableReport
from stedi.pipeline.runner import refresh_derived_tables
from stedi.privacy.certificate import FOLDER as CERTIFICATES
from stedi.privacy.erasure.file_names import name_screen
from stedi.privacy.erasure.history import RewrittenTable, TableHistory, find_history, replace_side_files, rewrite
from stedi.privacy.erasure.identifying import identifiers
from stedi.privacy.erasure.journal import Journal, PlannedFile, delete_journal, read_journal, write_journal
from stedi.privacy.erasure.lakehouse import Lakehouse, open_lakehouse
from stedi.privacy.erasure.landing import FileToCut, cut_records, find_files, plan_cut, purge_tables
from stedi.privacy.erasure.mentions import find_mentions
from stedi.privacy.erasure.old_objects import count_old_objects, delete_old_objects
from stedi.privacy.erasure.plan import NOTHING_ELSEWHERE, Elsewhere, Erasure, FileErasure, Remains, TableErasure
from stedi.privacy.erasure.proof import (
    certificate_facts,
    certify,
    forget_before,
    left_out,
    list_before,
    read_before,
    roots,
    scan_after,
)
from stedi.privacy.erasure.search import (
    People,
    Search,
    devices_of,
    refused_people,
    search,
    searches,
)
from stedi.privacy.erasure.side_files import names_to_change, rewrite_side_files
from stedi.privacy.identifiers import Identifier
from stedi.privacy.landing_files import RewrittenFile, delete_drafts, delete_empty_folders, sha256_of
from stedi.privacy.privacy_log import find_entries, operating_system_user, replace_pseudonyms
from stedi.privacy.whose_rows import PEOPLE, search_people
from stedi.steps.registry.erased_people import erase_people
from stedi.steps.registry.erased_people import plan_erasure as plan_models
from stedi.storage import Warehouse, open_warehouse
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL

_HARD_LINKS = "other names (hard links) of rewritten landing files"
_WHY_HARD_LINKS = "they keep the old content, and may be anywhere on the disk; delete them before"


def plan(
    settings: Settings,
    addresses: Sequence[str],
    *,
    elsewhere: Elsewhere = NOTHING_ELSEWHERE,
    progress: Report = lambda _: None,
) -> Erasure:
    """Return what `erase` would remove. Changes nothing.

    Args:
        settings: the settings.
        addresses: normalised addresses of the people to erase, added to those on the suppression list. May be empty.
        elsewhere: what a deployment keeps outside of the lakehouse.
        progress: receives the number of finished tables.

    Raises:
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or a file can't be read.
        LandingError: the landing folder or a file in it can't be read.
    """
    roots(settings)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with (
        TemporaryDirectory(prefix="stedi-erasure-") as scratch,
        open_lakehouse(settings, warehouse, Path(scratch)) as lakehouse,
    ):
        journal = read_journal(open_warehouse(settings.privacy_folder))
        suppression, now_ms = open_suppression(settings), _now_ms()
        is_unfinished = journal is not None or not is_applied(warehouse, suppression)
        people = _erased(lakehouse, addresses, now_ms)
        if people:
            suppression = suppression.preview(people, erased_at_ms=now_ms)
        if suppression.is_empty:
            return Erasure()
        known = (journal.people if journal else People()) | _people(people)
        planned = _Work(lakehouse, suppression, known, progress).plan(addresses)
        old = count_old_objects(settings, datetime.now(UTC), elsewhere.copies)
        return replace(
            planned,
            old_versions=old.versions,
            uploads=old.uploads,
            copies=old.copies,
            remains=(*planned.remains, *elsewhere.remains),
            is_unfinished=is_unfinished,
        )


def erase(
    settings: Settings,
    addresses: Sequence[str],
    *,
    elsewhere: Elsewhere = NOTHING_ELSEWHERE,
    progress: Report = lambda _: None,
) -> Erasure:
    """Erase people, and everybody on the suppression list whom a restored backup or a late file brought back.

    An unfinished erasure is completed first, together with this one.

    Args:
        settings: the settings.
        addresses: normalised addresses of the people to erase. May be empty.
        elsewhere: what a deployment keeps outside of the lakehouse.
        progress: receives the number of finished tables.

    Returns:
        What was removed.

    Raises:
        WarehouseBusyError: a run or another erasure works on the warehouse.
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or a file can't be read or written.
        LandingError: the landing folder or a file in it can't be read or written.
    """
    roots(settings)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    folder = open_warehouse(settings.privacy_folder)
    with _opened(settings, warehouse) as lakehouse:
        journal = read_journal(folder)
        if journal is not None and not set(addresses) <= set(journal.addresses):
            _complete(lakehouse, folder, journal, progress)
            journal = None
        if journal is not None:
            return _complete(lakehouse, folder, journal, progress)
        journal, cuts = _begin(lakehouse, folder, addresses, elsewhere, progress)
        return _complete(lakehouse, folder, journal, progress, cuts)


def lift(settings: Settings, address: str) -> None:
    """Let a person in again who registered anew and consents. Data from before the erasure stays refused.

    Args:
        settings: the settings.
        address: normalised address.

    Raises:
        StediError: nobody with this address was erased.
        WarehouseBusyError: a run or an erasure works on the warehouse.
        WarehouseError: the warehouse is from before an erasure, or the suppression list can't be written.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with _opened(settings, warehouse):
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        mark_applied(warehouse, suppression.lift(address, at_ms=_now_ms()))


@contextmanager
def _opened(settings: Settings, warehouse: Warehouse) -> Iterator[Lakehouse]:
    # Taking the write lock would create a missing warehouse.
    with open_lakehouse_for_reading(settings, warehouse):
        pass
    with (
        warehouse.write_lock(),
        warehouse.scratch() as scratch,
        open_lakehouse(settings, warehouse, scratch) as lakehouse,
    ):
        yield lakehouse


@contextmanager
def open_lakehouse_for_reading(settings: Settings, warehouse: Warehouse) -> Iterator[Lakehouse]:
    """Open a lakehouse without the write lock, with a folder for temporary files."""
    with (
        TemporaryDirectory(prefix="stedi-erasure-") as scratch,
        open_lakehouse(settings, warehouse, Path(scratch)) as lakehouse,
    ):
        yield lakehouse


def _begin(
    lakehouse: Lakehouse, folder: Warehouse, addresses: Sequence[str], elsewhere: Elsewhere, progress: Report
) -> tuple[Journal, list[FileToCut]]:
    """Plan, write the journal, then add the tombstones; returns the journal and the landing files to cut."""
    now_ms, erasure_id = _now_ms(), new_run_id()
    people = _erased(lakehouse, addresses, now_ms)
    suppression = open_suppression(lakehouse.settings).with_key()
    preview = suppression.preview(people, erased_at_ms=now_ms) if people else suppression
    work = _Work(lakehouse, preview, _people(people), progress)
    planned = work.plan(addresses)
    planned = replace(planned, erasure_id=erasure_id, remains=(*planned.remains, *elsewhere.remains))
    journal = Journal(
        erasure_id,
        _now(),
        elsewhere.asked_by or operating_system_user(),
        tuple(addresses),
        work.people,
        work.planned_files,
        planned,
        work.identifiers,
        elsewhere,
    )
    write_journal(folder, journal)
    if people:
        suppression.add(people, erased_at_ms=now_ms, erasure_id=erasure_id)
    return journal, work.cuts


def _complete(
    lakehouse: Lakehouse,
    folder: Warehouse,
    journal: Journal,
    progress: Report,
    cuts: Sequence[FileToCut] | None = None,
) -> Erasure:
    """Carry out an erasure whose journal is written. Every step may have been done before.

    Args:
        lakehouse: the lakehouse.
        folder: the privacy folder.
        journal: the journal.
        progress: receives the number of finished files and tables.
        cuts: the landing files to cut; None to search them again.
    """
    settings = lakehouse.settings
    suppression = open_suppression(settings)
    has_tombstones = any(stone.erasure_id == journal.erasure_id for stone in suppression.tombstones)
    if journal.addresses and not has_tombstones:
        # Killed between the journal and the tombstones.
        people = _erased(lakehouse, journal.addresses, _now_ms())
        suppression = suppression.add(people, erased_at_ms=_now_ms(), erasure_id=journal.erasure_id)
    if suppression.is_empty:
        # Nobody was ever erased, so a restored backup can contain nobody.
        delete_journal(folder)
        return journal.plan
    list_before(settings, folder, journal.identifiers, suppression, progress)
    work = _Work(lakehouse, suppression, journal.people, progress)
    journal, deleted = work.apply(journal, lambda current: write_journal(folder, current), cuts)
    lakehouse.warehouse.confirm_write_lock()
    journal = _delete_old_objects(settings, journal)
    write_journal(folder, journal)
    after, result = scan_after(settings, journal.identifiers, suppression, progress)
    facts = certificate_facts(journal, deleted, read_before(folder), after, result, suppression, left_out(settings))
    certify(settings, folder, facts, journal.identifiers)
    if not any(hit.file.startswith("warehouse/") for hit in result.hits):
        mark_applied(lakehouse.warehouse, suppression)
    forget_before(folder)
    delete_journal(folder)
    return replace(
        journal.plan,
        deleted_files=deleted.files,
        deleted_bytes=deleted.bytes,
        certificate=folder.path(f"{CERTIFICATES}/{journal.erasure_id}.html"),
        found=result.hits,
        doubts=result.doubts,
    )


def _delete_old_objects(settings: Settings, journal: Journal) -> Journal:
    """Delete what S3 keeps of deleted and replaced objects; returns the journal with the numbers."""
    deleted = delete_old_objects(settings, datetime.fromisoformat(journal.started_at), journal.elsewhere.copies)
    before = journal.plan
    plan = replace(
        before,
        old_versions=before.old_versions + deleted.versions,
        uploads=before.uploads + deleted.uploads,
        copies=before.copies + deleted.copies,
        remains=tuple({(each.what, each.why): each for each in (*before.remains, *deleted.remains)}.values()),
    )
    return replace(journal, plan=plan)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def _erased(lakehouse: Lakehouse, addresses: Sequence[str], now_ms: int) -> list[ErasedPerson]:
    """Return the people with the devices that are theirs now."""
    if not addresses:
        return []
    search_people(lakehouse.backend, addresses)
    devices = devices_of(lakehouse.backend, lakehouse.catalog, addresses, now_ms)
    return [ErasedPerson(address, tuple(devices[address])) for address in addresses]


def _people(erased: Sequence[ErasedPerson]) -> People:
    return People(
        tuple(person.address for person in erased), tuple(device for person in erased for device in person.devices)
    )


class _Work:
    """One erasure: what is searched for, and the steps.

    Attributes:
        people: everybody who is erased, in plain text.
        cuts: the landing files with records of theirs, after `plan`.
        planned_files: what these files will be, after `plan`.
        identifiers: the values that identify the people in files, after `plan`.
    """

    def __init__(self, lakehouse: Lakehouse, suppression: SuppressionList, known: People, progress: Report) -> None:
        self._lakehouse, self._suppression, self._progress = lakehouse, suppression, progress
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
        report.tables |= purge_tables(lakehouse, self._suppression, rewritten, run_id)
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
